"""The check inside a night: what was said after a past session is said again of a series that goes on differently.

Every row of the night's tables is asked, as of an origin in the middle of the test part. `stockml audit` replays whole
nights in this way.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from stockml.errors import LooksAhead
from stockml.evaluation.candidates import Pools, forecast_after, trend_prior_paths
from stockml.evaluation.distribution_table import BASE
from stockml.evaluation.evaluate import TREND_PRIOR
from stockml.evaluation.simple_distributions import SHAPES, simple_distributions
from stockml.features.windows import OriginSplit, scored_origins
from stockml.forecasts.publishing import combined
from stockml.models.base_network import CURVES
from stockml.models.baselines import BASELINES
from stockml.models.pooled_regression import LEADS, PooledRegression
from stockml.models.trained_model import TrainedModel
from stockml.prices.bars import COLUMNS
from stockml.prices.series import PriceSeries
from stockml.settings import EvaluationSettings
from stockml.storage.arrays import Floats, Indices

ORIGINS = 12  # the newest up to the one asked about: enough for outcomes to have come, and to be fed back
FACTOR = 1.7  # of every later price, in turned order: no leak is as small as rounding
ROUNDING = 1e-7

Row = Callable[[PriceSeries], Sequence[Floats | None]]
"""All that is said of a series as of one session; equal where nothing later has a say."""


def check_rows(series: PriceSeries, at: int, rows: Mapping[str, Row]) -> None:
    """Raises LooksAhead for the first row to which a bar after session `at` makes a difference."""
    other = goes_on_differently(series, at)
    for name, row in rows.items():
        for one, two in zip(row(series), row(other), strict=True):
            if not _same(one, two):
                raise LooksAhead(name, str(series.sessions[at]))


def goes_on_differently(series: PriceSeries, at: int) -> PriceSeries:
    """The same up to session `at`, and after it other prices and volumes."""
    columns = (getattr(series, name) for name in COLUMNS)
    values = [np.concatenate([each[: at + 1], FACTOR * each[at + 1 :][::-1]]) for each in columns]
    return PriceSeries(series.sessions, *values)


def rows_of_a_night(
    at: Indices, models: Mapping[str, TrainedModel | None], pools: Pools, settings: EvaluationSettings
) -> dict[str, Row]:
    """What each row of both tables says after the last of `at`.

    at: (m,), the unseen origins up to it.  models: those that are scored, and None for the procedure without one.
    """
    last, horizon = at[-1:], settings.horizon
    leads, pool = np.arange(1, horizon + 1), pools.held_out
    known = np.array([lead for lead in LEADS if lead <= horizon])

    def publishing(model: TrainedModel | None) -> Row:
        def row(series: PriceSeries) -> Sequence[Floats | None]:
            forecast = forecast_after(series, at, leads, pool, model.held_out if model else None)
            return *vars(forecast).values(), *vars(combined(series, at, forecast)).values()

        return row

    def averaging(name: str) -> Row:
        return lambda series: [BASELINES[name].path(series.mid, last, horizon)]

    def simple(name: str, regression: PooledRegression) -> Row:
        return lambda series: [*simple_distributions(series, last, known, regression, names=[name]).quantiles.values()]

    rows: dict[str, Row] = {name: publishing(model) for name, model in models.items()}
    rows |= {name: averaging(name) for name in BASELINES}
    rows[TREND_PRIOR] = lambda series: [trend_prior_paths(series, last, horizon)]
    if pool.regression is not None:
        rows |= {name: simple(name, pool.regression) for name in SHAPES}
    if pool.base is not None:
        rows[BASE] = lambda series: [pool.network(series, last, known, np.zeros(CURVES))]
    return rows


def check_night(
    series: PriceSeries,
    split: OriginSplit,
    settings: EvaluationSettings,
    models: Mapping[str, TrainedModel | None],
    pools: Pools,
) -> None:
    """Ask every row as of the middle of the test part. Raises LooksAhead."""
    parts = [scored_origins(series, part, settings) for part in (split.validation, split.test)]
    middle = int(parts[1][len(parts[1]) // 2])
    unseen = np.concatenate(parts)
    at = unseen[unseen <= middle][-ORIGINS:]
    check_rows(series, middle, rows_of_a_night(at, models, pools, settings))


def _same(one: Floats | None, two: Floats | None) -> bool:
    if one is None or two is None:
        return one is two
    return bool(np.allclose(one, two, rtol=ROUNDING, atol=ROUNDING, equal_nan=True))
