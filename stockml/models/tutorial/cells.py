"""The recurrent cells in plain arithmetic: one definition for training (TensorFlow) and for forecasting (NumPy).

A cell takes what the inputs and the hidden state came to, (streams, gates · units) each, its remaining weights, and its
states, (streams, units) each, the hidden one first; it returns the new states. Gates stand in Keras' order.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple


class Cell(NamedTuple):
    """gates: kernels have gates · units columns.  arrays: a layer's weights, kernel, recurrent kernel and `rest`.

    is_summed: it sees only the sum of what inputs and hidden state came to.
    """

    step: Callable[[Any, Any, Any, Sequence[Any], Sequence[Any]], tuple[Any, ...]]
    gates: int
    states: int
    arrays: int
    is_summed: bool


def lstm(maths: Any, x: Any, h: Any, rest: Sequence[Any], states: Sequence[Any]) -> tuple[Any, ...]:
    """rest: bias (4 units)."""
    enter, forget, candidate, output = maths.split(x + h + rest[0], 4, axis=1)
    cell = _sigmoid(maths, forget) * states[1] + _sigmoid(maths, enter) * maths.tanh(candidate)
    return _sigmoid(maths, output) * maths.tanh(cell), cell


def peephole(maths: Any, x: Any, h: Any, rest: Sequence[Any], states: Sequence[Any]) -> tuple[Any, ...]:
    """The gates see the cell state too (Gers and Schmidhuber, 2000).  rest: bias (4 units), peepholes (3, units)."""
    enter, forget, candidate, output = maths.split(x + h + rest[0], 4, axis=1)
    cell, peepholes = states[1], rest[1]
    enter, forget = _sigmoid(maths, enter + peepholes[0] * cell), _sigmoid(maths, forget + peepholes[1] * cell)
    cell = forget * cell + enter * maths.tanh(candidate)
    return _sigmoid(maths, output + peepholes[2] * cell) * maths.tanh(cell), cell


def gru(maths: Any, x: Any, h: Any, rest: Sequence[Any], states: Sequence[Any]) -> tuple[Any, ...]:
    """Cho et al. (2014), the reset after the product, as Keras has it.  rest: biases of both sums (2, 3 units)."""
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
    """By the hyperbolic tangent, which never overflows."""
    return 0.5 * (1.0 + maths.tanh(0.5 * x))
