"""What a base network is worth on given tickers and origins, against the regression that it stands on."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from stockml.evaluation.distribution_scores import losses
from stockml.models.base_network import BaseNetwork
from stockml.models.pooled_regression import LEADS, PooledRegression, moves
from stockml.prices.series import PriceSeries
from stockml.storage.arrays import Indices


@dataclass(frozen=True)
class BaseScore:
    """CRPS over the pooled regression's, both symmetrised: the mean over tickers (0.003: 0.3 % better), and how many
    tickers in a hundred gain.  half: the mean of both forecasts instead of the base alone."""

    tickers: int
    skill: float
    share: float
    half_skill: float
    half_share: float


def base_score(
    base: BaseNetwork, pooled: PooledRegression, series: Mapping[str, PriceSeries], origins: Mapping[str, Indices]
) -> BaseScore:
    """Of the tickers of `origins`, each on its own (m,) at LEADS; one whose price stood still says nothing.

    Raises ValueError where no ticker is left.
    """
    found = [_skills(base, pooled, series[ticker], at) for ticker, at in sorted(origins.items()) if len(at)]
    skills = np.array([each for each in found if np.isfinite(each).all()])
    if not len(skills):
        raise ValueError("expected a ticker whose price moves, found none")
    (skill, half), (share, half_share) = skills.mean(axis=0).tolist(), (skills > 0).mean(axis=0).tolist()
    return BaseScore(len(skills), skill, 100 * share, half, 100 * half_share)


def _skills(base: BaseNetwork, pooled: PooledRegression, series: PriceSeries, origins: Indices) -> tuple[float, float]:
    leads = np.array(LEADS)
    actual = moves(series, origins, leads)
    simple = pooled.quantiles(series, origins, leads, symmetric=True)
    own = base.quantiles(series, origins, leads, pooled)
    reference, alone, half = (float(losses(q, actual, leads).mean()) for q in (simple, own, (own + simple) / 2))
    return (1 - alone / reference, 1 - half / reference) if reference > 0 else (float("nan"), float("nan"))
