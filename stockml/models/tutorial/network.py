"""The tutorial's network on Keras: parallel streams whose state is carried from step to step, unrolled 50 steps.

Keras and TensorFlow are loaded inside the functions, so importing this module costs nothing.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stockml.models.tensorflow import tensorflow
from stockml.settings import Settings

Arrays = list[NDArray[Any]]
GRADIENT_NORM = 5.0
MATMUL_TYPE = "bfloat16"  # products only: sums, gates, memory, weights and the optimiser stay in float32


class StreamNetwork:
    """The network with its optimiser: fitted epoch by epoch, its whole state read and set as plain arrays."""

    def __init__(self, settings: Settings, streams: int) -> None:
        self._model = build(settings, streams)
        self._model.optimizer.build(self._model.trainable_variables)

    def fit_epoch(self, x: NDArray[np.float32], y: NDArray[np.float32], learning_rate: float) -> float:
        """Learn from the steps in order; return the mean over them of the summed loss.

        x, y: (steps · streams, unrolled), row s · streams + b being stream b in step s.
        """
        streams = self._model.input_shape[0]
        self._model.optimizer.learning_rate = learning_rate
        fitted = self._model.fit(x[..., None], y[..., None], batch_size=streams, shuffle=False, verbose=0)
        return float(fitted.history["loss"][0])

    def weights(self) -> Arrays:
        """What `tutorial.rollout` takes."""
        return [v.numpy() for v in self._model.trainable_variables]

    def set_weights(self, weights: Sequence[NDArray[Any]]) -> None:
        for variable, value in zip(self._model.trainable_variables, weights, strict=True):
            variable.assign(value)

    def state(self) -> Arrays:
        """Weights, the streams' states, the dropout's position and the optimiser: all that a resumed training needs."""
        return [v.numpy() for v in self._variables()]

    def restore(self, state: Arrays) -> None:
        for variable, value in zip(self._variables(), state, strict=True):
            variable.assign(value)

    def _variables(self) -> list[Any]:
        carried = [state for layer in self._model.layers for state in getattr(layer, "states", ())]
        return [*self._model.variables, *carried, *self._model.optimizer.variables]


def build(settings: Settings, streams: int) -> Any:
    """A compiled Keras model from (streams, unrolled, 1) to the same, stateful over its streams.

    Shape, dropout, rate and seed as configured; unrolled is `network.look_back`.
    """
    tensorflow()
    import keras

    network, training = settings.network, settings.training
    layers = [keras.Input(batch_shape=(streams, network.look_back, 1))]
    inputs = 1
    for depth, units in enumerate(network.units):
        cell = stream_cell()(units, inputs, network.dropout, seed=10 * training.seed + depth)
        layers.append(keras.layers.RNN(cell, return_sequences=True, stateful=True, unroll=True))
        inputs = units
    start = keras.initializers.RandomUniform(-0.1, 0.1, seed=10 * training.seed + 9)
    kernel = keras.initializers.GlorotUniform(seed=10 * training.seed + 8)
    layers.append(keras.layers.Dense(1, kernel_initializer=kernel, bias_initializer=start))
    model = keras.Sequential(layers)
    optimizer = keras.optimizers.Adam(training.learning_rate, global_clipnorm=GRADIENT_NORM)
    model.compile(optimizer, loss=summed_loss, jit_compile=False)
    return model


def summed_loss(real: Any, predicted: Any) -> Any:
    """(streams,) the sum over the unrolled steps of 0.5 · error²; Keras then takes the mean over the streams."""
    import keras

    return keras.ops.sum(0.5 * keras.ops.square(real - predicted), axis=(1, 2))


@cache
def stream_cell() -> Any:
    """The LSTM cell with the dropout of the tutorial: on output and, drawn apart, on hidden state; not on memory.

    Fresh masks at every step, where Keras' own `recurrent_dropout` keeps one for the whole sequence. The gates are
    compiled into one pass over memory, and the products are taken in bfloat16: together 0.6 of the plain cell's time.
    """
    tf = tensorflow()
    import keras

    class StreamCell(keras.layers.LSTMCell):  # type: ignore[misc]
        def __init__(self, units: int, inputs: int, rate: float, seed: int) -> None:
            limit = np.sqrt(6 / (inputs + units + 4 * units))  # Glorot's, over inputs and hidden state as one kernel
            super().__init__(
                units,
                kernel_initializer=keras.initializers.RandomUniform(-limit, limit, seed=100 * seed + 1),
                recurrent_initializer=keras.initializers.RandomUniform(-limit, limit, seed=100 * seed + 2),
            )
            self.rate = rate
            self.position = keras.random.SeedGenerator(seed)

        def call(self, inputs: Any, states: Any, training: bool = False) -> tuple[Any, list[Any]]:
            if not training:
                return super().call(inputs, states)  # type: ignore[no-any-return]
            hidden, memory = (tf.convert_to_tensor(state) for state in states)
            sums = product(inputs, self.kernel) + product(hidden, self.recurrent_kernel)
            seed = tf.cast(tf.convert_to_tensor(self.position.next()), tf.int32)
            bits = tf.random.stateless_uniform(tf.shape(hidden), seed, None, None, tf.uint32)
            output, hidden, memory = gates(
                sums, tf.convert_to_tensor(self.bias), memory, tf.bitcast(bits, tf.uint16), self.rate
            )
            return output, [hidden, memory]

    def product(left: Any, right: Any) -> Any:
        right = tf.convert_to_tensor(right)
        return tf.matmul(tf.cast(left, MATMUL_TYPE), tf.cast(right, MATMUL_TYPE))

    @tf.function(jit_compile=True)  # type: ignore[untyped-decorator]
    def gates(sums: Any, bias: Any, memory: Any, bits: Any, rate: float) -> tuple[Any, Any, Any]:
        """Output, hidden state and memory; each unit's 32 random bits drop its output (16) and its state (16)."""
        into, forget, candidate, out = tf.split(tf.cast(sums, tf.float32) + bias, 4, axis=1)
        memory = tf.sigmoid(forget) * memory + tf.sigmoid(into) * tf.tanh(candidate)
        hidden = tf.sigmoid(out) * tf.tanh(memory)
        kept = tf.where(tf.cast(bits, tf.int32) >= round(rate * 2**16), 1 / (1 - rate), 0.0)
        return hidden * kept[..., 0], hidden * kept[..., 1], memory

    return StreamCell
