"""Which sessions are learned from, chosen on and measured on, and the windows cut from them.

An origin i means "after the close of session i": inputs hold sessions up to i, lead k (1..horizon) is session i + k.
"""

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from stockml.errors import TooFewBars
from stockml.settings import EvaluationSettings
from stockml.storage.arrays import Floats, Indices

LARGEST_HELD_OUT_SHARE = 0.5
FIRST_ORIGIN = 21  # a month of moves is seen before it, without which there is no width


@dataclass(frozen=True)
class OriginSplit:
    """Ranges of origins in time order; between one part's last outcome and the next part's first origin is no overlap.

    Training origins are below `train_end`, validation and test origins in their ranges. With horizon h the last
    training outcome is session train_end - 1 + h, before validation.start; the last validation outcome is
    session validation.stop - 1 + h, before test.start.
    """

    train_end: int
    validation: range
    test: range


def minimum_sessions(evaluation: EvaluationSettings) -> int:
    """The fewest sessions with which a forecast can be made and one earlier one be scored: a month and a horizon."""
    return FIRST_ORIGIN + evaluation.horizon + 1


def sessions_to_learn(evaluation: EvaluationSettings) -> int:
    """The fewest sessions that hold a training and a validation part too: 12 horizons, 600 sessions for 50."""
    return 12 * evaluation.horizon


def split_origins(n: int, evaluation: EvaluationSettings, not_before: int = 0) -> OriginSplit:
    """Split `n` sessions: the newest are the test part, before them validation, then training, a horizon between each.

    Test and validation shrink in proportion so that together they hold at most half of the sessions, though not below
    two horizons for the test part and one for validation. With fewer than `sessions_to_learn`, or where validation
    would begin before session `not_before`, there is a test part alone: all origins from there on, at most as many as
    asked for. Raises TooFewBars below `minimum_sessions`, or where no origin is left.
    """
    horizon, needed = evaluation.horizon, minimum_sessions(evaluation)
    wanted = evaluation.test_sessions + evaluation.validation_sessions
    share = min(1.0, LARGEST_HELD_OUT_SHARE * n / wanted)
    test_start = n - max(int(evaluation.test_sessions * share), 2 * horizon)
    validation_stop = test_start - horizon
    validation_start = validation_stop - max(int(evaluation.validation_sessions * share), horizon)
    if n >= sessions_to_learn(evaluation) and validation_start >= max(not_before, FIRST_ORIGIN):
        return OriginSplit(
            train_end=validation_start - horizon,
            validation=range(validation_start, validation_stop),
            test=range(test_start, n - horizon),
        )
    first = max(FIRST_ORIGIN, not_before, n - max(evaluation.test_sessions, horizon + 1))
    if first >= n - horizon:
        raise TooFewBars(needed + max(0, first - FIRST_ORIGIN), n)
    return OriginSplit(train_end=0, validation=range(first, first), test=range(first, n - horizon))


def origins(part: range, every: int) -> Indices:
    """(m,) every `every`-th origin of a part, from its first."""
    return np.arange(part.start, part.stop, every, dtype=np.int64)


def watched_origins(split: OriginSplit, horizon: int) -> Indices:
    """(m,) origins of the test part whose paths do not overlap."""
    return origins(split.test, horizon)


def outcomes(values: Floats, at: Indices, horizon: int) -> Floats:
    """(m, horizon): for each origin the `horizon` values after it. values: (n,); origins below n - horizon."""
    return np.ascontiguousarray(sliding_window_view(values, horizon)[at + 1])


def known_outcomes(mid: Floats, origins: Indices, horizon: int) -> Floats:
    """What then happened.  mid: (n,), price.  origins: (m,), ascending.  Returns (m, horizon).  Raises TooFewBars."""
    needed = int(origins[-1]) + horizon + 1 if len(origins) else horizon + 2
    if len(origins) == 0 or needed > len(mid):
        raise TooFewBars(needed, len(mid), "an evaluation")
    return outcomes(mid, origins, horizon)
