"""The pretrained network: a few LSTMs learned across many tickers, which forecast how far any price
will spread; and stretches that it learned from, replayed while it is trained on one ticker.

Weights are plain arrays and inference is NumPy, so a night that does not train loads no TensorFlow.
The forecast is of log(close at a lead / close of the origin), symmetric about that close: how far,
not which way.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Self
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from stockml.features.origins import segment_start
from stockml.features.volatility import INPUTS, InputScale, width_inputs
from stockml.models.regressions import (
    BASIS_SIZE,
    LEADS,
    LEVELS,
    ORIGIN_STRIDE,
    HarRegression,
    RidgeRegression,
    Vintage,
    hat_basis,
    width_factors,
)
from stockml.prices.series import PriceSeries
from stockml.storage.arrays import Days, Floats, Indices, check_array

LOOK_BACK = 64  # sessions
UPPER = LEVELS[LEVELS > 0.5]  # (10,); the lower levels mirror these
# origins: products this small stay on one thread, several times as fast on a busy machine
CHUNK = 48
SPAN = CHUNK * ORIGIN_STRIDE  # sessions from one chunk's first origin to the next chunk's
ORIGINS_A_STRETCH = 8
SAMPLE = 250  # stretches, 0.8 MB: of ten shipped vintages, less than 8 MB
STRETCH = LOOK_BACK + ORIGIN_STRIDE * (ORIGINS_A_STRETCH - 1)  # sessions

Singles = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Member:
    """A trained network: LSTM layers, whose last state joins the newest inputs in a dense layer
    (ReLU); a linear head.

    It changes the ridge regression's ln width.  layers: each (kernel (inputs, 4u), recurrent (u,
    4u), bias (4u,)), gates in the order input, forget, candidate, output. dense, head: (kernel,
    bias).  shape: (11, 10), quantiles at LEADS and UPPER of the move over width · √lead.
    """

    layers: tuple[tuple[Singles, Singles, Singles], ...]
    dense: tuple[Singles, Singles]
    head: tuple[Singles, Singles]
    shape: Singles

    def __post_init__(self) -> None:
        size = len(INPUTS)
        for kernel, recurrent, bias in self.layers:
            units = recurrent.shape[0]
            check_array("kernel", kernel, (size, 4 * units))
            check_array("recurrent", recurrent, (units, 4 * units))
            check_array("bias", bias, (4 * units,))
            size = units
        hidden = self.dense[1].shape[0]
        check_array("dense", self.dense[0], (size + len(INPUTS), hidden))
        check_array("dense bias", self.dense[1], (hidden,))
        check_array("head", self.head[0], (hidden, BASIS_SIZE))
        check_array("head bias", self.head[1], (BASIS_SIZE,))
        check_array("shape", self.shape, (len(LEADS), len(UPPER)))
        if (np.diff(self.shape, axis=1, prepend=0) < 0).any():
            raise ValueError(
                "expected quantiles of the shape that rise from 0, found some that fall"
            )

    def coefficients(self, windows: Singles) -> Singles:
        """(m, 4) coefficients of `lead_basis`.  windows: (m, 64, 14), scaled."""
        state = np.ascontiguousarray(windows.transpose(1, 2, 0))
        for layer in self.layers:
            state = _lstm(state, *layer)
        features = np.concatenate([state[-1].T, windows[:, -1]], axis=1)
        hidden = np.maximum(features @ self.dense[0] + self.dense[1], 0)
        return np.asarray(hidden @ self.head[0] + self.head[1], dtype=np.float32)

    def arrays(self) -> list[Singles]:
        """Its arrays in the order of the fields."""
        return [
            *(array for layer in self.layers for array in layer),
            *self.dense,
            *self.head,
            self.shape,
        ]

    @classmethod
    def of(cls, arrays: Sequence[Singles]) -> Self:
        """The inverse of `arrays`. Raises ValueError for arrays that do not fit each other."""
        *layers, dense, dense_bias, head, head_bias, shape = arrays
        if len(layers) % 3:
            raise ValueError(f"expected three arrays a layer, found {len(layers)}")
        triples = tuple((layers[i], layers[i + 1], layers[i + 2]) for i in range(0, len(layers), 3))
        return cls(triples, (dense, dense_bias), (head, head_bias), shape)

    def quantiles_of(self, leads: Indices) -> Floats:
        """(leads, 21) quantiles at LEVELS of the move over the width."""
        upper = hat_basis(leads) @ self.shape.astype(np.float64)
        return np.concatenate([-upper[:, ::-1], np.zeros((len(leads), 1)), upper], axis=1)


@dataclass(frozen=True, eq=False)
class PretrainedNetwork(Vintage):
    """The mean of a few networks learned from the same tickers, with regressions that saw no later
    session.

    A fine-tuned network is one as well: of the vintage that it started from, with members trained
    further. scores: by name, training losses; where measured, CRPS skill (a fraction).
    """

    scale: InputScale
    members: tuple[Member, ...]
    scores: Mapping[str, float]

    def __post_init__(self) -> None:
        if not self.members:
            raise ValueError("expected at least one network, found none")

    def quantiles(
        self,
        series: PriceSeries,
        origins: Indices,
        leads: Indices,
        regression: HarRegression,
        ridge: RidgeRegression,
    ) -> Floats:
        """(m, leads, 21) quantiles at LEVELS of log(close / close of the origin): rising, symmetric
        about 0.

        regression, ridge: those to correct, usually of its own vintage.  Else as
        `HarRegression.widths`.
        """
        widths = ridge.widths(series, origins, leads, regression)
        total = np.zeros((len(origins), len(leads), len(LEVELS)))
        for member, coefficients in zip(
            self.members, self.coefficients(series, origins), strict=True
        ):
            width = widths * width_factors(coefficients.astype(np.float64), leads)
            total += width[..., None] * member.quantiles_of(leads)
        return total / len(self.members)

    def arrays(self) -> tuple[Singles, ...]:
        """The arrays of its members, one after another."""
        return tuple(array for member in self.members for array in member.arrays())

    def with_arrays(self, arrays: Sequence[Singles]) -> Self:
        """The same network with other `arrays`. Raises ValueError where they do not fit."""
        count = len(self.members[0].arrays())
        parts = (arrays[first : first + count] for first in range(0, len(arrays), count))
        return replace(self, members=tuple(map(Member.of, parts)))

    def coefficients(self, series: PriceSeries, origins: Indices) -> Singles:
        """(members, m, 4) coefficients of `lead_basis` after each origin, computed once per full
        series.

        Always computed for its whole chunk: a product's last bits depend on its size.
        """
        full = series.whole
        by_pretrained = _COEFFICIENTS.setdefault(full, WeakKeyDictionary())
        if self not in by_pretrained:
            by_pretrained[self] = np.full(
                (len(self.members), len(full), BASIS_SIZE), np.nan, dtype=np.float32
            )
        cached = by_pretrained[self]
        new = origins[np.isnan(cached[0, origins, 0])]
        for first in np.unique(new // SPAN * SPAN + new % ORIGIN_STRIDE).tolist():
            at = np.minimum(np.arange(first, first + SPAN, ORIGIN_STRIDE), len(full) - 1)
            windows = self.windows(full, at)
            cached[:, at] = [member.coefficients(windows) for member in self.members]
        return cached[:, origins]

    def windows(self, series: PriceSeries, origins: Indices) -> Singles:
        """(m, 64, 14) scaled inputs of the sessions up to each origin; 0, the mean, before its
        segment's first."""
        first = max(int(origins.min(initial=len(series))) - LOOK_BACK + 1, 0)
        rows = self.scale.apply(width_inputs(series)[first : int(origins.max(initial=0)) + 1])
        indices = origins[:, None] + np.arange(1 - LOOK_BACK, 1)
        windows = np.asarray(rows[np.maximum(indices - first, 0)], dtype=np.float32)
        windows[indices < segment_start(series, origins)[:, None]] = 0
        return windows


@dataclass(frozen=True, eq=False)
class Stretches:
    """What a network learns from: s stretches of eight origins each, five sessions apart.

    inputs: (s, 99, 14), scaled.  sizes: (s, 8, 11), |move| at LEADS in units of the EWMA 60
    volatility · √lead. log_widths: (s, 8, 11), ln of the ridge regression's widths in these.  mask:
    (s, 8), 1 for an origin that counts. last: (s,), the last session that each stretch knows, that
    of its last outcome.
    """

    inputs: NDArray[np.floating]
    sizes: NDArray[np.floating]
    log_widths: NDArray[np.floating]
    mask: NDArray[np.floating]
    last: Days

    def __len__(self) -> int:
        return len(self.last)

    def at(self, rows: Indices) -> Self:
        """The stretches of these rows."""
        return type(self)(*(each[rows] for each in vars(self).values()))

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """The stretches of at least one part, one after another."""
        return cls(
            *(np.concatenate([getattr(part, each.name) for part in parts]) for each in fields(cls))
        )


@dataclass(frozen=True, eq=False)
class Replay(Vintage):
    """A sample of a vintage's stretches, in half precision.  network: SHA-256 of the one that
    learned from them.

    Raises ValueError for a stretch that ends after the vintage, or arrays that do not fit.
    """

    network: str
    stretches: Stretches

    def __post_init__(self) -> None:
        part, by_origin = self.stretches, (len(self.stretches), ORIGINS_A_STRETCH)
        check_array("inputs", part.inputs, (len(self.stretches), STRETCH, len(INPUTS)))
        check_array("sizes", part.sizes, (*by_origin, len(LEADS)))
        check_array("widths", part.log_widths, (*by_origin, len(LEADS)))
        check_array("the mask", part.mask, by_origin)
        if (newest := part.last.max().item()) > self.through:
            raise ValueError(
                f"expected stretches through {self.through}, found one that ends on {newest}"
            )

    @classmethod
    def of(cls, stretches: Stretches, learned_from: Vintage, network: str) -> Self:
        """SAMPLE of the stretches, drawn by chance, the same each time, in half precision."""
        rows = np.sort(np.random.default_rng(SAMPLE).permutation(len(stretches))[:SAMPLE])
        part = stretches.at(rows)
        inputs, sizes, log_widths, mask = (
            each.astype(np.float16)
            for each in (part.inputs, part.sizes, part.log_widths, part.mask)
        )
        return cls(
            learned_from.through,
            learned_from.tickers,
            learned_from.sessions,
            learned_from.origins,
            network=network,
            stretches=Stretches(inputs, sizes, log_widths, mask, part.last),
        )


_COEFFICIENTS: WeakKeyDictionary[PriceSeries, WeakKeyDictionary[PretrainedNetwork, Singles]] = (
    WeakKeyDictionary()
)
"""By series and network, (members, n, 4), NaN where not yet computed: a cache, which changes no
result."""


def _lstm(sequence: Singles, kernel: Singles, recurrent: Singles, bias: Singles) -> Singles:
    """(steps, u, m) hidden states of an LSTM that starts from zero (Hochreiter and Schmidhuber
    1997).

    sequence: (steps, inputs, m), so that each gate is one block of memory.  sigmoid(x) is (tanh(x /
    2) + 1) / 2.
    """
    (steps, size, m), units, one, half = (
        sequence.shape,
        recurrent.shape[0],
        np.float32(1),
        np.float32(0.5),
    )
    halves = np.repeat(np.array([0.5, 0.5, 1, 0.5], dtype=np.float32), units)
    weights = np.ascontiguousarray((np.concatenate([kernel, recurrent, bias[None]]) * halves).T)
    # a step's inputs, the hidden state, and 1 for the bias
    column = np.ones((size + units + 1, m), dtype=np.float32)
    hidden = column[size:-1]
    hidden[:] = 0
    gates, cell = np.empty((4 * units, m), dtype=np.float32), np.zeros((units, m), dtype=np.float32)
    input_gate, forget_gate, candidate, output_gate = gates.reshape(4, units, m)
    states = np.empty((steps, units, m), dtype=np.float32)
    # in place: at this size, memory traffic costs as much as the products
    for step, inputs in enumerate(sequence):
        column[:size] = inputs
        np.tanh(np.matmul(weights, column, out=gates), out=gates)
        forget_gate += one
        cell *= forget_gate
        input_gate += one
        input_gate *= candidate
        cell += input_gate
        cell *= half
        output_gate += one
        np.multiply(output_gate, np.tanh(cell), out=hidden)
        hidden *= half
        states[step] = hidden
    return states
