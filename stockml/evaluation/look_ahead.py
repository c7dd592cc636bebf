"""Check a night for look-ahead: past forecasts, made again from a series with another future, must not change.

Every row of the night's tables is made again as of an origin in the middle of the test part; up to there, what would
have been published is combined again. A ticker's own training is repeated. `stockml audit` replays whole nights.
"""

from collections.abc import Callable, Mapping

import numpy as np

from stockml.errors import LooksAhead
from stockml.evaluation.candidates import Candidate, ScoringData, forecast_after, trend_prior_paths
from stockml.evaluation.distribution_table import BASE, vintage_rows
from stockml.evaluation.path_scores import TREND_PRIOR
from stockml.evaluation.simple_distributions import SHAPES
from stockml.forecasts.publishing import combine
from stockml.models.baselines import baseline_paths
from stockml.models.lead_grid import LEADS
from stockml.models.pooled_ridge import RIDGE
from stockml.models.trained_model import Network, TrainedModel
from stockml.models.vintage_set import VintageSet
from stockml.prices.bars import COLUMNS
from stockml.prices.series import PriceSeries
from stockml.storage.arrays import Floats, Indices
from stockml.training.ticker_training import fit_ticker_network

ORIGINS = 12  # the newest up to the one checked: enough for outcomes to have come in and been fed back
FACTOR = 1.7  # of every later price and volume, in reverse order: no leak is then as small as rounding
ROUNDING = 1e-6  # of an array's largest value: the last bits of a matrix product depend on its shape and the processor

Rows = dict[str, list[Floats | None]]
"""By row, the arrays that make up its forecasts as of one session; None for a row that is not available."""


def check_rows(series: PriceSeries, at: int, rows_of: Callable[[PriceSeries], Rows]) -> Rows:
    """Return the rows. Raises LooksAhead for the first that changes with the bars after session `at`."""
    rows, others = rows_of(series), rows_of(with_altered_future(series, at))
    for name, row in rows.items():
        if not all(map(_same, row, others[name])):
            raise LooksAhead(name, str(series.sessions[at]))
    return rows


def with_altered_future(series: PriceSeries, at: int) -> PriceSeries:
    """The same series up to session `at`, with other prices and volumes after it."""
    columns = (getattr(series, name) for name in COLUMNS)
    values = [np.concatenate([each[: at + 1], FACTOR * each[at + 1 :][::-1]]) for each in columns]
    return PriceSeries(series.sessions, *values)


def rows_of_a_night(
    series: PriceSeries, origins: Indices, networks: Mapping[str, Network | None], vintages: VintageSet, horizon: int
) -> Rows:
    """The forecasts of each row of both tables after the last of the origins.

    origins: (m,), unseen ones up to that.  networks: those that are scored; None is the procedure without one.  The
    ticker's own part of the simple forecast is the first one's.
    """
    last, rows = origins[-1:], Rows()
    correction = next((each.simple_correction for each in networks.values() if each), None)
    simple = vintages.simple_quantiles(series, origins, np.arange(1, horizon + 1), correction)
    for name, network in networks.items():
        forecast = forecast_after(series, origins, simple, network)
        rows[name] = [*vars(forecast).values(), *vars(combine(series, origins, forecast)).values()]
    rows |= {name: [path] for name, path in baseline_paths(series.mid, last, horizon).items()}
    rows[TREND_PRIOR] = [trend_prior_paths(series, last, horizon)]
    vintage_quantiles, _ = vintage_rows(series, last, np.array(LEADS), vintages)
    return rows | {name: [vintage_quantiles.get(name)] for name in (*SHAPES, RIDGE, BASE)}


def check_look_ahead(unseen: ScoringData, candidates: Mapping[str, Candidate]) -> None:
    """Check every row as of the middle of the test part, and each candidate up to there. Raises LooksAhead."""
    series, middle = unseen.series, int(unseen.test[len(unseen.test) // 2])
    past = np.flatnonzero(unseen.origins <= middle)
    newest, networks = past[-ORIGINS:], {name: each.held_out for name, each in candidates.items()}
    at, vintages, horizon = unseen.origins[newest], unseen.vintages, unseen.settings.horizon
    rows = check_rows(series, middle, lambda each: rows_of_a_night(each, at, networks, vintages, horizon))
    altered = with_altered_future(series, middle)
    for name, each in candidates.items():
        scored = [part if part is None else part[newest] for part in vars(each.components).values()]
        if not all(map(_same, rows[name], scored)):
            raise LooksAhead(name, str(series.sessions[middle]))
        repeated, original = combine(altered, unseen.origins, each.components).at(past), each.earlier.at(past)
        if not all(map(_same, vars(repeated).values(), vars(original).values())):
            raise LooksAhead(name, str(series.sessions[middle]))


def check_training(series: PriceSeries, model: TrainedModel, start: TrainedModel | None) -> None:
    """Train the network that is scored again, on its own vintages and another future after what it may learn from.

    start: the model that it continues, as in `train_ticker`.  Raises LooksAhead; the tutorial's are not checked.
    """
    network, first = model.held_out, model.parts.validation.start
    if network.vintages:
        altered, start_network = with_altered_future(series, first - 1), start.held_out if start else None
        repeated = fit_ticker_network(altered, start_network, first, network.vintages)
        if not _same(repeated.errors.coefficients(), network.errors.coefficients()):
            raise LooksAhead("the ticker's own training", str(series.sessions[first - 1]))


def _same(one: Floats | None, two: Floats | None) -> bool:
    if one is None or two is None:
        return one is two
    largest = max(np.max(np.abs(each), where=np.isfinite(each), initial=0.0) for each in (one, two))
    return bool(np.allclose(one, two, rtol=0.0, atol=ROUNDING * largest, equal_nan=True))
