"""A layer's training steps against TensorFlow's own gradient in float32."""

from typing import Any

import numpy as np
import pytest

from stockml.models.tensorflow import tensorflow
from stockml.models.tutorial.cells import CELLS
from stockml.models.tutorial.network import unrolled

STEPS, STREAMS, UNITS, RATE = 4, 3, 5, 0.25
RESTS = {"lstm": [(4 * UNITS,)], "peephole": [(4 * UNITS,), (3, UNITS)], "gru": [(2, 3 * UNITS)]}
BFLOAT16 = 0.02  # eight bits


@pytest.mark.slow
@pytest.mark.parametrize("dropped", [True, False])
@pytest.mark.parametrize("cell", ["lstm", "peephole", "gru"])
def test_outputs_states_and_gradients_are_tensorflows_own(cell: str, dropped: bool) -> None:
    tf, rng = tensorflow(), np.random.default_rng(7)
    columns = CELLS[cell].gates * UNITS
    shapes = [(STEPS, STREAMS, columns), (UNITS, columns), *RESTS[cell]]
    entries = [tf.constant(rng.normal(0, 0.7, shape), tf.float32) for shape in shapes]
    states = tuple(
        tf.constant(rng.normal(size=(STREAMS, UNITS)), tf.float32)
        for _ in range(CELLS[cell].states)
    )
    bits = rng.integers(0, 2**16, (STEPS, STREAMS, UNITS, 2), dtype=np.uint16)
    slopes = rng.normal(size=(STEPS, STREAMS, UNITS)).astype(np.float32)

    def plain(sums: Any, recurrent: Any, *rest: Any) -> list[Any]:
        now, outputs = states, []
        for x, drawn in zip(tf.unstack(sums), bits, strict=True):
            hidden, *memory = CELLS[cell].step(tf, x, tf.matmul(now[0], recurrent), rest, now)
            kept = (
                np.where(drawn >= RATE * 2**16, 1 / (1 - RATE), 0).astype(np.float32)
                if dropped
                else np.ones((1, 1, 2), np.float32)
            )
            outputs.append(hidden * kept[..., 0])
            now = (hidden * kept[..., 1], *memory)
        return [tf.stack(outputs), *now]

    drawn = tf.constant(bits) if dropped else None
    results = []
    # as in training, called from its own graph
    for run in (
        plain,
        tf.function(unrolled(cell, RATE, drawn, states)),
    ):
        with tf.GradientTape() as tape:
            tape.watch(entries)
            found = run(*entries)
            loss = tf.reduce_sum(found[0] * slopes)
        results.append([*found, *tape.gradient(loss, entries)])
    for number, (right, new) in enumerate(zip(*results, strict=True)):
        scale = float(np.abs(right).max())
        assert new.numpy() == pytest.approx(right.numpy(), abs=BFLOAT16 * scale), number
