"""A cell's equations: its authors', and those of Keras; a layer's training steps against
TensorFlow's own gradient in float32."""

import os

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
def test_outputs_states_and_gradients_are_tensorflows_own(cell, dropped):
    tf, rng = tensorflow(), np.random.default_rng(7)
    columns = CELLS[cell].gates * UNITS
    shapes = [(STEPS, STREAMS, columns), (UNITS, columns), *RESTS[cell]]
    entries = [tf.constant(rng.normal(0, 0.7, shape), tf.float32) for shape in shapes]
    begun = rng.normal(size=(CELLS[cell].states, STREAMS, UNITS))
    states = tuple(tf.unstack(tf.constant(begun, tf.float32)))
    bits = rng.integers(0, 2**16, (STEPS, STREAMS, UNITS, 2), dtype=np.uint16)
    slopes = rng.normal(size=(STEPS, STREAMS, UNITS)).astype(np.float32)

    def plain(sums, recurrent, *rest):
        now, outputs = states, []
        for x, drawn in zip(tf.unstack(sums), bits, strict=True):
            hidden, *memory = CELLS[cell].step(tf, x, tf.matmul(now[0], recurrent), rest, now)
            kept = np.where(drawn >= RATE * 2**16, 1 / (1 - RATE), 0) if dropped else 0 * drawn + 1
            kept = kept.astype(np.float32)
            outputs.append(hidden * kept[..., 0])
            now = (hidden * kept[..., 1], *memory)
        return [tf.stack(outputs), *now]

    drawn = tf.constant(bits) if dropped else None
    results = []
    for run in (plain, tf.function(unrolled(cell, RATE, drawn, states))):  # as in training
        with tf.GradientTape() as tape:
            tape.watch(entries)
            found = run(*entries)
            loss = tf.reduce_sum(found[0] * slopes)
        results.append([*found, *tape.gradient(loss, entries)])
    for number, (right, new) in enumerate(zip(*results, strict=True)):
        scale = float(np.abs(right).max())
        assert new.numpy() == pytest.approx(right.numpy(), abs=BFLOAT16 * scale), number


@pytest.mark.parametrize(("cell", "sees"), [("peephole", 1), ("lstm", 0)])
def test_an_lstm_follows_its_authors_equations(cell, sees):
    """Gers and Schmidhuber 2000: the gates see the old cell state, the output gate the new one."""
    rng = np.random.default_rng(4)
    x, h, (bias, _) = rng.normal(size=(3, 2, 12))
    peep, states = sees * rng.normal(size=(3, 3)), rng.normal(size=(2, 2, 3))
    found = CELLS[cell].step(np, x, h, [bias, peep], states)
    enter, forget, candidate, output = np.split(x + h + bias, 4, axis=1)
    kept = states[1] / (1 + np.exp(-forget - peep[1] * states[1]))
    kept += np.tanh(candidate) / (1 + np.exp(-enter - peep[0] * states[1]))
    np.testing.assert_allclose(
        found, [np.tanh(kept) / (1 + np.exp(-output - peep[2] * kept)), kept]
    )


def test_a_gru_follows_its_authors_equations_but_resets_after_the_product_as_keras_does():
    rng = np.random.default_rng(4)
    x, h, biases = rng.normal(size=(3, 2, 9))
    old = rng.normal(size=(2, 3))
    [found] = CELLS["gru"].step(np, x, h, [biases], [old])
    of_x, of_h = (
        np.split(each + bias, 3, axis=1) for each, bias in zip((x, h), biases, strict=True)
    )
    update, reset = (1 / (1 + np.exp(-of_x[gate] - of_h[gate])) for gate in (0, 1))
    np.testing.assert_allclose(
        found, update * old + (1 - update) * np.tanh(of_x[2] + reset * of_h[2])
    )


def test_of_what_is_written_while_tensorflow_loads_only_the_known_notices_are_dropped(capfd):
    known = (
        b"WARNING: All log messages before absl::InitializeLog() is called\n"
        b"I0000 00:00:1795537070.5 1 port.cc:153] oneDNN custom operations are on.\n"
    )
    with without_notices():
        os.write(2, known + b"what somebody has to know\n")
    os.write(2, b"and this\n")
    assert capfd.readouterr().err == "what somebody has to know\nand this\n"
