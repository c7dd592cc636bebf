"""What a base network learns from: the origins of many tickers, cut into stretches that share one pass of the LSTM.

Eight origins, five sessions apart, are learned from in one segment of 99 sessions: the first sees 64 of them, the last
all. Windows of their own would repeat nine tenths of the arithmetic.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Self

import numpy as np
from numpy.typing import NDArray

from stockml.errors import TooFewBars
from stockml.features.range_volatility import Volatilities
from stockml.features.segments import segments
from stockml.features.width_inputs import InputScale, width_inputs
from stockml.models.base_network import LOOK_BACK
from stockml.models.pooled_regression import (
    FEWEST_LEARNED,
    FIRST_LEARNED,
    LEADS,
    ORIGIN_EVERY,
    PooledRegression,
    moves,
    origins_of,
)
from stockml.prices.series import PriceSeries
from stockml.storage.arrays import Indices

TOGETHER = 8  # origins a stretch
STRETCH = LOOK_BACK + ORIGIN_EVERY * (TOGETHER - 1)  # sessions
FURTHEST_MOVE = 30.0  # widths: a misprint does not decide the weights


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """Of s stretches: starts (s,), their first rows in `rows`; moves, regression (s, 8, 11), at LEADS; known (s, 8).

    rows: (N, 14) scaled inputs of all tickers, one after the other, with means between them.  moves: |move| in units of
    the EWMA 60 volatility · √lead.  regression: ln of the pooled regression's width in the same units.  known: which
    origins count.
    """

    through: date
    tickers: tuple[str, ...]
    sessions: int
    scale: InputScale
    rows: NDArray[np.float32]
    starts: Indices
    moves: NDArray[np.float32]
    regression: NDArray[np.float32]
    known: NDArray[np.float32]

    @classmethod
    def of(cls, series: Mapping[str, PriceSeries], until: date, pooled: PooledRegression) -> Self:
        """From every 5th session of each ticker whose 50 following sessions are known by `until`.

        Nothing after `until` is looked at. Equal bars give equal values, in whatever order the tickers come. Raises
        TooFewBars.
        """
        bars = {ticker: series[ticker].through(until) for ticker in sorted(series)}
        at = {ticker: origins_of(known) for ticker, known in bars.items()}
        learned = [ticker for ticker in bars if len(at[ticker])]
        if sum(map(len, at.values())) < FEWEST_LEARNED:
            longest = max(map(len, bars.values()), default=0)
            raise TooFewBars(FIRST_LEARNED + LEADS[-1] + ORIGIN_EVERY * FEWEST_LEARNED, longest, "a base network")
        inputs = {ticker: width_inputs(bars[ticker]) for ticker in learned}
        scale = InputScale.fit(inputs[ticker][at[ticker]] for ticker in learned)
        whole = [each for ticker in learned for each in segments(bars[ticker]) if len(origins_of(each))]
        parts = [_part(each, origins_of(each), scale.apply(width_inputs(each)), pooled) for each in whole]
        offsets = np.cumsum([0, *(len(part[0]) for part in parts[:-1])])
        starts = [part[1] + offset for part, offset in zip(parts, offsets, strict=True)]
        return cls(
            max(bars[ticker].sessions[-1] for ticker in learned).item(),
            tuple(learned),
            sum(len(bars[ticker]) for ticker in learned),
            scale,
            np.concatenate([part[0] for part in parts]),
            np.concatenate(starts),
            *(np.concatenate([part[i] for part in parts]) for i in (2, 3, 4)),
        )

    @property
    def origins(self) -> int:
        return int(self.known.sum())

    def sha256(self) -> str:
        """Of all that the weights depend on."""
        found = hashlib.sha256()
        for array in (self.rows, self.starts, self.moves, self.regression, self.known):
            found.update(np.ascontiguousarray(array).tobytes())
        return found.hexdigest()


def _part(
    series: PriceSeries, origins: Indices, scaled: NDArray[np.float32], pooled: PooledRegression
) -> tuple[NDArray[np.float32], Indices, NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Rows, starts, moves, regression and known of one segment; a stretch that is not full repeats its last origin."""
    leads, columns = np.array(LEADS), scaled.shape[1]
    before, after = np.zeros((LOOK_BACK - 1, columns), np.float32), np.zeros((STRETCH, columns), np.float32)
    first = np.arange(origins[0], origins[-1] + 1, ORIGIN_EVERY * TOGETHER)
    grid = first[:, None] + ORIGIN_EVERY * np.arange(TOGETHER)
    known = np.isin(grid, origins)
    at = np.where(known, grid, origins[-1]).ravel()
    unit = Volatilities.of(series).ewma_60[at, None] * np.sqrt(leads)
    size = np.minimum(np.abs(moves(series, at, leads)) / unit, FURTHEST_MOVE)
    regression = np.log(pooled.widths(series, at, leads) / unit)
    shaped = [x.astype(np.float32).reshape(len(first), TOGETHER, len(leads)) for x in (size, regression)]
    return np.concatenate([before, scaled, after]), first, shaped[0], shaped[1], known.astype(np.float32)
