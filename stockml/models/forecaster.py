"""A trained model as a value: frozen weights and everything that leads from bars to a path. Knows no optimiser."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stockml.features.scaling import FeatureScaler, ewma_volatility, features
from stockml.features.windows import inputs
from stockml.models import lstm
from stockml.models.trend_prior import prior_path
from stockml.prices.series import PriceSeries
from stockml.settings import NetworkSettings
from stockml.storage.arrays import Floats, Indices


@dataclass(frozen=True, eq=False)
class Forecaster:
    """One fitted network: `paths` is causal and vectorised.

    `learned_until` is the last session whose price influenced the weights. Both weights are in 0..1 and chosen on the
    validation part. `residual_weight`: the share of the network's departure from the prior path.
    `shrinkage`: the share of that path's move that is kept; at 0 every path is the last value.
    """

    network: NetworkSettings
    horizon: int
    weights: tuple[NDArray[Any], ...]
    scale: FeatureScaler
    residual_weight: float
    shrinkage: float
    learned_until: np.datetime64

    def paths(self, series: PriceSeries, origins: Indices | Sequence[int]) -> Floats:
        """(len(origins), horizon) mid prices: row m, column k - 1 is session origins[m] + k as seen after origins[m].

        Origins must be at least look_back - 1 and below len(series).
        """
        return predict_paths(self, series, np.asarray(origins, dtype=np.int64))


def predict_paths(model: Forecaster, series: PriceSeries, origins: Indices) -> Floats:
    """What `Forecaster.paths` says, as a pure function of model, series and origins."""
    rows = model.scale.apply(features(series))
    windows = inputs(rows, origins, model.network.look_back)
    with lstm.MODEL_LOCK:
        compiled = _compiled(model.network, rows.shape[1], model.horizon)
        compiled.set_weights(model.weights)
        steps = compiled.predict(windows).astype(np.float64)
    moves = expected_moves(series, origins, model.residual_weight, steps)
    return np.asarray(series.mid[origins, None] * np.exp(model.shrinkage * moves), dtype=np.float64)


def expected_moves(series: PriceSeries, origins: Indices, residual_weight: float, steps: Floats) -> Floats:
    """(origins, horizon) log moves from the last mid price: the usual path, and the network's departure from it.

    steps: the network's output, in units of each origin's daily volatility.
    """
    own = residual_weight * ewma_volatility(series)[origins, None] * steps
    return np.asarray(prior_path(series, origins, steps.shape[1]) + own, dtype=np.float64)


@lru_cache(maxsize=4)
def _compiled(network: NetworkSettings, features: int, horizon: int) -> lstm.Predictor:
    return lstm.Predictor(network, features, horizon)
