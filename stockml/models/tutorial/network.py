"""The tutorial's network in Keras, imported inside the functions: parallel streams whose state is carried on."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stockml.models.tensorflow import assign, tensorflow
from stockml.models.tutorial.cells import CELLS
from stockml.models.tutorial.unrolled import MATMUL_TYPE, side_by_side
from stockml.settings import Settings

GRADIENT_NORM = 5.0
HUBER_BEND = 0.01  # scaled: half a trained network's error at a step; no error ever reaches 1, Keras' default
OPTIMIZERS = {"adam": "Adam", "adamw": "AdamW", "rmsprop": "RMSprop", "sgd": "SGD"}


def fit_epoch(model: Any, x: NDArray[np.float32], y: NDArray[np.float32], learning_rate: float) -> float:
    """Fit one epoch; return its steps' mean loss.  x, y: (steps · streams, unrolled), a step's streams together."""
    model.optimizer.learning_rate = learning_rate
    streams = model.input_shape[0]
    fitted = model.fit(x[..., None], y[..., None], batch_size=streams, shuffle=False, verbose=0)
    return float(fitted.history["loss"][0])


def build(settings: Settings, streams: int) -> Any:
    """A compiled Keras model, as configured, from (streams, look_back, 1) to that shape, stateful over its streams."""
    tensorflow()
    import keras

    network, training = settings.network, settings.training
    entry = keras.Input(batch_shape=(streams, network.look_back, 1))
    signal = keras.ops.transpose(entry, (1, 0, 2))
    for depth, units in enumerate(network.units):
        signal = stream_layer()(network.cell, units, network.dropout, seed=10 * training.seed + depth)(signal)
    start = keras.initializers.RandomUniform(-0.1, 0.1, seed=10 * training.seed + 9)
    kernel = keras.initializers.GlorotUniform(seed=10 * training.seed + 8)
    predicted = keras.layers.Dense(1, kernel_initializer=kernel, bias_initializer=start)(signal)
    model = keras.Model(entry, keras.ops.transpose(predicted, (1, 0, 2)))
    optimizer = getattr(keras.optimizers, OPTIMIZERS[training.optimizer])
    clipped = optimizer(training.learning_rate, global_clipnorm=GRADIENT_NORM)
    model.compile(clipped, loss=summed_loss(training.loss), jit_compile=False)
    model.optimizer.build(model.trainable_variables)
    return model


def summed_loss(name: str) -> Callable[[Any, Any], Any]:
    """The named loss, summed over the unrolled steps, (streams,); Keras then averages over the streams."""
    from keras import ops

    def huber(error: Any) -> Any:
        """0.5 · error², linear beyond HUBER_BEND."""
        size = ops.absolute(error)
        curved = ops.minimum(size, HUBER_BEND)
        return 0.5 * ops.square(curved) + HUBER_BEND * (size - curved)

    losses = {"mse": lambda error: 0.5 * ops.square(error), "mae": ops.absolute, "huber": huber}
    return lambda real, predicted: ops.sum(losses[name](real - predicted), axis=(1, 2))


@cache
def stream_layer() -> Any:
    """A recurrent layer with the tutorial's dropout: on output and hidden state, drawn apart; not on the cell state.

    Masks are fresh at every step, where Keras' own `recurrent_dropout` keeps one for the whole sequence. Its products
    are in bfloat16, for less than half the time of Keras' own cell. It only learns; `recipe.rollout` forecasts.
    """
    tf = tensorflow()
    import keras

    class StreamLayer(keras.layers.Layer):  # type: ignore[misc]
        """(unrolled, streams, inputs) to (unrolled, streams, units); each stream's state is carried on."""

        def __init__(self, cell: str, units: int, rate: float, seed: int) -> None:
            super().__init__()
            self.cell, self.units, self.rate, self.seed = cell, units, rate, seed
            self.position = keras.random.SeedGenerator(seed)

        def build(self, shape: tuple[int, int, int]) -> None:
            _, streams, inputs = shape
            for start, size in _starts(self.cell, inputs, self.units, self.seed):
                self.add_weight(shape=size, initializer=start)
            self.states = [
                self.add_weight(shape=(streams, self.units), initializer="zeros", trainable=False)
                for _ in range(CELLS[self.cell].states)
            ]

        def call(self, inputs: Any) -> Any:
            kernel, recurrent, *rest = (tf.convert_to_tensor(weight) for weight in self.trainable_variables)
            steps, streams, features = inputs.shape
            bits = None
            if self.rate:
                seed = tf.cast(tf.convert_to_tensor(self.position.next()), tf.int32)
                drawn = tf.random.stateless_uniform((steps, streams, self.units), seed, None, None, tf.uint32)
                bits = tf.bitcast(drawn, tf.uint16)
            signal = tf.reshape(inputs, (steps * streams, features))
            sums = tf.matmul(tf.cast(signal, MATMUL_TYPE), tf.cast(kernel, MATMUL_TYPE))
            by_step, states = tf.reshape(sums, (steps, streams, -1)), tuple(map(tf.convert_to_tensor, self.states))
            outputs, *ended = side_by_side(self.cell, self.rate, bits, states, by_step, recurrent, *rest)
            assign(self.states, ended)
            return outputs

        def compute_output_shape(self, shape: tuple[int, int, int]) -> tuple[int, int, int]:
            return (*shape[:2], self.units)

    return StreamLayer


def _starts(cell: str, inputs: int, units: int, seed: int) -> list[tuple[Any, tuple[int, ...]]]:
    """Initialiser and shape of each of a layer's weights: kernel, recurrent kernel, and the cell's `rest`."""
    import keras

    columns = CELLS[cell].gates * units
    limit = np.sqrt(6 / (inputs + units + columns))  # Glorot's, over inputs and hidden state as one kernel
    kernels = [
        (keras.initializers.RandomUniform(-limit, limit, seed=100 * seed + number), (rows, columns))
        for number, rows in ((1, inputs), (2, units))
    ]
    if cell == "gru":
        return [*kernels, ("zeros", (2, columns))]
    forgetting = np.repeat([0.0, 1.0, 0.0, 0.0], units)  # remember at first
    biases = (lambda *_, **__: tensorflow().constant(forgetting, "float32"), (columns,))
    return [*kernels, biases, *([("zeros", (3, units))] if cell == "peephole" else [])]
