"""A night's table of whole distributions: its models and the simple forecasts, by CRPS on the same
origins.

Never here: who wins, or a vintage that has seen what it is scored on.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

import numpy as np

from stockml.evaluation.candidates import Candidate, ScoringData
from stockml.evaluation.distribution_scores import (
    CrpsComparison,
    DistributionScore,
    Losses,
    compare_crps,
    score,
)
from stockml.evaluation.forecasters import QuantileRows, forecaster_rows
from stockml.evaluation.path_scores import CHAMPION, LSTM
from stockml.evaluation.significance import is_clear, overlap
from stockml.models.har_regression import REGRESSION
from stockml.models.lead_grid import moves, symmetrised
from stockml.models.ridge_regression import RIDGE
from stockml.models.ticker_network import FINE_TUNED, PRETRAINED
from stockml.models.vintage_set import VintageSet
from stockml.models.vintage_store import KINDS
from stockml.prices.series import PriceSeries
from stockml.storage.arrays import Indices

SHOWN_LEADS = (1, 5, 10, 20, 50)


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
        width, with_location, adds = self.widths.get(LSTM), self.whole.get(LSTM), self.network_adds
        return {
            "crps_skill": with_location.skill if with_location else None,
            "crps_skill_of_the_width": width.skill if width else None,
            "crps_skill_p_value": with_location.p_value if with_location else None,
            "network_adds_crps": adds.skill if adds else None,
            "network_adds_crps_p_value": adds.p_value if adds else None,
            "training_adds_crps": self.training_adds.skill if self.training_adds else None,
            "pretrained_crps_skill": self.widths[PRETRAINED].skill
            if PRETRAINED in self.widths
            else None,
            "crps_against_champion": self.against_champion.skill if self.against_champion else None,
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
    whole_over_simple = compare_crps(losses, shared, reference=RIDGE)
    with_path = {name for name, each in candidates.items() if each.own_path is not None}
    over_simple |= {name: each for name, each in whole_over_simple.items() if name in with_path}
    trained, over_pretrained = (
        candidates[LSTM].trained_row(unseen, leads),
        dict[str, CrpsComparison](),
    )
    if trained is not None and PRETRAINED in widths:
        pair = {FINE_TUNED: Losses.of(trained, actual, leads), PRETRAINED: widths[PRETRAINED]}
        over_pretrained = compare_crps(pair, shared, reference=PRETRAINED, symmetric=True)
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
        training_adds=over_pretrained.get(FINE_TUNED),
    )
