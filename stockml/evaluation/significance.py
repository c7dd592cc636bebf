"""Is a difference in loss more than luck? Diebold and Mariano's test for overlapping paths, and its
interval.

SciPy has no such test; it supplies the cosine transform and Student's t. Losses are one number per
origin, on the same origins for both forecasts.
"""

import math
from dataclasses import dataclass

import numpy as np

from stockml.storage.arrays import Floats, Indices

SIGNIFICANT = 0.05  # a difference that luck explains more often than this is called noise
CONFIDENCE = 0.95
ROUNDING = 1e-12  # relative: losses that differ by less are equal


def is_clear(p_value: float | None) -> bool:
    """Whether a difference is more than noise; without a p-value it is not known to be."""
    return p_value is not None and p_value < SIGNIFICANT


def p_text(p_value: float) -> str:
    """Two decimals: `0.27`, and `< 0.01` for what they would show as 0."""
    return f"{p_value:.2f}" if p_value >= 0.005 else "< 0.01"


def overlap(origins: Indices, horizon: int) -> int:
    """The most consecutive origins that share a session: origins every 10 with 50 leads overlap 5
    at a time.

    origins: (m,), ascending session indices.
    """
    return int(np.max(np.searchsorted(origins, origins + horizon) - np.arange(len(origins))))


@dataclass(frozen=True)
class Interval:
    low: float
    high: float


@dataclass(frozen=True)
class DieboldMariano:
    """`statistic` > 0 where the first loses more.  p_value: two-sided; p_worse: one-sided, for the
    first losing more.

    freedom: degrees of freedom of Student's t; None for equal losses, and in records of versions
    that took too many.
    """

    statistic: float
    p_value: float
    p_worse: float
    freedom: int | None = None

    def around(self, figure: float) -> Interval | None:
        """The 95 % confidence interval of `figure`, the mean difference in other units; it holds 0
        where the p-value is at least 5 %. None without a standard error.
        """
        if self.freedom is None or self.statistic == 0:
            return None
        from scipy.special import stdtrit

        half = float(stdtrit(self.freedom, (1 + CONFIDENCE) / 2)) * abs(figure / self.statistic)
        return Interval(figure - half, figure + half)


def diebold_mariano(loss: Floats, other: Floats, overlapping: int) -> DieboldMariano | None:
    """Diebold and Mariano (1995), with fixed-smoothing asymptotics for few origins, as in Coroneo
    and Iacone (2020).

    loss, other: (m,), on the same origins in time order, of which `overlapping` consecutive ones
    share sessions. A difference is then correlated with those up to `overlapping` − 1 origins away.
    The long-run variance is the equal-weighted cosine estimator: the mean square of the B lowest
    type II cosine transforms of the differences, which makes the statistic Student's t with B
    degrees of freedom (Müller 2007; Lazarus, Lewis, Stock and Watson 2018). B is one for each 2 ·
    `overlapping` − 1 origins; where none overlap this is Student's paired test. Equal forecasts are
    called different 5 to 7 times in a hundred, however few the origins. None with fewer than 2 ·
    `overlapping` origins or fewer than 3, or where the transforms are 0: no honest answer exists.
    """
    from scipy.fft import dct
    from scipy.special import stdtr

    difference = loss - other
    count = len(difference)
    if count < max(3, 2 * overlapping):
        return None
    if np.abs(difference).max() <= ROUNDING * np.abs(loss).max():
        return DieboldMariano(0.0, 1.0, 0.5)
    freedom = min(count - 1, count // (2 * overlapping - 1))
    variance = float(np.mean(dct(difference, norm="ortho")[1 : freedom + 1] ** 2))
    # as for a constant, or for one origin in the middle
    if variance <= (ROUNDING * np.abs(difference).max()) ** 2:
        return None
    statistic = float(difference.mean() / math.sqrt(variance / count))
    worse = float(stdtr(freedom, -statistic))
    return DieboldMariano(statistic, 2 * min(worse, 1 - worse), worse, freedom)
