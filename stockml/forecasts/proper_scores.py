"""Proper scores of a forecast distribution, and its bands: lower is better, and only the truth is
best on average.

A distribution is its quantiles at LEVELS, (…, 21), rising; a score has one number for each outcome,
(…). Units are those of the outcome (log price, say); Brier's score has none.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stockml.models.lead_grid import LEVELS
from stockml.storage.arrays import Floats

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
