"""A night's rows by the whole distribution: what is published and every simple forecast, by CRPS on the same origins.

The pooled regression is the newest vintage that ends before the first origin: chosen by date, never by score.

Never here: who wins, or a vintage that has seen what it is scored on.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np

from stockml.evaluation.candidates import Scored
from stockml.evaluation.distribution_scores import CrpsComparison, DistributionScore, compared, scored
from stockml.evaluation.evaluate import CHAMPION, LSTM, WITHOUT_NETWORK
from stockml.evaluation.simple_distributions import POOLED, DistributionRows, simple_distributions
from stockml.features.windows import known_outcomes
from stockml.models.pooled_vintages import NoVintage, newest_before
from stockml.prices.series import PriceSeries
from stockml.storage.arrays import Floats, Indices

LEADS = (1, 5, 10, 20, 50)
SIGNIFICANT = 0.05


@dataclass(frozen=True)
class DistributionTable:
    """Scores by row; `widths`: each against the pooled regression with both made symmetric, `whole`: as they are.

    against_champion, network_adds: tonight's distribution against the champion's, and against the same procedure on the
    trend prior; as they are. through: the last session that the pooled regression has seen. reasons: why a row is not
    there.
    """

    leads: tuple[int, ...]
    scores: dict[str, DistributionScore]
    widths: dict[str, CrpsComparison]
    whole: dict[str, CrpsComparison]
    against_champion: CrpsComparison | None
    network_adds: CrpsComparison | None
    through: date | None
    reasons: dict[str, str]

    def loses_to_the_strongest_simple(self, name: str) -> bool:
        """Whether this row's distribution is worse than the pooled regression's by more than luck would explain."""
        found = self.whole.get(name)
        return bool(found and found.test and found.skill < 0 and found.test.p_value < SIGNIFICANT)

    def figures(self) -> dict[str, float | None]:
        """What the verdict keeps among its numbers."""
        width, whole, adds = self.widths.get(LSTM), self.whole.get(LSTM), self.network_adds
        return {
            "crps_skill": whole.skill if whole else None,
            "crps_skill_of_the_width": width.skill if width else None,
            "crps_skill_p_value": whole.test.p_value if whole and whole.test else None,
            "network_adds_crps": adds.skill if adds else None,
            "network_adds_crps_p_value": adds.test.p_value if adds and adds.test else None,
            "crps_against_champion": self.against_champion.skill if self.against_champion else None,
        }


def distribution_table(series: PriceSeries, origins: Indices, rows: Mapping[str, Scored]) -> DistributionTable:
    """Score these rows and the simple ones.  origins: (m,), with known outcomes.  rows: from these very origins."""
    horizon = next(iter(rows.values())).paths.shape[1]
    leads = np.array([lead for lead in LEADS if lead <= horizon])
    actual = np.log(known_outcomes(series.mid, origins, horizon)[:, leads - 1] / series.close[origins, None])
    pool = newest_before(series.sessions[origins[0]].item())
    if isinstance(pool, NoVintage):
        found, through = DistributionRows(origins, leads, {}, {POOLED: str(pool)}), None
    else:
        found, through = simple_distributions(series, origins, leads, pool), pool.through
    for name, each in rows.items():
        found = found.with_row(name, origins, leads, each.log_quantiles(series, origins, leads))
    by_champion = compared(found, actual, reference=CHAMPION, symmetric=False)
    by_prior = compared(found, actual, reference=WITHOUT_NETWORK, symmetric=False)
    return DistributionTable(
        leads=tuple(leads.tolist()),
        scores={name: scored(quantiles, actual, leads) for name, quantiles in found.quantiles.items()},
        widths=compared(found, actual),
        whole=compared(found, actual, symmetric=False),
        against_champion=by_champion.get(LSTM),
        network_adds=by_prior.get(LSTM),
        through=through,
        reasons=dict(found.reasons),
    )


def simple_quantiles(series: PriceSeries, origins: Indices, horizon: int) -> Floats | None:
    """(m, horizon, 21) quantiles at LEVELS of the log move from each origin's close, by the pooled regression.

    It is the newest vintage that ends before the first of the origins; None where there is none.
    """
    pool = newest_before(series.sessions[origins[0]].item())
    return None if isinstance(pool, NoVintage) else pool.quantiles(series, origins, np.arange(1, horizon + 1))
