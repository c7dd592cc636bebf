"""Scores of forecast distributions, and tests of whether one beats another by more than luck, per
ticker and across.

All leads count about alike: what is averaged over them is CRPS / √lead, in log price per square
root of a session.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from stockml.evaluation.significance import DieboldMariano, Interval, diebold_mariano
from stockml.forecasts.proper_scores import crps, score_bands
from stockml.models.lead_grid import LEADS, moves, symmetrised
from stockml.models.vintage_set import VintageSet
from stockml.prices.series import PriceSeries
from stockml.storage.arrays import Days, Floats, Indices

# months: longer than 50 or 20 sessions, so that only neighbouring blocks share outcomes
QUARTER, MONTH = (
    3,
    1,
)


@dataclass(frozen=True)
class DistributionScore:
    """Scores of one forecast on its origins; those by lead go from the first to the last.

    crps: mean of CRPS / √lead over all leads.  crps_by_lead, interval_scores: log price.  coverage:
    a share, 0 to 1.
    """

    origins: int
    crps: float
    crps_by_lead: tuple[float, ...]
    coverage: dict[str, float]
    coverage_by_lead: dict[str, tuple[float, ...]]
    interval_scores: dict[str, float]


@dataclass(frozen=True)
class CrpsComparison:
    """`name` against `reference`: skill = 1 − CRPS / CRPS of the reference (> 0: better), over all
    leads and by lead.

    symmetric: only the widths were compared.  test: of the losses per origin, over all leads; > 0
    where `name` loses.
    """

    name: str
    reference: str
    symmetric: bool
    skill: float
    skill_by_lead: tuple[float, ...]
    test: DieboldMariano | None

    @property
    def p_value(self) -> float | None:
        """Two-sided p-value of the difference; None with too few origins to test."""
        return self.test.p_value if self.test else None

    @property
    def interval(self) -> Interval | None:
        """The 95 % confidence interval of the skill over all leads; None with too few origins to
        test."""
        return self.test.around(self.skill) if self.test else None


@dataclass(frozen=True, eq=False)
class Losses:
    """A forecast's losses.  by_origin: (m,), over all leads.  means: (1 + leads,), over all leads
    and then at each.

    moved: whether the price ever did; where it did not, the narrowest width would win.
    """

    by_origin: Floats
    means: Floats
    moved: bool = True

    @classmethod
    def of(cls, quantiles: Floats, actual: Floats, leads: Indices) -> Self:
        """CRPS, over all leads each / √lead.  quantiles: (m, leads, 21), at LEVELS.  actual: (m,
        leads), outcomes."""
        each = crps(quantiles, actual)
        by_origin = (each / np.sqrt(leads)).mean(axis=1)
        return cls(by_origin, np.array([by_origin.mean(), *each.mean(axis=0)]), bool(actual.any()))

    def skills(self, reference: Self) -> tuple[float, ...]:
        """1 − loss / loss of the reference, as `means`; NaN for a price that never moved or an
        exact reference."""
        pairs = zip(self.means, reference.means, strict=True)
        return tuple(
            float(1 - one / other) if self.moved and other > 0 else math.nan for one, other in pairs
        )


@dataclass(frozen=True, eq=False)
class PairedLosses:
    """A ticker's losses of a forecast and of its reference, (m,) each, over all leads, after these
    sessions.

    skills: 1 − loss / reference's loss, over all leads and then at LEADS.
    """

    sessions: Days
    loss: Floats
    reference: Floats
    skills: tuple[float, ...]


def score(quantiles: Floats, actual: Floats, losses: Losses) -> DistributionScore:
    """Score a forecast.  quantiles: (m, leads, 21), actual: (m, leads): what `losses`, in CRPS, was
    computed from."""
    bands = score_bands(quantiles, actual).bands
    return DistributionScore(
        origins=len(actual),
        crps=float(losses.means[0]),
        crps_by_lead=tuple(losses.means[1:].tolist()),
        coverage={name: score.coverage for name, score in bands.items()},
        coverage_by_lead={name: score.coverage_by_lead for name, score in bands.items()},
        interval_scores={name: score.interval_score for name, score in bands.items()},
    )


def compare_crps(
    rows: Mapping[str, Losses], overlapping: int, *, reference: str, symmetric: bool = False
) -> dict[str, CrpsComparison]:
    """Compare every other row with the reference, on the same origins, of which `overlapping` in a
    row share sessions.

    symmetric: the losses are of the widths alone.  Empty where there is no reference row, or the
    price never moved.
    """
    if reference not in rows:
        return {}
    reference_losses, comparisons = rows[reference], {}
    for name, each in rows.items():
        skills = each.skills(reference_losses)
        if name != reference and np.isfinite(skills).all():
            test = diebold_mariano(each.by_origin, reference_losses.by_origin, overlapping)
            comparisons[name] = CrpsComparison(
                name, reference, symmetric, skills[0], skills[1:], test
            )
    return comparisons


def pretrained_score(
    vintages: VintageSet, series: Mapping[str, PriceSeries], origins: Mapping[str, Indices]
) -> tuple[float, float]:
    """Mean CRPS skill of the pretrained network over the regression, both symmetrised, and the
    share (%) of tickers that gain.

    A skill of 0.003 is 0.3 % better.  origins: (m,) by ticker, scored at LEADS; a ticker whose
    price stood still is left out.  Raises ValueError where no ticker is left.
    """
    leads, skills = np.array(LEADS), []
    assert vintages.regression is not None
    for prices, at in ((series[ticker], at) for ticker, at in sorted(origins.items()) if len(at)):
        network = vintages.network_quantiles(prices, at, leads)
        simple = symmetrised(vintages.regression.quantiles(prices, at, leads))
        loss, reference = (
            Losses.of(each, moves(prices, at, leads), leads) for each in (network, simple)
        )
        skills.append(loss.skills(reference)[0])
    finite = np.array([each for each in skills if np.isfinite(each)])
    if not len(finite):
        raise ValueError("expected a ticker whose price moves, found none")
    return float(finite.mean()), 100 * float((finite > 0).mean())


def panel_diebold_mariano(
    tickers: Sequence[PairedLosses], months: int = QUARTER
) -> DieboldMariano | None:
    """Diebold-Mariano across tickers, by blocks of calendar time: tickers share their months and
    their luck.

    Each ticker's losses count in units of its reference's mean. The mean over all tickers and
    origins of a block is one observation; neighbouring blocks share outcomes. A block with less
    than half the median number of origins, such as an era's first or last, is left out. None where
    too few blocks remain.  tickers: one or more, whose prices move. months: of a block, in which
    the longest lead must be over.
    """
    dates = np.concatenate(
        [each.sessions.astype("datetime64[M]").astype(np.int64) // months for each in tickers]
    )
    _, block, counts = np.unique(dates, return_inverse=True, return_counts=True)
    full = counts >= np.median(counts) / 2

    def by_block(what: str) -> Floats:
        relative = np.concatenate([getattr(each, what) / each.reference.mean() for each in tickers])
        return np.asarray(
            np.bincount(block, weights=relative)[full] / counts[full], dtype=np.float64
        )

    return diebold_mariano(by_block("loss"), by_block("reference"), 2)
