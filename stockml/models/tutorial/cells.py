"""The recurrent cells in plain arithmetic: one definition for training (TensorFlow) and for forecasting (NumPy).

A cell takes what the inputs and the hidden state came to, (streams, gates · units) each, its remaining weights, and its
states, (streams, units) each, the hidden one first; it returns the new states. Gates stand in Keras' order.
"""

from collections.abc import Callable, Sequence
from typing import Any

GATES = {"lstm": 4, "peephole": 4, "gru": 3}  # kernels have gates · units columns
STATES = {"lstm": 2, "peephole": 2, "gru": 1}
ARRAYS = {"lstm": 3, "peephole": 4, "gru": 3}  # a layer's weights: kernel, recurrent kernel, and `rest`

Tanh = Callable[[Any], Any]
Cell = Callable[[Tanh, Any, Any, Sequence[Any], Sequence[Any]], tuple[Any, ...]]


def lstm(tanh: Tanh, x: Any, h: Any, rest: Sequence[Any], states: Sequence[Any]) -> tuple[Any, ...]:
    """rest: bias (4 units)."""
    into, forget, candidate, out = _gates(x + h + rest[0], 4)
    memory = _sigmoid(tanh, forget) * states[1] + _sigmoid(tanh, into) * tanh(candidate)
    return _sigmoid(tanh, out) * tanh(memory), memory


def peephole(tanh: Tanh, x: Any, h: Any, rest: Sequence[Any], states: Sequence[Any]) -> tuple[Any, ...]:
    """The gates see the memory too (Gers and Schmidhuber, 2000).  rest: bias (4 units), peepholes (3, units)."""
    into, forget, candidate, out = _gates(x + h + rest[0], 4)
    memory, seen = states[1], rest[1]
    into, forget = _sigmoid(tanh, into + seen[0] * memory), _sigmoid(tanh, forget + seen[1] * memory)
    memory = forget * memory + into * tanh(candidate)
    return _sigmoid(tanh, out + seen[2] * memory) * tanh(memory), memory


def gru(tanh: Tanh, x: Any, h: Any, rest: Sequence[Any], states: Sequence[Any]) -> tuple[Any, ...]:
    """Cho et al. (2014), the reset after the product, as Keras has it.  rest: biases of both sums (2, 3 units)."""
    (keep, reset, candidate), (kept, again, recalled) = _gates(x + rest[0][0], 3), _gates(h + rest[0][1], 3)
    share = _sigmoid(tanh, keep + kept)
    candidate = tanh(candidate + _sigmoid(tanh, reset + again) * recalled)
    return (share * states[0] + (1.0 - share) * candidate,)


CELLS: dict[str, Cell] = {"lstm": lstm, "peephole": peephole, "gru": gru}


def _gates(sums: Any, count: int) -> list[Any]:
    units = sums.shape[1] // count
    return [sums[:, i * units : (i + 1) * units] for i in range(count)]


def _sigmoid(tanh: Tanh, x: Any) -> Any:
    """By the hyperbolic tangent, which never overflows."""
    return 0.5 * (1.0 + tanh(0.5 * x))
