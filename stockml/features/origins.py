"""Split the origins into training, validation and test parts.

Origin i means "after the close of session i": inputs hold sessions up to i, lead k (1..horizon) is
session i + k.
"""

from dataclasses import dataclass

import numpy as np

from stockml.errors import TooFewBars
from stockml.features.segments import divided_by, segment_start, starts
from stockml.prices.series import PriceSeries
from stockml.settings import EvaluationSettings
from stockml.storage.arrays import Indices

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
