"""A backtest's rows for the path, and the chance of a rise: every simple forecast of the price beside the published.

Errors are in log price, over √lead, so that all leads count about alike. Never here: widths.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from stockml.evaluation.distribution_scores import DatedLosses, skill
from stockml.evaluation.evaluate import LAST_CLOSE, PUBLISHED, TREND_PRIOR
from stockml.forecasts.outlook import chances_above
from stockml.forecasts.proper_scores import brier
from stockml.models.baselines import baseline_paths
from stockml.models.trend_prior import prior_path
from stockml.prices.series import PriceSeries
from stockml.storage.arrays import Days, Floats, Indices

LOWEST = 0.01  # of the close: a line that falls below zero has no logarithm


@dataclass(frozen=True)
class RiseScore:
    """The published chance of a rise at one lead. `rose`: how often it came; climatology: the Brier score of saying
    that share every time, which nobody could know."""

    lead: int
    rose: float
    brier: float
    climatology: float


def paths(series: PriceSeries, origins: Indices, leads: Indices, published: Floats) -> dict[str, Floats]:
    """(m, leads) log(path / close of the origin) by row, the last close first.  published: (m, leads), the same."""
    close, mid = np.log(series.close)[origins, None], np.log(series.mid)[origins, None]
    furthest, lowest = int(leads[-1]), LOWEST * series.close[origins, None]
    simple = baseline_paths(series.mid, origins, furthest)
    return {
        LAST_CLOSE: np.zeros((len(origins), len(leads))),
        **{name: np.log(np.maximum(path[:, leads - 1], lowest)) - close for name, path in simple.items()},
        TREND_PRIOR: mid - close + prior_path(series, origins, furthest)[:, leads - 1],
        PUBLISHED: published,
    }


def squared_errors(rows: Mapping[str, Floats], actual: Floats, leads: Indices) -> dict[str, Floats]:
    """(m, leads) squared error over the lead, by row.  actual: (m, leads), log(mid / close of the origin)."""
    return {name: (actual - path) ** 2 / leads for name, path in rows.items()}


def skills(errors: Mapping[str, Floats]) -> dict[str, tuple[float, ...]]:
    """1 − MSE / MSE(last close) by row: over all leads, then at each; NaN where the price stood still."""
    means = {name: [error.mean(), *error.mean(axis=0)] for name, error in errors.items()}
    return {name: tuple(map(skill, own, means[LAST_CLOSE])) for name, own in means.items()}


def dated(errors: Mapping[str, Floats], sessions: Days) -> dict[str, DatedLosses]:
    """Each row's losses an origin beside the last close's, for the test across tickers.  sessions: (m,)."""
    naive = errors[LAST_CLOSE].mean(axis=1)
    return {name: DatedLosses(sessions, error.mean(axis=1), naive) for name, error in errors.items()}


def rise_score(series: PriceSeries, origins: Indices, quantiles: Floats, lead: int) -> RiseScore:
    """quantiles: (m, 21) of log(mid at the lead / close of the origin), as published."""
    rose = series.mid[origins + lead] > series.close[origins]
    chances = chances_above(quantiles, np.zeros(len(origins)))
    share = float(rose.mean())
    return RiseScore(lead, share, float(brier(chances, rose).mean()), share * (1 - share))
