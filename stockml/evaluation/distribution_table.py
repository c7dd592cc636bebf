"""A night's rows by the whole distribution: what is published and every simple forecast, by CRPS on the same origins.

The pooled regression and the base network are the newest vintages that end before the first origin: chosen by date,
never by score.

Never here: who wins, or a vintage that has seen what it is scored on.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date

import numpy as np

from stockml.evaluation.candidates import Scored
from stockml.evaluation.distribution_scores import CrpsComparison, DistributionScore, compared, scored
from stockml.evaluation.evaluate import CHAMPION, LSTM, WITHOUT_NETWORK
from stockml.evaluation.proper_scores import band
from stockml.evaluation.simple_distributions import POOLED, DistributionRows, simple_distributions
from stockml.features.windows import known_outcomes
from stockml.forecasts.conformal import COVERAGES
from stockml.models import base_vintages
from stockml.models.base_network import BaseNetwork
from stockml.models.pooled_regression import LEADS as LEARNED
from stockml.models.pooled_regression import LEVELS, PooledRegression, symmetrised
from stockml.models.pooled_vintages import NoVintage, newest_before
from stockml.prices.series import PriceSeries
from stockml.storage.arrays import Floats, Indices

LEADS = (1, 5, 10, 20, 50)
SIGNIFICANT = 0.05
BASE = "base network"
BLEND = "base and regression"  # the mean of their widths: it loses a fifth of the gain, and fails on fewer tickers


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
        """Whether this row's distribution is worse than the pooled regression's, by however little.

        One ticker's own origins seldom tell 3 % of CRPS from luck; what was learned from a hundred tickers is believed
        first.
        """
        found = self.whole.get(name)
        return bool(found and found.skill < 0)

    def base_is_as_good(self) -> bool:
        """Whether the base network is there, and not worse with the regression than that alone by more than luck."""
        found = self.whole.get(BLEND)
        return found is not None and not (found.skill < 0 and found.test and found.test.p_value < SIGNIFICANT)

    def figures(self) -> dict[str, float | None]:
        """What the verdict keeps among its numbers."""
        width, whole, adds = self.widths.get(LSTM), self.whole.get(LSTM), self.network_adds
        return {
            "crps_skill": whole.skill if whole else None,
            "crps_skill_of_the_width": width.skill if width else None,
            "crps_skill_p_value": whole.test.p_value if whole and whole.test else None,
            "network_adds_crps": adds.skill if adds else None,
            "network_adds_crps_p_value": adds.test.p_value if adds and adds.test else None,
            "base_crps_skill": self.widths[BLEND].skill if BLEND in self.widths else None,
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
        found, through = _with_base(simple_distributions(series, origins, leads, pool), series, pool), pool.through
    for name, each in rows.items():
        found = found.with_row(name, origins, leads, each.log_quantiles(series, origins, leads))
    by_champion = _compared(found, actual, reference=CHAMPION)
    by_prior = _compared(found, actual, reference=WITHOUT_NETWORK)
    return DistributionTable(
        leads=tuple(leads.tolist()),
        scores={name: scored(quantiles, actual, leads) for name, quantiles in found.quantiles.items()},
        widths=_compared(found, actual, symmetric=True),
        whole=_compared(found, actual),
        against_champion=by_champion.get(LSTM),
        network_adds=by_prior.get(LSTM),
        through=through,
        reasons=dict(found.reasons),
    )


def _with_base(rows: DistributionRows, series: PriceSeries, pool: PooledRegression) -> DistributionRows:
    base = base_vintages.newest_before(series.sessions[rows.origins[0]].item())
    if isinstance(base, base_vintages.NoBase) or POOLED not in rows.quantiles:
        return replace(rows, reasons={**rows.reasons, BASE: str(base)})
    said = base.quantiles(series, rows.origins, rows.leads, pool)
    blend = blended(rows.quantiles[POOLED], said)
    return rows.with_row(BASE, rows.origins, rows.leads, said).with_row(BLEND, rows.origins, rows.leads, blend)


def blended(regression: Floats, base: Floats) -> Floats:
    """(…, 21) the mean of both widths about the regression's own location: what differs is the network's, no more."""
    location = (regression + regression[..., ::-1]) / 2
    return np.asarray(np.maximum.accumulate(location + (symmetrised(regression) + base) / 2, axis=-1), dtype=np.float64)


def _compared(
    rows: DistributionRows, actual: Floats, *, reference: str = POOLED, symmetric: bool = False
) -> dict[str, CrpsComparison]:
    """Only what is defined: where a price never moved, a reference may have made no error."""
    found = compared(rows, actual, reference=reference, symmetric=symmetric)
    return {name: each for name, each in found.items() if np.isfinite([each.skill, *each.skill_by_lead]).all()}


@dataclass(frozen=True, eq=False)
class SimpleForecast:
    """The last close, and how far around it by the pool: what is published where no ticker's own network does better.

    close: (m,), price.  quantiles: (m, horizon, 21) of log(mid price / close), at LEVELS.
    """

    close: Floats
    quantiles: Floats

    @classmethod
    def of(cls, series: PriceSeries, origins: Indices, horizon: int, *, with_base: bool) -> "SimpleForecast":
        """From these origins, by the newest vintages that end before the first of them, which there must be."""
        quantiles = pool_quantiles(series, origins, horizon, with_base=with_base)
        assert quantiles is not None  # else nothing would have been compared with it
        return cls(series.close[origins], quantiles)

    @property
    def paths(self) -> Floats:
        """(m, horizon), price."""
        return np.repeat(self.close[:, None], self.quantiles.shape[1], axis=1)

    def rises(self, series: PriceSeries, at: Indices, step: int) -> Floats:
        """(m,) chance of a mid price above the origin's close at `step`."""
        return np.array([1 - np.interp(0.0, row, LEVELS) for row in self.quantiles[:, step - 1]])

    def limits(self) -> dict[float, tuple[Floats, Floats]]:
        """Low and high by coverage, (m, horizon) each, price."""
        sides = {coverage: band(self.quantiles, LEVELS, coverage) for coverage in COVERAGES}
        close = self.close[:, None]
        return {coverage: (close * np.exp(low), close * np.exp(high)) for coverage, (low, high) in sides.items()}


def pool_quantiles(series: PriceSeries, origins: Indices, horizon: int, *, with_base: bool) -> Floats | None:
    """(m, horizon, 21) quantiles at LEVELS of the log move from each origin's close, by the pooled regression.

    with_base: with the mean of its width and the base network's, where there is one.

    It is the newest vintage that ends before the first of the origins; None where there is none. What lies beyond its
    furthest lead is as wide as there, times the root of the leads' ratio.
    """
    pool = newest_before(series.sessions[origins[0]].item())
    if isinstance(pool, NoVintage):
        return None
    leads = np.arange(1, horizon + 1)
    learned = np.minimum(leads, LEARNED[-1])
    found = pool.quantiles(series, origins, learned)
    base = base_vintages.newest_before(series.sessions[origins[0]].item()) if with_base else None
    if isinstance(base, BaseNetwork):
        found = blended(found, base.quantiles(series, origins, learned, pool))
    return np.asarray(found * np.sqrt(leads / learned)[:, None], dtype=np.float64)
