"""A cell's equations: its authors', and those of Keras; a layer's training steps against
TensorFlow's own gradient in float32."""

import os
from typing import Any

import numpy as np
import pytest

from stockml.models.tensorflow import tensorflow, without_notices
from stockml.models.tutorial_network import unrolled
from stockml.models.tutorial_recipe import CELLS

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


def test_a_peephole_cell_follows_its_authors_equations() -> None:
    """Gers and Schmidhuber 2000: the gates see the old cell state, the output gate the new one."""
    rng, units = np.random.default_rng(4), 3
    x, h, bias = rng.normal(size=(3, 2, 4 * units))
    peep, states = rng.normal(size=(3, units)), rng.normal(size=(2, 2, units))
    out, kept = CELLS["peephole"].step(np, x, h, [bias[0], peep], states)

    def sigmoid(value: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-value))

    enter, forget, candidate, output = np.split(x + h + bias[0], 4, axis=1)
    before = states[1]
    after = sigmoid(forget + peep[1] * before) * before
    after += sigmoid(enter + peep[0] * before) * np.tanh(candidate)
    np.testing.assert_allclose(kept, after)
    np.testing.assert_allclose(out, sigmoid(output + peep[2] * after) * np.tanh(after))


@pytest.mark.slow
@pytest.mark.parametrize(("cell", "kind"), [("lstm", "LSTMCell"), ("gru", "GRUCell")])
def test_a_cell_computes_what_keras_own_cell_computes(cell: str, kind: str) -> None:
    import keras

    rng = np.random.default_rng(2)
    own = getattr(keras.layers, kind)(4)
    own.build((3, 2))
    own.set_weights([rng.normal(0, 0.5, weight.shape) for weight in own.get_weights()])
    x, states = (
        rng.normal(size=(3, 2)),
        [rng.normal(size=(3, 4)) for _ in range(CELLS[cell].states)],
    )
    expected = own(x, [state.astype(np.float32) for state in states])[1]
    kernel, recurrent, *rest = own.get_weights()
    found = CELLS[cell].step(np, x @ kernel, states[0] @ recurrent, rest, states)
    for new, right in zip(found, expected, strict=True):
        assert new == pytest.approx(np.asarray(right), abs=1e-5)


def test_of_what_is_written_while_tensorflow_loads_only_the_known_notices_are_dropped(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with without_notices():
        os.write(2, b"WARNING: All log messages before absl::InitializeLog() is called\n")
        os.write(2, b"I0000 00:00:1795537070.5 1 port.cc:153] oneDNN custom operations are on.\n")
        os.write(2, b"what somebody has to know\n")
    os.write(2, b"and this\n")
    assert capfd.readouterr().err == "what somebody has to know\nand this\n"
