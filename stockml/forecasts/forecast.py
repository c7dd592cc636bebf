"""The published forecast as plain data."""

from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any

from pydantic import AliasChoices, BeforeValidator, Field, ValidationInfo

from stockml.forecasts.outlook import Outlook


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

    `weights` say how much at each lead is the network's, 0 … 1: of the width, in what an earlier version kept of the
    path. `last_value` is the origin's mid price; `last_close` its close, None in what an earlier version kept.
    `outlook`: the distribution in words for the next 5, 20 and 50 sessions; empty in what an earlier version kept.
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
    outlook: tuple[Outlook, ...] = ()

    def band(self, coverage: int) -> Band:
        return next(band for band in self.bands if band.coverage == coverage)

    @property
    def now(self) -> float:
        """The newest price that was known: the close, or the mid price where no close was kept."""
        return self.last_value if self.last_close is None else self.last_close

    @property
    def without_network(self) -> bool:
        """Whether no network has a part in it."""
        return not any(self.weights)
