"""Scores of forecast distributions, a night's table of them, and tests of whether one beats another
by more than luck, per ticker and across.

All leads count about alike: what is averaged over them is CRPS / √lead, in log price per square
root of a session. Never here: who wins, or a vintage that has seen what it is scored on.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Self

import numpy as np

from stockml.evaluation.candidates import Candidate, ScoringData
from stockml.evaluation.path_scores import CHAMPION, LSTM
from stockml.forecasts.proper_scores import (
    DieboldMariano,
    Interval,
    crps,
    diebold_mariano,
    is_clear,
    overlap,
    score_bands,
)
from stockml.models.forecasters import QuantileRows, forecaster_rows
from stockml.models.regressions import REGRESSION, RIDGE, moves, symmetrised
from stockml.models.trained_model import FINE_TUNED, PRETRAINED
from stockml.models.vintage_set import VintageSet
from stockml.models.vintage_store import KINDS
from stockml.prices.series import PriceSeries
from stockml.storage.arrays import Days, Floats, Indices

# months: longer than 50 or 20 sessions, so that only neighbouring blocks share outcomes
QUARTER, MONTH = 3, 1
SHOWN_LEADS = (1, 5, 10, 20, 50)


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


@dataclass(frozen=True)
class DistributionTable:
    """Scores by row; `widths`: each against the regression, both symmetrised; `whole`: with their
    location.

    against_champion: tonight's distribution against the champion's.  over_simple: each network's
    against the ridge regression's, both symmetrised unless the network forecasts a path.
    network_adds: the publishing network's. training_adds: tonight's trained network's width,
    published or not, against that of the pretrained one left alone; None where nothing was trained.
    through: the last session that the vintages have seen.  reasons: why a row is missing.
    """

    leads: tuple[int, ...]
    scores: dict[str, DistributionScore]
    widths: dict[str, CrpsComparison]
    whole: dict[str, CrpsComparison]
    against_champion: CrpsComparison | None
    network_adds: CrpsComparison | None
    through: date | None
    reasons: dict[str, str]
    over_simple: dict[str, CrpsComparison] = field(default_factory=dict)
    training_adds: CrpsComparison | None = None

    def is_worse(self, name: str, *, clearly: bool) -> bool:
        """Whether this network's distribution is worse than the ridge regression's; clearly: beyond
        the noise.

        A network learned from a hundred tickers is trusted until this ticker's scores clearly speak
        against it; one learned from this ticker alone is not.
        """
        comparison = self.over_simple.get(name)
        return bool(
            comparison and comparison.skill < 0 and (not clearly or is_clear(comparison.p_value))
        )

    def figures(self) -> dict[str, float | None]:
        """The figures that the verdict keeps among its numbers."""
        comparisons = {
            "crps_skill": self.whole.get(LSTM),
            "crps_skill_of_the_width": self.widths.get(LSTM),
            "network_adds_crps": self.network_adds,
            "training_adds_crps": self.training_adds,
            "pretrained_crps_skill": self.widths.get(PRETRAINED),
            "crps_against_champion": self.against_champion,
        }
        p_values = {
            f"{name}_p_value": comparisons[name] for name in ("crps_skill", "network_adds_crps")
        }
        return {
            **{name: each.skill if each else None for name, each in comparisons.items()},
            **{name: each.p_value if each else None for name, each in p_values.items()},
        }


def row_of(publisher: str) -> str:
    """The row of what is published: a network's, or the ridge regression's."""
    return publisher if publisher in (LSTM, CHAMPION) else RIDGE


def vintage_rows(
    series: PriceSeries, origins: Indices, leads: Indices, vintages: VintageSet
) -> QuantileRows:
    """The regression, the pretrained network as it is, and other packages' forecasters; the ridge
    regression is a candidate.

    vintages: ends before the first of the origins, (m,).
    """
    rows, reasons = forecaster_rows(series, origins, leads)
    if vintages.regression is not None:
        rows[REGRESSION] = vintages.regression.quantiles(series, origins, leads)
    if vintages.pretrained is not None:
        rows[PRETRAINED] = vintages.network_quantiles(series, origins, leads)
    return rows, reasons | {KINDS[kind].name: why for kind, why in vintages.reasons.items()}


def distribution_table(
    unseen: ScoringData, candidates: Mapping[str, Candidate], *, simple_rows: bool = True
) -> DistributionTable:
    """Score the candidates and, with `simple_rows`, the simple forecasts, on the test part's
    origins."""
    series, origins, vintages = unseen.series, unseen.test, unseen.vintages
    leads = np.array([lead for lead in SHOWN_LEADS if lead <= unseen.settings.horizon])
    actual = moves(series, origins, leads)
    simple, reasons = vintage_rows(series, origins, leads, vintages) if simple_rows else ({}, {})
    rows = simple | {name: each.test[:, leads - 1] for name, each in candidates.items()}
    losses = {name: Losses.of(each, actual, leads) for name, each in rows.items()}
    widths = {name: Losses.of(symmetrised(each), actual, leads) for name, each in rows.items()}
    shared = overlap(origins, int(leads[-1]))
    over_simple = compare_crps(widths, shared, reference=RIDGE, symmetric=True)
    with_location = compare_crps(losses, shared, reference=RIDGE)
    for name in (name for name, each in candidates.items() if each.forecasts_path):
        if name in with_location:
            over_simple[name] = with_location[name]
    trained, training_adds = candidates[LSTM].trained_row(unseen, leads), None
    if trained is not None and PRETRAINED in widths:
        pair = {FINE_TUNED: Losses.of(trained, actual, leads), PRETRAINED: widths[PRETRAINED]}
        compared = compare_crps(pair, shared, reference=PRETRAINED, symmetric=True)
        training_adds = compared.get(FINE_TUNED)
    return DistributionTable(
        leads=tuple(leads.tolist()),
        scores={name: score(each, actual, losses[name]) for name, each in rows.items()},
        widths=compare_crps(widths, shared, reference=REGRESSION, symmetric=True),
        whole=compare_crps(losses, shared, reference=REGRESSION),
        against_champion=compare_crps(losses, shared, reference=CHAMPION).get(LSTM),
        network_adds=over_simple.get(LSTM),
        through=vintages.through,
        reasons=reasons,
        over_simple={name: over_simple[name] for name in (LSTM, CHAMPION) if name in over_simple},
        training_adds=training_adds,
    )
