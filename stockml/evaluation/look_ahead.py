"""Check a night for look-ahead: past forecasts, made again from a series with another future, must
not change.

Every row of the night's tables is made again as of an origin in the middle of the test part. The
training of the network that is scored is repeated.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stockml.errors import LooksAhead
from stockml.evaluation.candidates import Candidate, ScoringData, quantiles_after
from stockml.evaluation.distribution_scores import vintage_rows
from stockml.models.regressions import LEADS, baseline_paths
from stockml.models.trained_model import Network, TickerNetwork, TrainedModel
from stockml.models.vintage_set import VintageSet
from stockml.models.vintage_store import SHIPPED
from stockml.prices.bars import COLUMNS
from stockml.prices.series import PriceSeries
from stockml.storage.arrays import Floats, Indices
from stockml.training.ticker_training import TickerTraining

ORIGINS = 12  # the newest up to the one checked
# of every later price and volume, in reverse order: no leak is then as small as rounding
FACTOR = 1.7
# of an array's largest value: the last bits of a matrix product depend on its shape and the
# processor
ROUNDING = 1e-6

Rows = dict[str, Floats]
"""By row, its forecasts as of one session."""


def check_rows(series: PriceSeries, at: int, rows_of: Callable[[PriceSeries], Rows]) -> Rows:
    """Return the rows. Raises LooksAhead for the first that changes with the bars after session
    `at`."""
    rows, others = rows_of(series), rows_of(with_altered_future(series, at))
    for name, row in rows.items():
        if name in others and not _same(row, others[name]):
            raise LooksAhead(name, str(series.sessions[at]))
    return rows


def with_altered_future(series: PriceSeries, at: int) -> PriceSeries:
    """The same series up to session `at`, with other prices and volumes after it."""
    columns = (getattr(series, name) for name in COLUMNS)
    values = [np.concatenate([each[: at + 1], FACTOR * each[at + 1 :][::-1]]) for each in columns]
    return PriceSeries(series.sessions, *values)


def rows_of_a_night(
    series: PriceSeries,
    origins: Indices,
    networks: Mapping[str, Network | None],
    vintages: VintageSet,
    horizon: int,
) -> Rows:
    """The forecasts of each row of both tables after the last of the origins.

    origins: (m,), unseen ones up to that.  networks: those that are scored; None is the ridge
    regression.
    """
    last = origins[-1:]
    rows = {
        name: quantiles_after(series, origins, horizon, vintages, network)
        for name, network in networks.items()
    }
    vintage_quantiles, _ = vintage_rows(series, last, np.array(LEADS), vintages)
    return rows | baseline_paths(series.close, last, horizon) | vintage_quantiles


def check_look_ahead(unseen: ScoringData, candidates: Mapping[str, Candidate]) -> None:
    """Check every row as of the middle of the test part. Raises LooksAhead."""
    series, middle = unseen.series, int(unseen.test[len(unseen.test) // 2])
    newest = np.flatnonzero(unseen.origins <= middle)[-ORIGINS:]
    networks = {name: each.held_out for name, each in candidates.items()}
    at, vintages, horizon = unseen.origins[newest], unseen.vintages, unseen.settings.horizon
    rows = check_rows(
        series, middle, lambda each: rows_of_a_night(each, at, networks, vintages, horizon)
    )
    for name, each in candidates.items():
        if not _same(rows[name], each.earlier[newest]):
            raise LooksAhead(name, str(series.sessions[middle]))


def check_training(
    series: PriceSeries,
    model: TrainedModel,
    start: TrainedModel | None,
    folders: Sequence[Path] = (SHIPPED,),
) -> None:
    """Train the network that is scored again, on another future after what it may learn from.

    start: the model that it continues, as in `train_ticker`.  Raises LooksAhead.  Not checked: the
    tutorial's, and a training that is not used.
    """
    network, first = model.held_out, model.parts.validation.start
    if not isinstance(network, TickerNetwork) or not network.used:
        return
    altered = with_altered_future(series, first - 1)
    training = TickerTraining(altered, model.settings, folders)
    repeated, _ = training.trained(network, start.held_out if start else None)
    if not all(map(_same, repeated.weights, network.weights)):
        raise LooksAhead("training", str(series.sessions[first - 1]))


def _same(one: NDArray[np.floating], two: NDArray[np.floating]) -> bool:
    largest = max(np.max(np.abs(each), where=np.isfinite(each), initial=0.0) for each in (one, two))
    return bool(np.allclose(one, two, rtol=0.0, atol=ROUNDING * largest, equal_nan=True))
