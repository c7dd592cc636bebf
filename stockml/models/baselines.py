"""The simple forecasts against which every model is measured: no fitting, no look-ahead."""

import numpy as np
import pandas as pd

from stockml.features.segments import cached_causal
from stockml.features.volatility import Volatilities
from stockml.prices.series import PriceSeries
from stockml.storage.arrays import Floats, Indices

AVERAGE_WINDOW = 100
EMA_DECAY = 0.5
DRIFT_SESSIONS = 2_500
MOMENTUM_SESSIONS = 20
MOMENTUM_DAMPING = 0.9

# log return per session at the usual volatility, 8 % a year; found walk-forward
USUAL_RISE = 0.0003
USUAL_VOLATILITY = 0.018  # daily, from close to close
# of volatility / usual; 0: the same rise for every share, 1: the same return for each unit of risk
RISE_POWER = 0.75
# daily; a share that halved in a day. No rise was measured beyond it before 1999
MAX_VOLATILITY = 0.125
PUBLISHED_SHARE = 0.5  # of the usual rise: a quarter to a half of it lost in no era


def trailing_mean(prices: Floats, window: int = AVERAGE_WINDOW) -> Floats:
    """Mean of the last `window` values, or of as many as there are.  prices: (n,).  Returns
    (n,)."""
    return np.asarray(pd.Series(prices).rolling(window, min_periods=1).mean(), dtype=np.float64)


def exponential_mean(
    prices: Floats, decay: float = EMA_DECAY, start: float | None = None
) -> Floats:
    """(n,) decay · (the mean so far) + (1 − decay) · (the newest value), from the first or `start`.
    prices: (n,)."""
    first = prices[:1] if start is None else np.array([start])
    means = pd.Series(np.concatenate([first, prices])).ewm(alpha=1 - decay, adjust=False).mean()
    return np.asarray(means, dtype=np.float64)[1:]


def mean_step(prices: Floats, sessions: int) -> Floats:
    """Mean change per session over the last `sessions` changes, or as many as there are.  prices:
    (n,)."""
    newest = np.arange(len(prices))
    oldest = np.maximum(newest - sessions, 0)
    return (prices - prices[oldest]) / np.maximum(newest - oldest, 1)


def baseline_paths(prices: Floats, origins: Indices, horizon: int) -> dict[str, Floats]:
    """{name: (m, horizon)} price at leads 1 … horizon by every baseline, from the same origins.

    prices: (n,), price.  origins: (m,), session indices.  Each forecast depends on prices up to its
    origin alone.
    """
    last, still, straight = prices[origins, None], np.zeros(horizon), np.arange(1.0, horizon + 1)
    # a trend that continues, ever weaker (Gardner and McKenzie 1985)
    damped = np.cumsum(MOMENTUM_DAMPING**straight)
    return {
        "standard average": trailing_mean(prices)[origins, None] + still,
        "EMA": exponential_mean(prices)[origins, None] + still,
        "drift": mean_step(prices, DRIFT_SESSIONS)[origins, None] * straight + last,
        "momentum": mean_step(prices, MOMENTUM_SESSIONS)[origins, None] * damped + last,
    }


@cached_causal
def expected_drift(series: PriceSeries) -> Floats:
    """(n,) usual log return per session of a share with this volatility: the same for all beyond
    MAX_VOLATILITY.

    On 105 tickers it was the highest from 1983 to 1998, and lower bounds (0.02 to 0.1) lost there.
    In later eras it gained 0.1 to 0.2 % of CRPS on the 56 origins beyond it, after which prices
    fell by a fifth in 50 sessions.
    """
    bounded = np.minimum(Volatilities.of(series).ewma_60, MAX_VOLATILITY)
    return USUAL_RISE * (bounded / USUAL_VOLATILITY) ** RISE_POWER


def published_median(series: PriceSeries, origins: Indices, leads: Indices) -> Floats:
    """(m, leads) log moves from each origin's close that are published as the median: half of the
    usual rise a session.

    On 99 tickers, in eras from 2003 and from 2009, half of the rise gained on nine of ten.
    """
    return PUBLISHED_SHARE * expected_drift(series)[origins, None] * leads
