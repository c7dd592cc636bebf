"""Bands round a published path: their coverages, and how often they held."""

from collections.abc import Mapping
from dataclasses import dataclass

from stockml.forecasts.proper_scores import interval_score
from stockml.storage.arrays import Floats

COVERAGES = (0.5, 0.8, 0.95)


def percent(coverage: float) -> str:
    """0.8 as "80"."""
    return f"{100 * coverage:.0f}"


BANDS = tuple(percent(coverage) for coverage in COVERAGES)


@dataclass(frozen=True)
class BandScore:
    """How often the price was inside, pooled and by lead, and the interval score (lower is better), in price."""

    coverage: float
    coverage_by_lead: tuple[float, ...]
    interval_score: float


@dataclass(frozen=True)
class BandScores:
    """The bands on origins they were not calibrated on, keyed by the nominal percentage: "50", "80", "95"."""

    bands: dict[str, BandScore]

    def metrics(self) -> dict[str, float]:
        """`intervals/coverage_80`, `intervals/interval_score_80`, and so on."""
        coverages = {f"intervals/coverage_{name}": score.coverage for name, score in self.bands.items()}
        return coverages | {f"intervals/interval_score_{name}": s.interval_score for name, s in self.bands.items()}


def score_limits(limits: Mapping[float, tuple[Floats, Floats]], actual: Floats) -> BandScores:
    """limits: low and high by coverage, (m, horizon), price.  actual: (m, horizon), price."""
    scores = {}
    for coverage, (low, high) in limits.items():
        inside = (low <= actual) & (actual <= high)
        scores[percent(coverage)] = BandScore(
            coverage=float(inside.mean()),
            coverage_by_lead=tuple(inside.mean(axis=0).tolist()),
            interval_score=float(interval_score(low, high, actual, coverage).mean()),
        )
    return BandScores(scores)
