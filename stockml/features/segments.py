"""Segments: the unbroken stretches of a series, separated by holes longer than any exchange closes.

A lasting change of the price by a power of ten also starts a segment, as the bars are in other
units from there, unless it was traded heavily, as in a crash. Each segment is computed on its own,
as if the share had been listed at its start.
"""

from collections.abc import Callable
from functools import lru_cache, wraps
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from stockml.prices.screening import is_tenfold, is_traded_heavily
from stockml.prices.series import PriceSeries
from stockml.storage.arrays import Days, Floats, Indices

MAX_CLOSURE = 10  # weekdays from one session to the next: no exchange closes for longer
HOLE, UNITS = "hole", "change of units"


def holes(sessions: Days) -> Indices:
    """(k,) index of the first session after each hole.  sessions: (n,), ascending."""
    return 1 + np.flatnonzero(np.busday_count(sessions[:-1], sessions[1:]) > MAX_CLOSURE)


def starts(series: PriceSeries) -> Indices:
    """(segments,) index of each segment's first session; 0 for a series without any."""
    first = _starts(series.whole)
    return first[: max(int(np.searchsorted(first, len(series))), 1)]


@lru_cache(maxsize=4)  # by identity: a series never changes
def _starts(series: PriceSeries) -> Indices:
    tenfold = 1 + np.flatnonzero(is_tenfold(np.log10(series.close[1:] / series.close[:-1])))
    units = [
        at for at in tenfold.tolist() if not is_traded_heavily(series.close, series.volume, at)
    ]
    return np.concatenate([[0], np.union1d(holes(series.sessions), units)]).astype(np.int64)


def divided_by(series: PriceSeries, first: int) -> str:
    """What separates the segment that starts at session `first` from the one before it: HOLE or
    UNITS."""
    return HOLE if len(holes(series.sessions[first - 1 : first + 1])) else UNITS


def changes_of_units(series: PriceSeries) -> NDArray[np.datetime64]:
    """(k,) first session of each segment that starts with a change of units."""
    return series.sessions[
        [at for at in starts(series)[1:].tolist() if divided_by(series, at) == UNITS]
    ]


def to_newest_units(series: PriceSeries) -> Floats:
    """(n,) powers of ten that turn each session's prices into the units of the newest; 1 without a
    change of units."""
    tens = np.zeros(len(series))
    for at in np.searchsorted(series.sessions, changes_of_units(series)):
        tens[:at] += np.rint(np.log10(series.close[at] / series.close[at - 1]))
    return 10.0**tens


def segment_start(series: PriceSeries, at: Indices) -> Indices:
    """(m,) first session of the segment that contains each session of `at`; after the newest, of
    the last segment."""
    first = starts(series)
    return first[np.searchsorted(first, at, side="right") - 1]


def segments(series: PriceSeries) -> list[PriceSeries]:
    """The segments, oldest first; `series` itself where there is only one."""
    first = starts(series)
    if len(first) == 1:
        return [series]
    return [series.between(start, stop) for start, stop in pairwise([*first.tolist(), len(series)])]


def cached_causal(rows: Callable[[PriceSeries], Floats]) -> Callable[[PriceSeries], Floats]:
    """Decorate a function that returns a row per session, (n, …), from that session and earlier
    ones alone.

    It is computed once per full series; its prefixes, such as a backtest's nights, share it.
    """
    cached = lru_cache(maxsize=4)(rows)  # by identity: a series never changes

    @wraps(rows)
    def wrapper(series: PriceSeries) -> Floats:
        return cached(series.whole)[: len(series)]

    return wrapper


def each_segment(rows: Callable[[PriceSeries], Floats]) -> Callable[[PriceSeries], Floats]:
    """Decorate a function that returns a row per session, (n, …), to compute each segment on its
    own."""

    @wraps(rows)
    def wrapper(series: PriceSeries) -> Floats:
        return np.concatenate([rows(each) for each in segments(series)])

    return wrapper
