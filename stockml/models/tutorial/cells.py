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
    into, forget, candidate, out = maths.split(x + h + rest[0], 4, axis=1)
    memory = _sigmoid(maths, forget) * states[1] + _sigmoid(maths, into) * maths.tanh(candidate)
    return _sigmoid(maths, out) * maths.tanh(memory), memory


def peephole(maths: Any, x: Any, h: Any, rest: Sequence[Any], states: Sequence[Any]) -> tuple[Any, ...]:
    """The gates see the memory too (Gers and Schmidhuber, 2000).  rest: bias (4 units), peepholes (3, units)."""
    into, forget, candidate, out = maths.split(x + h + rest[0], 4, axis=1)
    memory, seen = states[1], rest[1]
    into, forget = _sigmoid(maths, into + seen[0] * memory), _sigmoid(maths, forget + seen[1] * memory)
    memory = forget * memory + into * maths.tanh(candidate)
    return _sigmoid(maths, out + seen[2] * memory) * maths.tanh(memory), memory


def gru(maths: Any, x: Any, h: Any, rest: Sequence[Any], states: Sequence[Any]) -> tuple[Any, ...]:
    """Cho et al. (2014), the reset after the product, as Keras has it.  rest: biases of both sums (2, 3 units)."""
    (keep, reset, candidate), (kept, again, recalled) = (
        maths.split(sums, 3, axis=1) for sums in (x + rest[0][0], h + rest[0][1])
    )
    share = _sigmoid(maths, keep + kept)
    candidate = maths.tanh(candidate + _sigmoid(maths, reset + again) * recalled)
    return (share * states[0] + (1.0 - share) * candidate,)


CELLS = {
    "lstm": Cell(lstm, gates=4, states=2, arrays=3, is_summed=True),
    "peephole": Cell(peephole, gates=4, states=2, arrays=4, is_summed=True),
    "gru": Cell(gru, gates=3, states=1, arrays=3, is_summed=False),
}


def _sigmoid(maths: Any, x: Any) -> Any:
    """By the hyperbolic tangent, which never overflows."""
    return 0.5 * (1.0 + maths.tanh(0.5 * x))
