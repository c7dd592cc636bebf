"""Proper scores of a forecast distribution, and its bands: lower is better, and only the truth is
best on average. And whether a difference in loss is more than luck.

A distribution is its quantiles at LEVELS, (…, 21), rising; a score has one number for each outcome,
(…). Units are those of the outcome (log price, say); Brier's score has none.

Luck: Diebold and Mariano's test for overlapping paths, and its interval. SciPy has no such test; it
supplies the cosine transform and Student's t. Losses are one number per origin, on the same origins
for both forecasts.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stockml.models.regressions import LEVELS
from stockml.storage.arrays import Floats, Indices

COVERAGES = (0.5, 0.8, 0.95)  # of central bands whose ends are quantiles at LEVELS


def percent(coverage: float) -> str:
    """0.8 as "80"."""
    return f"{100 * coverage:.0f}"


BANDS = tuple(percent(coverage) for coverage in COVERAGES)


def pinball(quantiles: Floats, actual: Floats, levels: Floats = LEVELS) -> Floats:
    """(…, levels) pinball loss of each quantile, of 21, against actual (…).  Koenker and Bassett
    1978."""
    loss = np.asarray(actual[..., None] - quantiles, dtype=np.float64)
    loss *= levels - (loss < 0)  # in place: memory traffic costs more than the products
    return loss


def crps(quantiles: Floats, actual: Floats) -> Floats:
    """(…) continuous ranked probability score against actual (…): twice the mean pinball loss of
    the quantiles.

    The score is the integral over all levels (Gneiting and Raftery 2007; Laio and Tamea 2007); this
    is the mean over LEVELS, which is proper too.
    """
    return np.asarray(2 * pinball(quantiles, actual).mean(axis=-1), dtype=np.float64)


def band(quantiles: Floats, coverage: float) -> tuple[Floats, Floats]:
    """Low and high (…) of the central band of this coverage, one of COVERAGES."""
    end = int(np.argmin(np.abs(LEVELS - (1 - coverage) / 2)))
    return quantiles[..., end], quantiles[..., -1 - end]


def interval_score(low: Floats, high: Floats, actual: Floats, coverage: float) -> Floats:
    """(…) width of the band plus 2 / (1 − coverage) times the miss (Gneiting and Raftery 2007, eq.
    43)."""
    missed = np.maximum(low - actual, 0) + np.maximum(actual - high, 0)
    return np.asarray(high - low + 2 / (1 - coverage) * missed, dtype=np.float64)


def brier(chance: Floats, happened: NDArray[np.bool_] | Floats | Sequence[bool]) -> Floats:
    """(…) squared difference between a chance, (…), 0 to 1, and the outcome, 0 or 1.  Half of Brier
    1950."""
    return np.asarray((chance - np.asarray(happened, dtype=np.float64)) ** 2, dtype=np.float64)


def qlike(variance: Floats, actual: Floats) -> Floats:
    """(…) loss of a forecast variance against an actual one, a noisy estimate, both (…) and above
    0.  Patton 2011."""
    ratio = actual / variance
    return np.asarray(ratio - np.log(ratio) - 1, dtype=np.float64)


@dataclass(frozen=True)
class BandScore:
    """Share of outcomes in a band, bounds included, pooled and by lead, and its interval score
    (lower is better)."""

    coverage: float
    coverage_by_lead: tuple[float, ...]
    interval_score: float


@dataclass(frozen=True)
class BandScores:
    """Scores of the bands on origins they were not calibrated on, keyed by the nominal percentage:
    "50", "80", "95"."""

    bands: dict[str, BandScore]

    def metrics(self) -> dict[str, float]:
        """`intervals/coverage_80`, `intervals/interval_score_80`, and so on."""
        coverages = {
            f"intervals/coverage_{name}": score.coverage for name, score in self.bands.items()
        }
        return coverages | {
            f"intervals/interval_score_{name}": s.interval_score for name, s in self.bands.items()
        }


def score_bands(quantiles: Floats, actual: Floats) -> BandScores:
    """Score the bands of COVERAGES.  quantiles: (m, leads, 21), at LEVELS.  actual: (m, leads), in
    the same units."""
    scores = {}
    for coverage in COVERAGES:
        low, high = band(quantiles, coverage)
        inside = (low <= actual) & (actual <= high)
        scores[percent(coverage)] = BandScore(
            coverage=float(inside.mean()),
            coverage_by_lead=tuple(inside.mean(axis=0).tolist()),
            interval_score=float(interval_score(low, high, actual, coverage).mean()),
        )
    return BandScores(scores)


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
