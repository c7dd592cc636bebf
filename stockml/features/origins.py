"""Which sessions a model may learn from: the segments of a series, and the parts of its origins.

Segments are the unbroken stretches, separated by holes longer than any exchange closes. A lasting
change of the price by a power of ten also starts a segment, as the bars are in other units from
there, unless it was traded heavily, as in a crash. Each segment is computed on its own, as if the
share had been listed at its start.

Origin i means "after the close of session i": inputs hold sessions up to i, lead k (1..horizon) is
session i + k. Origins are split into training, validation and test parts.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, wraps
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from stockml.errors import TooFewBars
from stockml.prices.screening import is_tenfold, is_traded_heavily
from stockml.prices.series import PriceSeries
from stockml.settings import EvaluationSettings
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


MAX_HELD_OUT_SHARE = 0.5
HORIZONS_TO_LEARN = 12  # with fewer there is only a test part: 600 sessions for a horizon of 50
FIRST_ORIGIN = 21  # a month of moves must come before it: with fewer there is no width


@dataclass(frozen=True)
class OriginSplit:
    """Ranges of origins in time order; the training part is every origin below `train_end`.

    Each part's last outcome precedes the next part's first origin: train_end - 1 + horizon is
    before validation.start.
    """

    train_end: int
    validation: range
    test: range


def minimum_sessions(evaluation: EvaluationSettings) -> int:
    """Fewest sessions for one forecast and one earlier forecast to score: a month and a horizon."""
    return FIRST_ORIGIN + evaluation.horizon + 1


def split_origins(n: int, evaluation: EvaluationSettings, not_before: int = 0) -> OriginSplit:
    """Split `n` sessions into training, validation and test parts, oldest to newest, with a horizon
    between each.

    Test and validation shrink in proportion so that together they hold at most half of the
    sessions, though not below two horizons for the test part and one for validation. With fewer
    than 12 horizons, or where validation would begin before session `not_before`, there is only a
    test part: the origins from there on, at most as many as asked for. Raises TooFewBars below
    `minimum_sessions`, or where no origin is left.
    """
    horizon, needed = evaluation.horizon, minimum_sessions(evaluation)
    target = evaluation.test_sessions + evaluation.validation_sessions
    # rounded once: each further session holds out at most one more, so no part ever begins earlier
    # than before
    held_out = min(target, int(MAX_HELD_OUT_SHARE * n))
    test_sessions = held_out * evaluation.test_sessions // target
    test_start = n - max(test_sessions, 2 * horizon)
    validation_stop = test_start - horizon
    validation_start = validation_stop - max(held_out - test_sessions, horizon)
    if n >= HORIZONS_TO_LEARN * horizon and validation_start >= max(not_before, FIRST_ORIGIN):
        validation = range(validation_start, validation_stop)
        return OriginSplit(
            validation_start - horizon, validation, test=range(test_start, n - horizon)
        )
    first = max(FIRST_ORIGIN, not_before, n - max(evaluation.test_sessions, horizon + 1))
    if first >= n - horizon:
        raise TooFewBars(needed + max(0, first - FIRST_ORIGIN), n)
    return OriginSplit(train_end=0, validation=range(first, first), test=range(first, n - horizon))


def every_nth(part: range, every: int) -> Indices:
    """(m,) every `every`-th origin of a part, from its first."""
    return np.arange(part.start, part.stop, every, dtype=np.int64)


def within_segment(series: PriceSeries, at: Indices, horizon: int) -> Indices:
    """Select the sessions of `at`, (m,), whose past month and next `horizon` sessions lie in one
    segment."""
    begin = np.maximum(at - FIRST_ORIGIN, 0)
    return np.asarray(at[segment_start(series, begin) == segment_start(series, at + horizon)])


def scored_origins(series: PriceSeries, part: range, evaluation: EvaluationSettings) -> Indices:
    """(m,) every `origin_every`-th origin of a part, except where window or outcome would cross
    segments."""
    return within_segment(series, every_nth(part, evaluation.origin_every), evaluation.horizon)


def check_segments(series: PriceSeries, split: OriginSplit, evaluation: EvaluationSettings) -> None:
    """Raise TooFewBars where tonight's window, or those of all test origins, would cross a segment
    boundary."""
    check_newest(series)
    if not len(scored_origins(series, split.test, evaluation)):
        first = int(starts(series)[-1])
        needed = minimum_sessions(evaluation) + evaluation.origin_every - 1
        raise TooFewBars(
            needed, len(series) - first, f"an earlier forecast to be scored{_since(series, first)}"
        )


def check_newest(series: PriceSeries) -> None:
    """Raise TooFewBars where the newest session has less than a month before it in its own
    segment."""
    first = int(starts(series)[-1])
    if (found := len(series) - first) <= FIRST_ORIGIN:
        raise TooFewBars(FIRST_ORIGIN + 1, found, f"a forecast{_since(series, first)}")


def _since(series: PriceSeries, first: int) -> str:
    if not first:
        return ""
    return (
        f", since the {divided_by(series, first)} from {series.sessions[first - 1]} to "
        f"{series.sessions[first]}"
    )
