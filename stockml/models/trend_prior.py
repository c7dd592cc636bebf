"""The path that is expected of any share: no fitting, no network, no memory of the future."""

import numpy as np

from stockml.features.range_volatility import USUAL_VOLATILITY, ewma_volatility
from stockml.features.segments import each_segment
from stockml.models.baselines import trailing_mean
from stockml.prices.series import PriceSeries
from stockml.storage.arrays import Floats, Indices

USUAL_RISE = 0.0003  # log return a session at the usual volatility, 8 % a year; found by walking forward
RISE_POWER = 0.75  # 0 would be the same rise for every share, 1 the same return for each unit of risk
CLOSE_SHARE = 0.75  # of the way from the mid to the close, which was traded last, is gone at once
RETURN_SHARE = 0.15  # of the way back to the mean of the newest week is gone at once
PUBLISHED_SHARE = 0.5  # of the usual rise: a quarter to a half of it lost in no era
PAST_YEAR = (250, 20)  # sessions back: the newest month, which tends to turn round, is left out of the year


def prior_path(series: PriceSeries, origins: Indices, horizon: int) -> Floats:
    """(m, horizon): the log move after each origin that is expected of any share, whatever its own drift.

    It starts between the mid, the close and the newest week's mean, and rises with the share's volatility and its
    trend: not at all after a bad year, twice as fast after a good one; it never falls. A ticker's own drift over more
    than a year is left out: it says less about its next years than this does.
    """
    rise = usual_rise(series) * (1 + trend(series))
    start = _start(series)[origins, None]
    return np.asarray(start + rise[origins, None] * np.arange(1, horizon + 1), dtype=np.float64)


@each_segment
def _start(series: PriceSeries) -> Floats:
    """(n,) what of the way from the mid to the close, and back to the week's mean, is gone at once."""
    mid = np.log(series.mid)
    start = CLOSE_SHARE * (np.log(series.close) - mid) + RETURN_SHARE * (trailing_mean(mid, 5) - mid)
    return np.asarray(start, dtype=np.float64)


def usual_rise(series: PriceSeries) -> Floats:
    """(n,) log return a session that is usual for a share of that volatility."""
    return USUAL_RISE * (ewma_volatility(series) / USUAL_VOLATILITY) ** RISE_POWER


def published_moves(series: PriceSeries, origins: Indices, leads: Indices) -> Floats:
    """(m, leads) log moves from each origin's close that are published as the median: half of the usual rise.

    None at lead 1, whose mid price lies but half a session ahead. On 99 tickers, in eras from 2003 and from 2009,
    half of the rise gained on nine of ten; its trend gained in one and lost in the other.
    """
    return np.asarray(PUBLISHED_SHARE * usual_rise(series)[origins, None] * (leads - 1), dtype=np.float64)


@each_segment
def trend(series: PriceSeries) -> Floats:
    """(n,) the past year's log return, but for its newest month, over a random walk's deviation; cut at -1 and 1.

    A share without a year of history counts from its first session.
    """
    mid, n = np.log(series.mid), np.arange(len(series))
    oldest, newest = (np.maximum(n - back, 0) for back in PAST_YEAR)
    deviation = ewma_volatility(series) * np.sqrt(PAST_YEAR[0] - PAST_YEAR[1])
    return np.asarray(np.clip((mid[newest] - mid[oldest]) / deviation, -1.0, 1.0), dtype=np.float64)
