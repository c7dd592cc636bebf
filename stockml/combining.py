"""What is published of a model: its path, drawn towards the last value as far as the skill that it has shown asks.

Never here: an outcome that was not known when the forecast was made, or a model's weights.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from stockml.baselines import Indices, Values
from stockml.config import EvaluationSettings
from stockml.evaluation import known_outcomes, past_range
from stockml.intervals import Bands


@dataclass(frozen=True)
class Combination:
    """last value + weight · (path − last value), with the bands that were calibrated for it.

    weight: 0 … 1; 0 publishes the last value, 1 the model's own path.  validated_skill: 1 − MSE / MSE(last value) of
    the model's own path on all that it was not fitted to (the validation part chose its epoch and two weights, no
    more); None where the last value made no error there.
    """

    weight: float
    validated_skill: float | None
    bands: Bands

    def path(self, last_value: Values, paths: Values) -> Values:
        """The combination of paths (m, horizon) and the last values (m,), both in price.  Returns (m, horizon)."""
        return combined(last_value, paths, self.weight)

    def asdict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def fromdict(cls, record: dict[str, Any]) -> "Combination":
        return cls(record["weight"], record["validated_skill"], Bands.fromdict(record["bands"]))


@dataclass(frozen=True, eq=False)
class Shown:
    """What a model has said of sessions that it was not fitted to, beside what came: (m,) sums over each path.

    In moves x that were foretold and y that came, scaled as in `evaluation.evaluate`: x·y, x·x and y·y of each origin.
    """

    origins: Indices
    horizon: int
    shared: Values
    said: Values
    came: Values

    @classmethod
    def of(cls, mid: Values, origins: Indices, paths: Values, settings: EvaluationSettings) -> "Shown":
        """mid: (n,), price.  origins: (m,), ascending, with known outcomes.  paths: (m, horizon), price."""
        scale = past_range(mid, settings.scale_sessions)[origins, None]
        start = mid[origins, None]
        unit = np.where(scale > 0, scale, np.inf)  # a price that never moved has no scale, and is left out
        x, y = (paths - start) / unit, (known_outcomes(mid, origins, settings.horizon) - start) / unit
        return cls(origins, settings.horizon, (x * y).sum(axis=1), (x * x).sum(axis=1), (y * y).sum(axis=1))

    def skill(self) -> float | None:
        """1 − MSE / MSE(last value) of the model's own path, over all origins."""
        came = float(self.came.sum())
        return float(2 * self.shared.sum() - self.said.sum()) / came if came > 0 else None

    def weight(self, after: int) -> float:
        """The weight for a forecast made after session `after`, from the origins whose outcomes were known by then.

        Skill in units of what it would be had every move come as foretold, Σx² / Σy²: 2Σxy / Σx² − 1, within 0 … 1.
        So 0 where no skill was shown, and 1 where moves came, on average, as large as foretold.
        """
        known = self.origins + self.horizon <= after
        said = float(self.said[known].sum())
        return min(max(2 * float(self.shared[known].sum()) / said - 1, 0.0), 1.0) if said > 0 else 0.0


def combined(last_value: Values, paths: Values, weight: Values | float) -> Values:
    """last_value: (m,), price.  paths: (m, horizon), price.  weight: one, or (m,).  Returns (m, horizon)."""
    start = np.asarray(last_value, dtype=np.float64)[..., None]
    return np.asarray(start + np.asarray(weight)[..., None] * (paths - start), dtype=np.float64)
