"""A recurrent layer's training steps with their gradient, where the tutorial's training spends its time."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from stockml.models.tensorflow import tensorflow
from stockml.models.tutorial.cells import CELLS

MATMUL_TYPE = "bfloat16"  # products only: sums, gates, memory, weights and the optimiser stay in float32


def side_by_side(
    cell: str, rate: float, bits: Any, states: Sequence[Any], sums: Any, recurrent: Any, *rest: Any
) -> tuple[Any, ...]:
    """Run `unrolled` on each half of the streams: while one waits the other computes. More parts are slower."""
    tf, streams = tensorflow(), sums.shape[1]
    halves = [streams // 2, streams - streams // 2] if streams > 1 else [streams]
    own_bits = [None] * len(halves) if bits is None else tf.split(bits, halves, axis=1)
    own_states = zip(*(tf.split(state, halves) for state in states), strict=True)
    found = [
        unrolled(cell, rate, drawn, begun)(part, recurrent, *rest)
        for drawn, begun, part in zip(own_bits, own_states, tf.split(sums, halves, axis=1), strict=True)
    ]
    outputs, *ended = zip(*found, strict=True)
    return tf.concat(outputs, axis=1), *(tf.concat(state, axis=0) for state in ended)


def unrolled(cell: str, rate: float, bits: Any, states: Sequence[Any]) -> Callable[..., tuple[Any, ...]]:
    """Return the steps as one operation, with their gradient through time (Werbos, 1990).

    bits: (steps, streams, units, 2), random, which drop outputs and states at `rate`, or None.  states: the initial
    ones, (streams, units) each; no gradient flows to them. The operation takes the inputs' products with the kernel,
    (steps, streams, gates · units), and the layer's other weights; it returns the outputs, (steps, streams, units), and
    the last states. Its gradient recomputes each step's gates rather than keep them, and forms the recurrent kernel's
    in one product over all steps: a fifth less time than TensorFlow's own gradient.
    """
    tf = tensorflow()
    forward, backward = _step()

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def run(sums: Any, recurrent: Any, *rest: Any) -> tuple[tuple[Any, ...], Callable[..., tuple[Any, ...]]]:
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
            of_rest, later = [tf.zeros_like(weight) for weight in rest], None
            for entry, slope in zip(reversed(entries), reversed(tf.unstack(slopes)), strict=True):
                x, h, of_states, of_rest = backward(cell, rate, *entry, slope, later, of_rest)
                of_x, of_h = [x, *of_x], [h, *of_h]
                later = [tf.matmul(h, kernel, transpose_b=True), *of_states]
            of_sums = of_products = tf.stack(of_h)
            if not CELLS[cell].is_summed:
                of_sums = tf.stack(of_x)
            before, after = (tf.reshape(each, (-1, each.shape[-1])) for each in (tf.stack(hidden[:-1]), of_products))
            of_kernel = tf.matmul(before, after, transpose_a=True)
            return of_sums, tf.cast(of_kernel, tf.float32), *of_rest

        return (tf.stack(outputs), *now), gradient

    return run  # type: ignore[no-any-return]


@cache
def _step() -> tuple[Callable[..., Any], Callable[..., Any]]:
    """One step of a layer and its gradient, each compiled into few passes over memory."""
    tf = tensorflow()

    def step(cell: str, rate: float, x: Any, h: Any, rest: Any, states: Any, bits: Any) -> tuple[Any, Any, Any]:
        """Output, states, and the hidden state for the next product.  bits: 16 drop a unit's output, 16 its state."""
        hidden, *memory = CELLS[cell].step(tf, tf.cast(x, tf.float32), tf.cast(h, tf.float32), rest, states)
        if bits is None:
            return hidden, (hidden, *memory), tf.cast(hidden, MATMUL_TYPE)
        kept = tf.where(tf.cast(bits, tf.int32) >= round(rate * 2**16), 1 / (1 - rate), 0.0)
        carried = hidden * kept[..., 1]
        return hidden * kept[..., 0], (carried, *memory), tf.cast(carried, MATMUL_TYPE)

    def gradient(cell: str, rate: float, x: Any, h: Any, rest: Any, states: Any, bits: Any, *after: Any) -> Any:
        """Gradients by x, h, the states and `rest`, the last added to the sum of the later steps.

        after: the loss's gradient by this step's output; by its states, None after the last step, the hidden one's in
        two parts, through the next step's product and through its cell; and the sum for `rest`.
        """
        slope, later, total = after
        with tf.GradientTape() as tape:
            tape.watch([x, h, *rest, *states])
            output, (hidden, *memory), _ = step(cell, rate, x, h, rest, states, bits)
        targets, slopes = [output], [slope]
        if later is not None:
            product, direct, *others = later
            targets, slopes = [output, hidden, *memory], [slope, tf.cast(product, tf.float32) + direct, *others]
        of_x, of_h, of_rest, of_states = tape.gradient(targets, [x, h, rest, states], slopes, "zero")
        if CELLS[cell].is_summed:  # the same as that by h
            of_x = None
        return of_x, of_h, of_states, [sum(pair) for pair in zip(total, of_rest, strict=True)]

    return tf.function(step, jit_compile=True), tf.function(gradient, jit_compile=True)
