"""A base network's training set: origins of many tickers, cut into stretches that share one pass of the LSTM.

A stretch of 99 sessions holds eight origins, five sessions apart: the first sees 64 of them, the last all. With a
window each, nine tenths of the arithmetic would be repeated from one origin to the next.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from stockml.features.range_volatility import Volatilities
from stockml.features.segments import segments
from stockml.features.width_inputs import InputScale, width_inputs
from stockml.models.base_network import LOOK_BACK
from stockml.models.lead_grid import LEADS, moves
from stockml.models.pooled_regression import ORIGIN_STRIDE, PooledRegression, Vintage, learning_bars, learning_origins
from stockml.models.pooled_ridge import PooledRidge
from stockml.prices.series import PriceSeries
from stockml.storage.arrays import Indices, packed

ORIGINS_A_STRETCH = 8
STRETCH = LOOK_BACK + ORIGIN_STRIDE * (ORIGINS_A_STRETCH - 1)  # sessions
AT_ORIGINS = slice(LOOK_BACK - 1, None, ORIGIN_STRIDE)  # of a stretch
FURTHEST_MOVE = 30.0  # widths: keeps a misprint from deciding the weights


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """Data of s stretches: starts (s,), first rows in `rows`; sizes, log_widths (s, 8, 11), at LEADS; mask (s, 8).

    rows: (N, 14), scaled inputs of all tickers, one after another, with means between them.  sizes: |move| in units of
    the EWMA 60 volatility · √lead.  log_widths: ln of the ridge regression's widths in the same units.  mask: 1 for an
    origin that counts.
    """

    learned_from: Vintage
    scale: InputScale
    rows: NDArray[np.float32]
    starts: Indices
    sizes: NDArray[np.float32]
    log_widths: NDArray[np.float32]
    mask: NDArray[np.float32]

    @classmethod
    def of(cls, series: Mapping[str, PriceSeries], until: date, pooled: PooledRegression, ridge: PooledRidge) -> Self:
        """Build it from the same origins that `PooledRegression.fit` learns from.  Raises TooFewBars."""
        known, learned_from = learning_bars(series, until, "a base network")
        scale = InputScale.fit(width_inputs(bars)[learning_origins(bars)] for bars in known.values())
        whole = [each for bars in known.values() for each in segments(bars) if len(learning_origins(each))]
        rows, starts, *targets = zip(*(_stretches(each, scale, pooled, ridge) for each in whole), strict=True)
        offsets = np.cumsum([0, *map(len, rows[:-1])])
        starts = [first + offset for first, offset in zip(starts, offsets, strict=True)]
        return cls(learned_from, scale, *map(np.concatenate, (rows, starts, *targets)))

    def sha256(self) -> str:
        """Hash of everything here that the weights depend on."""
        return hashlib.sha256(packed((self.rows, self.starts, self.sizes, self.log_widths, self.mask))).hexdigest()


def _stretches(
    series: PriceSeries, scale: InputScale, pooled: PooledRegression, ridge: PooledRidge
) -> tuple[NDArray[Any], ...]:
    """A segment's rows, starts, sizes, log_widths and mask; the last origin stands in, masked, for a missing one."""
    origins, leads = learning_origins(series), np.array(LEADS)
    rows = np.pad(scale.apply(width_inputs(series)), ((LOOK_BACK - 1, STRETCH), (0, 0)))
    first = np.arange(origins[0], origins[-1] + 1, ORIGIN_STRIDE * ORIGINS_A_STRETCH)
    grid = first[:, None] + ORIGIN_STRIDE * np.arange(ORIGINS_A_STRETCH)
    mask = np.isin(grid, origins)
    at = np.where(mask, grid, origins[-1]).ravel()
    unit = Volatilities.of(series).ewma_60[at, None] * np.sqrt(leads)
    sizes = np.minimum(np.abs(moves(series, at, leads)) / unit, FURTHEST_MOVE)
    log_widths = np.log(ridge.widths(series, at, leads, pooled) / unit)
    shaped = (each.astype(np.float32).reshape(*grid.shape, len(leads)) for each in (sizes, log_widths))
    return rows, first, *shaped, mask.astype(np.float32)
