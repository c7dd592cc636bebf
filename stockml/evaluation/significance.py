"""Is a difference in loss more than luck? Diebold-Mariano for paths that overlap, and a block bootstrap of the skill.

SciPy has neither test; it gives Student's t. Losses are one number an origin, from the same origins for both.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr

from stockml.storage.arrays import Floats, Indices

SIGNIFICANT = 0.05  # a difference that luck explains more often than this is called noise
RESAMPLES, CONFIDENCE = 2_000, 0.95
ROUNDING = 1e-12  # relative: losses that differ by less are equal


def is_clear(p_value: float | None) -> bool:
    """Whether a difference is more than noise; one that has no p-value is not known to be."""
    return p_value is not None and p_value < SIGNIFICANT


def overlap(origins: Indices, horizon: int) -> int:
    """How many consecutive origins at most share a session: origins every 10 with 50 leads overlap 5 at a time."""
    return int(np.max(np.searchsorted(origins, origins + horizon) - np.arange(len(origins))))


@dataclass(frozen=True)
class DieboldMariano:
    """`statistic` > 0 where the first loses more; `p_value` is two-sided, `p_worse` how likely so by luck."""

    statistic: float
    p_value: float
    p_worse: float


def diebold_mariano(loss: Floats, other: Floats, overlapping: int) -> DieboldMariano | None:
    """Diebold and Mariano (1995) with the small-sample correction of Harvey, Leybourne and Newbold (1997).

    loss, other: (m,), on the same origins in time order, of which `overlapping` consecutive ones share sessions.
    The forecast of origin j is so correlated with the next `overlapping` − 1, whose autocovariances enter the
    variance; where their plain sum is not positive, Bartlett's weights are used (Newey and West 1987).
    None where there are fewer than 2 · `overlapping` origins: no honest answer exists.
    """
    difference = loss - other
    count = len(difference)
    if count < max(3, 2 * overlapping):
        return None
    if np.abs(difference).max() <= ROUNDING * np.abs(loss).max():
        return DieboldMariano(0.0, 1.0, 0.5)
    variance = _long_run_variance(difference, overlapping)
    if variance <= 0:
        return None
    corrected = (count + 1 - 2 * overlapping + overlapping * (overlapping - 1) / count) / count
    statistic = float(difference.mean() / math.sqrt(variance / count) * math.sqrt(corrected))
    worse = float(stdtr(count - 1, -statistic))
    return DieboldMariano(statistic, 2 * min(worse, 1 - worse), worse)


def _long_run_variance(series: Floats, overlapping: int) -> float:
    """Variance of the mean of `series`, times its length."""
    centred = series - series.mean()
    covariances = np.array([centred[lag:] @ centred[: len(centred) - lag] for lag in range(overlapping)]) / len(series)
    plain = covariances[0] + 2 * covariances[1:].sum()
    if plain > 0:
        return float(plain)
    weights = 1 - np.arange(1, overlapping) / overlapping
    return float(covariances[0] + 2 * weights @ covariances[1:])


@dataclass(frozen=True)
class Interval:
    low: float
    high: float


def skill_difference_interval(loss: Floats, other: Floats, naive: Floats, overlapping: int) -> Interval | None:
    """95 % block-bootstrap interval of skill(loss) − skill(other), where skill = 1 − mean loss / mean naive loss.

    loss, other, naive: (m,), same origins in time order. Blocks of consecutive origins, wrapping round (Politis and
    Romano 1992), as long as the overlap and at least the cube root of m, are drawn with replacement, the same blocks
    for all three. None with fewer than two blocks, or where the reference made no error.
    """
    count = len(loss)
    block = max(overlapping, round(count ** (1 / 3)))
    if count < 2 * block:
        return None
    rows = _block_rows(count, block)
    against = naive[rows].mean(axis=1)
    if np.any(against <= 0):
        return None
    differences = (other[rows].mean(axis=1) - loss[rows].mean(axis=1)) / against
    low, high = np.quantile(differences, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Interval(float(low), float(high))


def _block_rows(count: int, block: int) -> Indices:
    """(RESAMPLES, count) row numbers, in runs of `block`; the same ones every time."""
    starts = np.random.default_rng(0).integers(0, count, size=(RESAMPLES, math.ceil(count / block)))
    rows = (starts[:, :, None] + np.arange(block)) % count
    return rows.reshape(RESAMPLES, -1)[:, :count]
