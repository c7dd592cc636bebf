"""What a base network is worth on given tickers and origins, against the regression that it stands on."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from stockml.evaluation.distribution_scores import crps_skills
from stockml.models.base_network import BaseNetwork
from stockml.models.pooled_regression import LEADS, PooledRegression, moves
from stockml.prices.series import PriceSeries
from stockml.storage.arrays import Indices


@dataclass(frozen=True)
class BaseScore:
    """CRPS over the pooled regression's, both symmetrised: the mean over tickers (0.003: 0.3 % better), and how many
    tickers in a hundred gain."""

    tickers: int
    skill: float
    share: float


def base_score(
    base: BaseNetwork, pooled: PooledRegression, series: Mapping[str, PriceSeries], origins: Mapping[str, Indices]
) -> BaseScore:
    """Of the tickers of `origins`, each on its own (m,) at LEADS; one whose price stood still says nothing.

    Raises ValueError where no ticker is left.
    """
    found = [_skill(base, pooled, series[ticker], at) for ticker, at in sorted(origins.items()) if len(at)]
    skills = np.array([each for each in found if np.isfinite(each)])
    if not len(skills):
        raise ValueError("expected a ticker whose price moves, found none")
    return BaseScore(len(skills), float(skills.mean()), 100 * float((skills > 0).mean()))


def _skill(base: BaseNetwork, pooled: PooledRegression, series: PriceSeries, origins: Indices) -> float:
    leads = np.array(LEADS)
    actual = moves(series, origins, leads)
    simple = pooled.quantiles(series, origins, leads, symmetric=True)
    own = base.quantiles(series, origins, leads, pooled)
    return crps_skills(own, simple, actual, leads)[0]
