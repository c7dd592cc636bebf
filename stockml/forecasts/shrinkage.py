"""What is published of a model: its path, drawn towards the last close as far as the skill that it has shown asks.

Every lead has a weight of its own: what a model knows of tomorrow is mostly more than what it knows of next month.

Never here: an outcome that was not known when the forecast was made, or a model's weights.
"""

from dataclasses import dataclass

import numpy as np

from stockml.features.windows import known_outcomes
from stockml.forecasts.conformal import ConformalIntervals
from stockml.forecasts.error_scaling import past_range
from stockml.prices.series import PriceSeries
from stockml.settings import EvaluationSettings
from stockml.storage.arrays import Floats, Indices
from stockml.storage.records import record


@record
@dataclass(frozen=True)
class ShrunkForecast:
    """last close + weight · (path − last close) at each lead, with the bands that were calibrated for it.

    weights: (horizon,), each 0 … 1 and none above an earlier lead's; 0 publishes the last close, 1 the model's own
    path.  validated_skill: 1 − MSE / MSE(last close) of the model's own path on all that it was not fitted to (the
    validation part chose its epoch and two weights, no more); None where the last close made no error there.
    """

    weights: tuple[float, ...]
    validated_skill: float | None
    bands: ConformalIntervals

    def path(self, last_close: Floats, paths: Floats) -> Floats:
        """The combination of paths (m, horizon) and the last closes (m,), both in price.  Returns (m, horizon)."""
        return combined(last_close, paths, np.asarray(self.weights))


@dataclass(frozen=True, eq=False)
class OutOfSampleMoments:
    """What a model has said of sessions that it was not fitted to, beside what came: (m, horizon), origin by lead.

    In moves x that were foretold and y that came, scaled as in `evaluation.evaluate`: x·y, x·x and y·y.
    """

    origins: Indices
    shared: Floats
    said: Floats
    came: Floats

    @classmethod
    def of(
        cls, series: PriceSeries, origins: Indices, paths: Floats, settings: EvaluationSettings
    ) -> "OutOfSampleMoments":
        """origins: (m,), ascending, with known outcomes.  paths: (m, horizon), mid prices.  Moves are from closes."""
        mid, start = series.mid, series.close[origins, None]
        scale = past_range(mid, settings.scale_sessions)[origins, None]
        unit = np.where(scale > 0, scale, np.inf)  # a price that never moved has no scale, and is left out
        x, y = (paths - start) / unit, (known_outcomes(mid, origins, settings.horizon) - start) / unit
        return cls(origins, x * y, x * x, y * y)

    def skill(self) -> float | None:
        """1 − MSE / MSE(last close) of the model's own path, over all origins."""
        came = float(self.came.sum())
        return float(2 * self.shared.sum() - self.said.sum()) / came if came > 0 else None

    def weights(self, after: Indices) -> Floats:
        """The weights for forecasts made after sessions `after`, (p,), from the outcomes known by then: (p, horizon).

        A lead's skill in units of what it would be had every move come as foretold, Σx² / Σy², is 2Σxy / Σx² − 1, here
        within 0 … 1: 0 where no skill was shown, 1 where moves came, on average, as large as foretold. Each lead learns
        from those from half to twice as far, each in units of a random walk's variance there, and is never trusted
        beyond an earlier one.
        """
        leads = np.arange(1, self.shared.shape[1] + 1)
        known = np.searchsorted(self.origins + len(leads), after, side="right")
        nearest, farthest = (leads + 1) // 2, np.minimum(2 * leads, len(leads))

        def pooled(products: Floats) -> Floats:
            by_lead = _running(products / leads, axis=0)[known]
            up_to_lead = _running(by_lead, axis=1)
            return np.asarray(up_to_lead[:, farthest] - up_to_lead[:, nearest - 1], dtype=np.float64)

        shared, said = pooled(self.shared), pooled(self.said)
        share = np.divide(shared, said, out=np.zeros_like(said), where=said > 0)
        return np.asarray(np.minimum.accumulate(np.clip(2 * share - 1, 0.0, 1.0), axis=1), dtype=np.float64)


def combined(last_close: Floats, paths: Floats, weights: Floats) -> Floats:
    """last_close: (m,), price.  paths: (m, horizon), price.  weights: (horizon,) or (m, horizon).  Returns as paths."""
    start = np.asarray(last_close, dtype=np.float64)[..., None]
    return np.asarray(start + weights * (paths - start), dtype=np.float64)


def _running(values: Floats, axis: int) -> Floats:
    """The sums of the first 0, 1, … of the values along an axis, so one longer than it."""
    sums = np.cumsum(values, axis=axis)
    return np.concatenate([np.zeros_like(sums.take([0], axis=axis)), sums], axis=axis)
