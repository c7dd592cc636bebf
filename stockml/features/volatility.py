"""Recent volatility from daily ranges, overnight gaps and closes: what a width is learned from.

Nothing here looks ahead: row t of every array depends only on sessions up to t of the same segment.
Volatilities are NaN where the history is too short, otherwise finite and above 0, even for a halted
share.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from stockml.features.segments import cached_causal, each_segment
from stockml.prices.series import PriceSeries
from stockml.storage.arrays import Floats

RANGE_SESSIONS = (1, 5, 22, 250, 1_000)  # a day, a week, a month (Corsi 2009), a year, four years
VOLATILITY_FLOOR = 1e-4  # a halted share has no variance, and returns are divided by it


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
