"""The published forecast as plain data."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any


@dataclass(frozen=True)
class Band:
    """The interval that holds the price with `coverage` percent, at every lead; prices."""

    coverage: int
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True)
class Forecast:
    """The published path: mid prices of the sessions after `origin`, with intervals.

    `weights` say how far the path follows the model at each lead: 1 is the model's own path, 0 is the last value,
    which is what is published throughout when the model has shown no skill.
    """

    origin: date
    last_value: float
    sessions: tuple[date, ...]
    path: tuple[float, ...]
    bands: tuple[Band, ...]
    probability_of_rise: float
    weights: tuple[float, ...]
    direction_step: int = 30

    def band(self, coverage: int) -> Band:
        return next(band for band in self.bands if band.coverage == coverage)

    @property
    def skilled_leads(self) -> int:
        """How many sessions ahead the path follows the model at all: where it has shown skill."""
        return sum(weight > 0 for weight in self.weights)

    @property
    def no_skill(self) -> bool:
        return self.skilled_leads == 0


def forecast_from(found: Mapping[str, Any]) -> Forecast:
    """The Forecast that `asdict` (or its JSON) came from."""
    plain = dict(found)
    plain["origin"] = date.fromisoformat(found["origin"])
    plain["sessions"] = tuple(date.fromisoformat(day) for day in found["sessions"])
    plain["path"] = tuple(found["path"])
    of_all_leads = plain.pop("weight", None)  # as it was kept before each lead had its own
    plain["weights"] = tuple(found.get("weights", [of_all_leads] * len(found["path"])))
    plain["bands"] = tuple(Band(b["coverage"], tuple(b["low"]), tuple(b["high"])) for b in found["bands"])
    return Forecast(**plain)
