"""Where a series is whole: a hole that is longer than any exchange pauses ends one segment, and begins another.

So does a ten- or hundredfold price that stays: the bars are in other units from there, unless it was traded heavily, as
in a crash. What is computed of a segment knows nothing of those before it: it is as of a share that was listed then.
"""

from collections.abc import Callable
from functools import lru_cache, wraps
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from stockml.prices.screening import is_tenfold, is_traded_heavily
from stockml.prices.series import PriceSeries
from stockml.storage.arrays import Floats, Indices

LONGEST_CLOSURE = 10  # weekdays from one session to the next: no exchange pauses longer
FAR = 5.0  # times the close before: less is no change of units
HOLE, UNITS = "hole", "change of units"


@lru_cache(maxsize=4)  # of the very object, which never changes
def starts(series: PriceSeries) -> Indices:
    """(segments,) the first session of each."""
    apart = np.busday_count(series.sessions[:-1], series.sessions[1:])
    times = series.close[1:] / series.close[:-1]
    far = np.flatnonzero((times > FAR) | (times < 1 / FAR))  # a logarithm of each would double what this takes
    tenfold = far[is_tenfold(np.log10(times[far]))]
    units = [at for at in tenfold if not is_traded_heavily(series.close, series.volume, at + 1)]
    found = np.union1d(np.flatnonzero(apart > LONGEST_CLOSURE), units)
    return np.concatenate([[0], found + 1]).astype(np.int64)


def divided_by(series: PriceSeries, first: int) -> str:
    """What the segment that begins with session `first` follows."""
    apart = np.busday_count(series.sessions[first - 1], series.sessions[first])
    return HOLE if apart > LONGEST_CLOSURE else UNITS


def changes_of_units(series: PriceSeries) -> NDArray[np.datetime64]:
    """The first session of each segment that prices in other units begin."""
    return series.sessions[[at for at in starts(series)[1:].tolist() if divided_by(series, at) == UNITS]]


def segment_start(series: PriceSeries, at: Indices) -> Indices:
    """(m,) the first session of the segment that each session of `at` lies in."""
    first = starts(series)
    return first[np.searchsorted(first, at, side="right") - 1]


def segments(series: PriceSeries) -> list[PriceSeries]:
    """Oldest first; a series without a long hole is itself the only one."""
    first = starts(series)
    if len(first) == 1:
        return [series]
    return [series.between(start, stop) for start, stop in pairwise([*first.tolist(), len(series)])]


def each_segment(rows: Callable[[PriceSeries], Floats]) -> Callable[[PriceSeries], Floats]:
    """Of a function that gives a row for each session, (n, …): computed of each segment by itself."""

    @wraps(rows)
    def of(series: PriceSeries) -> Floats:
        return np.concatenate([rows(each) for each in segments(series)])

    return of
