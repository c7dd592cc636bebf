"""The fourteen inputs from which a network forecasts a share's width, all from the share's own
bars.

Nothing here looks ahead: row t depends only on sessions up to t of the same segment. Neither price
level nor currency matters. Inputs are NaN where the history is too short; `InputScale` replaces
these by the mean of many tickers.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stockml.features.segments import cached_causal, each_segment
from stockml.features.volatility import (
    RANGE_SESSIONS,
    Volatilities,
    close_volatility,
    earlier,
    since_last_close,
)
from stockml.prices.series import PriceSeries
from stockml.storage.arrays import Floats, check_array

INPUTS = (
    "return",  # of the log close; this, gap, high and rise in EWMA 60 volatilities
    "size of return",  # ln(|return| + MIN_MOVE)
    # these volatilities and the next two: ln(each / EWMA 60)
    *(f"range {sessions}" for sessions in RANGE_SESSIONS),
    "EWMA 20",
    "EWMA 250",
    "overnight gap",  # ln(open / close before)
    "volume",
    "place of close",
    "below high 250",
    "rise 60",  # of the log close, over √60
)
# inputs whose falls count apart (Glosten, Jagannathan and Runkle 1993)
FALLS = ("return", "overnight gap")
WINDOWS = (1, 5, 22, 64, 250)  # sessions: a day, a week, a month, a quarter, a year
AVERAGED = tuple(
    f"{name}, {sessions}"
    for sessions in WINDOWS
    for name in (*INPUTS, *(f"fall: {x}" for x in FALLS))
)
MIN_MOVE = 0.05  # volatilities: keeps the logarithm of an unchanged close finite
MAX_MOVE = 10.0  # volatilities: a misprint counts no more than a crash
MAX_RATIO = 3.0  # in ln
MAX_INPUT = 5.0  # standard deviations, for any input
SETTLED = 60  # sessions before a trailing extreme means anything


@cached_causal
@each_segment
def width_inputs(series: PriceSeries) -> Floats:
    """(n, 14) unscaled INPUTS after each session; NaN where the history is too short, else
    finite."""
    volatilities = Volatilities.of(series)
    unit, close = volatilities.ewma_60, np.log(series.close)
    returns, gaps = (
        since_last_close(series, prices) / unit for prices in (series.close, series.open)
    )
    moves = [
        returns,
        gaps,
        _below_high(series) / unit,
        (close - earlier(close, 60)) / (unit * np.sqrt(60)),
    ]
    returns, gaps, below, rise = (np.clip(move, -MAX_MOVE, MAX_MOVE) for move in moves)
    terms = np.column_stack(
        [volatilities.range, volatilities.ewma_20, close_volatility(series, 250)]
    )
    ratios = np.clip(np.log(terms / unit[:, None]), -MAX_RATIO, MAX_RATIO)
    size = np.log(np.abs(returns) + MIN_MOVE)
    return np.column_stack(
        [returns, size, ratios, gaps, _volume(series), _position_of_close(series), below, rise]
    )


@cached_causal
@each_segment
def input_averages(series: PriceSeries) -> Floats:
    """(n, 80) means of INPUTS, and of the falls among FALLS, over WINDOWS, of what is known;
    AVERAGED names them."""
    inputs = width_inputs(series)
    falls = np.minimum(inputs[:, [INPUTS.index(name) for name in FALLS]], 0)
    table = pd.DataFrame(np.column_stack([inputs, falls]))
    return np.column_stack([table.rolling(sessions, min_periods=1).mean() for sessions in WINDOWS])


@dataclass(frozen=True, eq=False)
class InputScale:
    """Mean and standard deviation of each input, (14,), learned from many tickers and applied to
    any."""

    means: Floats
    deviations: Floats

    def __post_init__(self) -> None:
        check_array("means", self.means, (len(INPUTS),))
        check_array("deviations", self.deviations, (len(INPUTS),))
        if not (self.deviations > 0).all():
            raise ValueError("expected deviations above 0")

    @classmethod
    def fit(cls, inputs: Iterable[Floats]) -> "InputScale":
        """Fit to the inputs of each ticker, (m, 14); an input that is NaN in all gets mean 0 and
        deviation 1."""
        from sklearn.preprocessing import StandardScaler

        rows = np.concatenate(list(inputs))
        rows[:, np.isnan(rows).all(axis=0)] = 0
        scaler = StandardScaler().fit(rows)
        return cls(scaler.mean_.round(6), np.maximum(scaler.scale_.round(6), 1e-3))

    def apply(self, inputs: Floats) -> NDArray[np.float32]:
        """(n, 14) standardised inputs, finite and clipped at ±5; NaN becomes 0, the mean."""
        return standardised(inputs, self.means, self.deviations).astype(np.float32)


def standardised(inputs: Floats, means: Floats, deviations: Floats) -> Floats:
    """(m, k) inputs in standard deviations from their means, (k,) both: finite, clipped at ±5; an
    unknown one is 0."""
    standard = np.nan_to_num((inputs - means) / deviations)
    return np.asarray(np.clip(standard, -MAX_INPUT, MAX_INPUT), dtype=np.float64)


def _below_high(series: PriceSeries) -> Floats:
    """(n,) log of the close over the highest price of the last 250 sessions, over √250."""
    highest = pd.Series(series.high).rolling(250, min_periods=SETTLED).max()
    return np.asarray(np.log(series.close / highest) / np.sqrt(250), dtype=np.float64)


def _volume(series: PriceSeries) -> Floats:
    """(n,) ln of the volume over its EWMA 60; NaN where nothing has been traded so far."""
    usual = pd.Series(series.volume).ewm(span=60).mean().to_numpy()
    ratio = np.divide(series.volume, usual, out=np.full(len(series), np.nan), where=usual > 0)
    bounds = np.exp([-MAX_RATIO, MAX_RATIO])
    return np.asarray(np.log(np.clip(ratio, *bounds)), dtype=np.float64)


def _position_of_close(series: PriceSeries) -> Floats:
    """(n,) where in its range a session closed, −½ at the low to ½ at the high; 0 without a
    range."""
    spread, above = series.high - series.low, series.close - series.low
    position = np.divide(above, spread, out=np.full(len(series), 0.5), where=spread > 0)
    return np.asarray(position - 0.5, dtype=np.float64)
