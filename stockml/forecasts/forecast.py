"""The published forecast as plain data."""

from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any

from pydantic import AliasChoices, BeforeValidator, Field, ValidationInfo


@dataclass(frozen=True)
class Band:
    """The interval that holds the price with `coverage` percent, at every lead; prices."""

    coverage: int
    low: tuple[float, ...]
    high: tuple[float, ...]


def _by_lead(found: Any, forecast: ValidationInfo) -> Any:
    """One weight for all leads, as it was kept before each lead had its own, is every lead's."""
    return tuple(found) if isinstance(found, list | tuple) else (found,) * len(forecast.data.get("path", ()))


KeptWeights = Annotated[
    tuple[float, ...], BeforeValidator(_by_lead), Field(validation_alias=AliasChoices("weights", "weight"))
]


@dataclass(frozen=True)
class Forecast:
    """The published path: mid prices of the sessions after `origin`, with intervals.

    `weights` say how far the path follows the model at each lead: 1 is the model's own path, 0 is the last close,
    which is what is published throughout when the model has shown no skill. `last_value` is the origin's mid price;
    `last_close` its close, None in what an earlier version kept.
    """

    origin: date
    last_value: float
    sessions: tuple[date, ...]
    path: tuple[float, ...]
    bands: tuple[Band, ...]
    probability_of_rise: float
    weights: KeptWeights
    direction_step: int = 30
    last_close: float | None = None

    def band(self, coverage: int) -> Band:
        return next(band for band in self.bands if band.coverage == coverage)

    @property
    def now(self) -> float:
        """The newest price that was known: the close, or the mid price where no close was kept."""
        return self.last_value if self.last_close is None else self.last_close

    @property
    def skilled_leads(self) -> int:
        """How many sessions ahead the path follows the model at all: where it has shown skill."""
        return sum(weight > 0 for weight in self.weights)

    @property
    def no_skill(self) -> bool:
        return self.skilled_leads == 0
