"""The tutorial's network in Keras, imported inside the functions: parallel streams whose state is
carried on.

Training spends its time in the steps of a recurrent layer, which are therefore one operation with
its own gradient.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stockml.models.tensorflow import assign, tensorflow
from stockml.models.tutorial_recipe import CELLS
from stockml.settings import Settings

GRADIENT_NORM = 5.0
# scaled: half a trained network's error at a step; no error ever reaches 1, Keras' default
HUBER_BEND = 0.01
# products only: sums, gates, memory, weights and the optimiser stay in float32
MATMUL_TYPE = "bfloat16"
OPTIMIZERS = {"adam": "Adam", "adamw": "AdamW", "rmsprop": "RMSprop", "sgd": "SGD"}


def fit_epoch(
    model: Any, x: NDArray[np.float32], y: NDArray[np.float32], learning_rate: float
) -> float:
    """Fit one epoch; return its steps' mean loss.  x, y: (steps · streams, unrolled), a step's
    streams together."""
    model.optimizer.learning_rate = learning_rate
    streams = model.input_shape[0]
    fitted = model.fit(x[..., None], y[..., None], batch_size=streams, shuffle=False, verbose=0)
    return float(fitted.history["loss"][0])


def build(settings: Settings, streams: int) -> Any:
    """A compiled Keras model, as configured, from (streams, look_back, 1) to that shape, stateful
    over its streams."""
    tensorflow()
    import keras

    network, training = settings.network, settings.training
    entry = keras.Input(batch_shape=(streams, network.look_back, 1))
    signal = keras.ops.transpose(entry, (1, 0, 2))
    for depth, units in enumerate(network.units):
        signal = stream_layer()(
            network.cell, units, network.dropout, seed=10 * training.seed + depth
        )(signal)
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
    """The named loss, summed over the unrolled steps, (streams,); Keras then averages over the
    streams."""
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
    """A recurrent layer with the tutorial's dropout: on output and hidden state, drawn apart; not
    on the cell state.

    Masks are fresh at every step, where Keras' own `recurrent_dropout` keeps one for the whole
    sequence. Its products are in bfloat16, for less than half the time of Keras' own cell. It only
    learns; `recipe.rollout` forecasts.
    """
    tf = tensorflow()
    import keras

    class StreamLayer(keras.layers.Layer):  # type: ignore[misc]
        """(unrolled, streams, inputs) to (unrolled, streams, units); each stream's state is carried
        on."""

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
            kernel, recurrent, *rest = (
                tf.convert_to_tensor(weight) for weight in self.trainable_variables
            )
            steps, streams, features = inputs.shape
            bits = None
            if self.rate:
                seed = tf.cast(tf.convert_to_tensor(self.position.next()), tf.int32)
                drawn = tf.random.stateless_uniform(
                    (steps, streams, self.units), seed, None, None, tf.uint32
                )
                bits = tf.bitcast(drawn, tf.uint16)
            signal = tf.reshape(inputs, (steps * streams, features))
            sums = tf.matmul(tf.cast(signal, MATMUL_TYPE), tf.cast(kernel, MATMUL_TYPE))
            by_step, states = (
                tf.reshape(sums, (steps, streams, -1)),
                tuple(map(tf.convert_to_tensor, self.states)),
            )
            outputs, *ended = side_by_side(
                self.cell, self.rate, bits, states, by_step, recurrent, *rest
            )
            assign(self.states, ended)
            return outputs

        def compute_output_shape(self, shape: tuple[int, int, int]) -> tuple[int, int, int]:
            return (*shape[:2], self.units)

    return StreamLayer


def _starts(cell: str, inputs: int, units: int, seed: int) -> list[tuple[Any, tuple[int, ...]]]:
    """Initialiser and shape of each of a layer's weights: kernel, recurrent kernel, and the cell's
    `rest`."""
    import keras

    columns = CELLS[cell].gates * units
    # Glorot's, over inputs and hidden state as one kernel
    limit = np.sqrt(6 / (inputs + units + columns))
    kernels = [
        (keras.initializers.RandomUniform(-limit, limit, seed=100 * seed + number), (rows, columns))
        for number, rows in ((1, inputs), (2, units))
    ]
    if cell == "gru":
        return [*kernels, ("zeros", (2, columns))]
    # remember at first
    biases = keras.initializers.Constant(np.repeat([0.0, 1.0, 0.0, 0.0], units))
    return [
        *kernels,
        (biases, (columns,)),
        *([("zeros", (3, units))] if cell == "peephole" else []),
    ]


def side_by_side(
    cell: str, rate: float, bits: Any, states: Sequence[Any], sums: Any, recurrent: Any, *rest: Any
) -> tuple[Any, ...]:
    """Run `unrolled` on each half of the streams: while one waits the other computes. More parts
    are slower."""
    tf, streams = tensorflow(), sums.shape[1]
    halves = [streams // 2, streams - streams // 2] if streams > 1 else [streams]
    own_bits = [None] * len(halves) if bits is None else tf.split(bits, halves, axis=1)
    own_states = zip(*(tf.split(state, halves) for state in states), strict=True)
    parts = [
        unrolled(cell, rate, drawn, begun)(part, recurrent, *rest)
        for drawn, begun, part in zip(
            own_bits, own_states, tf.split(sums, halves, axis=1), strict=True
        )
    ]
    outputs, *ended = zip(*parts, strict=True)
    return tf.concat(outputs, axis=1), *(tf.concat(state, axis=0) for state in ended)


def unrolled(
    cell: str, rate: float, bits: Any, states: Sequence[Any]
) -> Callable[..., tuple[Any, ...]]:
    """Return the steps as one operation, with their gradient through time (Werbos, 1990).

    bits: (steps, streams, units, 2), random, which drop outputs and states at `rate`, or None.
    states: the initial ones, (streams, units) each; no gradient flows to them. The operation takes
    the inputs' products with the kernel, (steps, streams, gates · units), and the layer's other
    weights; it returns the outputs, (steps, streams, units), and the last states. Its gradient
    recomputes each step's gates rather than keep them, and forms the recurrent kernel's in one
    product over all steps: a fifth less time than TensorFlow's own gradient.
    """
    tf = tensorflow()
    forward, backward = _step()

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def run(
        sums: Any, recurrent: Any, *rest: Any
    ) -> tuple[tuple[Any, ...], Callable[..., tuple[Any, ...]]]:
        kernel, now = tf.cast(recurrent, MATMUL_TYPE), states
        entries, hidden, outputs = [], [tf.cast(now[0], MATMUL_TYPE)], []
        drawn_at = [None] * sums.shape[0] if bits is None else tf.unstack(bits)
        for x, drawn in zip(tf.unstack(sums), drawn_at, strict=True):
            entries.append((x, tf.matmul(hidden[-1], kernel), rest, now, drawn))
            output, now, after = forward(cell, rate, *entries[-1])
            outputs.append(output)
            hidden.append(after)

        def gradient(slopes: Any, *_: Any) -> tuple[Any, ...]:
            """slopes: the loss's gradient by the outputs; that by the last states is ignored."""
            of_x: list[Any] = []
            of_h: list[Any] = []
            of_rest = [tf.zeros_like(weight) for weight in rest]
            later = [tf.zeros_like(state) for state in (hidden[-1], *now)]
            for entry, slope in zip(reversed(entries), reversed(tf.unstack(slopes)), strict=True):
                x, h, of_states, of_rest = backward(cell, rate, *entry, slope, later, of_rest)
                of_x, of_h = [x, *of_x], [h, *of_h]
                later = [tf.matmul(h, kernel, transpose_b=True), *of_states]
            of_sums = of_products = tf.stack(of_h)
            if not CELLS[cell].is_summed:
                of_sums = tf.stack(of_x)
            before, after = (
                tf.reshape(each, (-1, each.shape[-1]))
                for each in (tf.stack(hidden[:-1]), of_products)
            )
            of_kernel = tf.matmul(before, after, transpose_a=True)
            return of_sums, tf.cast(of_kernel, tf.float32), *of_rest

        return (tf.stack(outputs), *now), gradient

    return run  # type: ignore[no-any-return]


@cache
def _step() -> tuple[Callable[..., Any], Callable[..., Any]]:
    """One step of a layer and its gradient, each compiled into few passes over memory."""
    tf = tensorflow()

    def step(
        cell: str, rate: float, x: Any, h: Any, rest: Any, states: Any, bits: Any
    ) -> tuple[Any, Any, Any]:
        """Output, states, and the hidden state for the next product.  bits: 16 drop a unit's
        output, 16 its state."""
        hidden, *memory = CELLS[cell].step(
            tf, tf.cast(x, tf.float32), tf.cast(h, tf.float32), rest, states
        )
        if bits is None:
            return hidden, (hidden, *memory), tf.cast(hidden, MATMUL_TYPE)
        factors = tf.where(tf.cast(bits, tf.int32) >= round(rate * 2**16), 1 / (1 - rate), 0.0)
        carried = hidden * factors[..., 1]
        return hidden * factors[..., 0], (carried, *memory), tf.cast(carried, MATMUL_TYPE)

    def gradient(
        cell: str, rate: float, x: Any, h: Any, rest: Any, states: Any, bits: Any, *after: Any
    ) -> Any:
        """Gradients by x, h, the states and `rest`, the last added to the sum of the later steps.

        after: the loss's gradient by this step's output; by its states, the hidden one's in two
        parts, through the next step's product and through its cell; and the sum for `rest`.
        """
        slope, (product, direct, *others), total = after
        with tf.GradientTape() as tape:
            tape.watch([x, h, *rest, *states])
            output, (hidden, *memory), _ = step(cell, rate, x, h, rest, states, bits)
        targets, slopes = (
            [output, hidden, *memory],
            [slope, tf.cast(product, tf.float32) + direct, *others],
        )
        of_x, of_h, of_rest, of_states = tape.gradient(
            targets, [x, h, rest, states], slopes, "zero"
        )
        if CELLS[cell].is_summed:  # the same as that by h
            of_x = None
        return of_x, of_h, of_states, [sum(pair) for pair in zip(total, of_rest, strict=True)]

    return tf.function(step, jit_compile=True), tf.function(gradient, jit_compile=True)
