"""The recurrent cells in plain arithmetic: one definition for training (TensorFlow) and for
forecasting (NumPy).

A cell takes x and h, the products of inputs and hidden state with their kernels, (streams, gates ·
units) each, its remaining weights, and its states, (streams, units) each, hidden first. It returns
new states. Gates stand as in Keras.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple


class Cell(NamedTuple):
    """A kind of cell.  gates: kernels have gates · units columns.  arrays: how many a layer has,
    with its kernels."""

    step: Callable[[Any, Any, Any, Sequence[Any], Sequence[Any]], tuple[Any, ...]]
    gates: int
    states: int
    arrays: int
    is_summed: bool  # whether only the sum of x and h matters


def lstm(maths: Any, x: Any, h: Any, rest: Sequence[Any], states: Sequence[Any]) -> tuple[Any, ...]:
    """LSTM without peepholes.  rest: bias (4 units)."""
    enter, forget, candidate, output = maths.split(x + h + rest[0], 4, axis=1)
    cell = _sigmoid(maths, forget) * states[1] + _sigmoid(maths, enter) * maths.tanh(candidate)
    return _sigmoid(maths, output) * maths.tanh(cell), cell


def peephole(
    maths: Any, x: Any, h: Any, rest: Sequence[Any], states: Sequence[Any]
) -> tuple[Any, ...]:
    """LSTM whose gates see the cell state (Gers and Schmidhuber, 2000).  rest: bias (4 units),
    peepholes (3, units)."""
    enter, forget, candidate, output = maths.split(x + h + rest[0], 4, axis=1)
    cell, peepholes = states[1], rest[1]
    enter, forget = (
        _sigmoid(maths, enter + peepholes[0] * cell),
        _sigmoid(maths, forget + peepholes[1] * cell),
    )
    cell = forget * cell + enter * maths.tanh(candidate)
    return _sigmoid(maths, output + peepholes[2] * cell) * maths.tanh(cell), cell


def gru(maths: Any, x: Any, h: Any, rest: Sequence[Any], states: Sequence[Any]) -> tuple[Any, ...]:
    """GRU (Cho et al., 2014), reset after the product, as in Keras.  rest: biases of x and of h (2,
    3 units)."""
    update_x, reset_x, candidate_x = maths.split(x + rest[0][0], 3, axis=1)
    update_h, reset_h, candidate_h = maths.split(h + rest[0][1], 3, axis=1)
    update = _sigmoid(maths, update_x + update_h)
    candidate = maths.tanh(candidate_x + _sigmoid(maths, reset_x + reset_h) * candidate_h)
    return (update * states[0] + (1.0 - update) * candidate,)


CELLS = {
    "lstm": Cell(lstm, gates=4, states=2, arrays=3, is_summed=True),
    "peephole": Cell(peephole, gates=4, states=2, arrays=4, is_summed=True),
    "gru": Cell(gru, gates=3, states=1, arrays=3, is_summed=False),
}


def _sigmoid(maths: Any, x: Any) -> Any:
    """Sigmoid by the hyperbolic tangent, which never overflows."""
    return 0.5 * (1.0 + maths.tanh(0.5 * x))
