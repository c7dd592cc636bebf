"""Recent volatility from daily ranges, overnight gaps and closes, and the fourteen inputs from
which a network forecasts a share's width, all from the share's own bars.

Nothing here looks ahead: row t of every array depends only on sessions up to t of the same segment.
Volatilities are NaN where the history is too short, otherwise finite and above 0, even for a halted
share. Inputs depend on neither price level nor currency; where the history is too short for one,
`InputScale` replaces NaN by the mean of many tickers.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stockml.features.origins import cached_causal, each_segment
from stockml.prices.series import PriceSeries
from stockml.storage.arrays import Floats, check_array

RANGE_SESSIONS = (1, 5, 22, 250, 1_000)  # a day, a week, a month (Corsi 2009), a year, four years
VOLATILITY_FLOOR = 1e-4  # a halted share has no variance, and returns are divided by it
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


@dataclass(frozen=True, eq=False)
class Volatilities:
    """Daily volatilities of log prices, known after each session; NaN where a segment is still too
    short.

    range: (n, 5), from ranges and overnight gaps over each of RANGE_SESSIONS.  ewma_20, ewma_60:
    (n,), close to close, exponentially weighted.  constant, return_count: (n,), close to close,
    over the segment so far; number of returns.
    """

    range: Floats
    ewma_20: Floats
    ewma_60: Floats
    constant: Floats
    return_count: Floats

    @staticmethod
    def of(series: PriceSeries) -> "Volatilities":
        """Compute them, once per full series; its prefixes share it."""
        rows = _volatilities(series)
        return Volatilities(rows[:, :5], *rows[:, 5:].T)


@cached_causal
@each_segment
def _volatilities(series: PriceSeries) -> Floats:
    """(n, 9) the columns of `Volatilities`."""
    squares, ranges = (
        pd.Series(since_last_close(series, series.close) ** 2),
        pd.Series(range_variance(series)),
    )
    terms = [_root(ranges.rolling(sessions).mean()) for sessions in RANGE_SESSIONS]
    ewmas = [close_volatility(series, span) for span in (20, 60)]
    return np.column_stack(
        [*terms, *ewmas, _root(squares.expanding().mean()), squares.notna().cumsum()]
    )


def close_volatility(series: PriceSeries, span: int) -> Floats:
    """(n,) daily volatility from close to close in one segment, weights (1 − 2 / (span + 1))^age;
    NaN at the first."""
    squares = pd.Series(since_last_close(series, series.close) ** 2)
    return _root(squares.ewm(span=span).mean())


@each_segment
def range_variance(series: PriceSeries) -> Floats:
    """(n,) variance of each session's log price: Parkinson's from its range, plus the squared
    overnight gap.

    ln(high / low)² / (4 ln 2) (Parkinson 1980) covers the session from its open, ln(open / close
    before)² the night before it. A segment's first session has no known gap, so that term is 0.
    """
    sessions = np.log(series.high / series.low) ** 2 / (4 * np.log(2))
    return np.asarray(
        sessions + np.nan_to_num(since_last_close(series, series.open)) ** 2, dtype=np.float64
    )


def since_last_close(series: PriceSeries, prices: Floats) -> Floats:
    """(n,) log of each session's price over the previous close, in one segment; NaN for the first
    session."""
    return np.log(prices / earlier(series.close, 1))


def earlier(values: Floats, sessions: int) -> Floats:
    """(n,) each session's value `sessions` earlier; NaN where there is none."""
    return np.asarray(pd.Series(values).shift(sessions), dtype=np.float64)


def _root(variance: "pd.Series") -> Floats:
    """Square root, floored: rolling sums can round a halted share's variance to below 0. NaN stays
    NaN."""
    return np.asarray(np.sqrt(np.maximum(variance, VOLATILITY_FLOOR**2)), dtype=np.float64)


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
    return np.clip(standard, -MAX_INPUT, MAX_INPUT)


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
