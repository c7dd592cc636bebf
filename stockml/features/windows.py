"""Which sessions are learned from, chosen on and measured on, and the windows cut from them.

An origin i means "after the close of session i": inputs hold sessions up to i, lead k (1..horizon) is session i + k.
"""

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from stockml.errors import TooFewBars
from stockml.settings import EvaluationSettings
from stockml.storage.arrays import Floats, Indices

MINIMUM_HORIZONS = 12  # 600 sessions for the usual horizon of 50: shorter parts hold too few independent paths
LARGEST_HELD_OUT_SHARE = 0.5


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
    """The fewest sessions that can be split: 12 horizons."""
    return MINIMUM_HORIZONS * evaluation.horizon


def split_origins(n: int, evaluation: EvaluationSettings) -> OriginSplit:
    """Split `n` sessions: the newest are the test part, before them validation, then training, a horizon between each.

    Test and validation shrink in proportion so that together they hold at most half of the sessions, though not below
    two horizons for the test part and one for validation. Raises TooFewBars below `minimum_sessions`.
    """
    if n < minimum_sessions(evaluation):
        raise TooFewBars(minimum_sessions(evaluation), n)
    wanted = evaluation.test_sessions + evaluation.validation_sessions
    share = min(1.0, LARGEST_HELD_OUT_SHARE * n / wanted)
    horizon = evaluation.horizon
    test_start = n - max(int(evaluation.test_sessions * share), 2 * horizon)
    validation_stop = test_start - horizon
    validation_start = validation_stop - max(int(evaluation.validation_sessions * share), horizon)
    return OriginSplit(
        train_end=validation_start - horizon,
        validation=range(validation_start, validation_stop),
        test=range(test_start, n - horizon),
    )


def origins(part: range, every: int) -> Indices:
    """(m,) every `every`-th origin of a part, from its first."""
    return np.arange(part.start, part.stop, every, dtype=np.int64)


def inputs(rows: NDArray[np.float32], at: Indices, look_back: int) -> NDArray[np.float32]:
    """(m, look_back, features): for each origin the last `look_back` rows, the origin's own the last of them.

    rows: (n, features), row t known after session t. Origins must be at least look_back - 1.
    """
    windows = sliding_window_view(rows, look_back, axis=0)
    return np.ascontiguousarray(windows[at - look_back + 1].transpose(0, 2, 1))


def outcomes(values: Floats, at: Indices, horizon: int) -> Floats:
    """(m, horizon): for each origin the `horizon` values after it. values: (n,); origins below n - horizon."""
    return np.ascontiguousarray(sliding_window_view(values, horizon)[at + 1])


def targets(log_mid: Floats, sigma: Floats, at: Indices, horizon: int) -> Floats:
    """(m, horizon): the log path after each origin, relative to its last value, in units of its daily volatility.

    log_mid, sigma: (n,), log mid price and trailing daily volatility; row m, column k - 1 is
    (log_mid[i + k] - log_mid[i]) / sigma[i] for origin i = at[m].
    """
    return (outcomes(log_mid, at, horizon) - log_mid[at, None]) / sigma[at, None]


def known_outcomes(mid: Floats, origins: Indices, horizon: int) -> Floats:
    """What then happened.  mid: (n,), price.  origins: (m,), ascending.  Returns (m, horizon).  Raises TooFewBars."""
    needed = int(origins[-1]) + horizon + 1 if len(origins) else horizon + 2
    if len(origins) == 0 or needed > len(mid):
        raise TooFewBars(needed, len(mid), "an evaluation")
    return outcomes(mid, origins, horizon)
