"""A cell's equations: its authors', and those of Keras."""

import math

import numpy as np
import pytest

from stockml.models.tutorial.cells import CELLS


def test_a_peephole_cell_follows_its_authors_equations() -> None:
    """Gers and Schmidhuber 2000, unit by unit: the gates see the old cell state, the output gate
    the new one."""
    rng, units = np.random.default_rng(4), 3
    x, h, bias = rng.normal(size=(3, 2, 4 * units))
    peep, hidden, memory = (
        rng.normal(size=(3, units)),
        rng.normal(size=(2, units)),
        rng.normal(size=(2, units)),
    )
    out, kept = CELLS["peephole"].step(np, x, h, [bias[0], peep], [hidden, memory])

    def sigmoid(value: float) -> float:
        return 1 / (1 + math.exp(-value))

    for stream in range(2):
        for unit in range(units):
            sums = [
                (x + h)[stream, gate * units + unit] + bias[0, gate * units + unit]
                for gate in range(4)
            ]
            before = memory[stream, unit]
            into, forget = (
                sigmoid(sums[0] + peep[0, unit] * before),
                sigmoid(sums[1] + peep[1, unit] * before),
            )
            after = forget * before + into * math.tanh(sums[2])
            said = sigmoid(sums[3] + peep[2, unit] * after) * math.tanh(after)
            assert (out[stream, unit], kept[stream, unit]) == pytest.approx((said, after))


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
