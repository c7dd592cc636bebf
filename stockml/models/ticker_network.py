"""A ticker's network: the base learned across tickers, plus four numbers of the ticker's own.

One ticker's history teaches little, so its part is small: an offset to each coefficient of `lead_basis` (the biases of
the last layer), from a ridge regression that shrinks them to 0, the base left alone. They follow from running means of
how much further the ticker has moved than the base forecast; continuing from these equals learning from scratch.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np

from stockml.models.baselines import published_moves
from stockml.models.lead_grid import BASIS_SIZE, LEADS, LEVELS, TAIL, lead_basis, moves
from stockml.models.pool import Pool, widths_of
from stockml.models.pooled_regression import SMALLEST_MOVE
from stockml.prices.series import PriceSeries
from stockml.storage.arrays import Floats, Indices

DECAY_ORIGINS = 600.0  # origins, five sessions apart, after which a weight has fallen by a factor of e
RIDGE_PENALTY = 100.0  # independent origins that it takes before half of a coefficient is believed
OVERLAP = 10.0  # consecutive origins whose outcomes share sessions: that many count as one
FINE_LEVELS = (np.arange(200) + 0.5) / 200  # levels over which a distribution's own mean is taken
REACH = np.maximum(LEVELS[0] / np.minimum(FINE_LEVELS, 1 - FINE_LEVELS), 1) ** (1 / TAIL)  # of the outermost quantile


@dataclass(frozen=True, eq=False)
class OwnErrors:
    """How much further a ticker has moved than the base forecast, exponentially weighted over its past origins.

    mean: (11,), at LEADS, of ln(|move| / width + 0.05) minus what the base itself expects of it.  weight: effective
    number of origins.  through: session of the newest, None before the first.
    """

    mean: Floats = field(default_factory=lambda: np.zeros(len(LEADS)))
    weight: float = 0.0
    through: np.datetime64 | None = None

    def updated(self, errors: Floats, through: np.datetime64) -> Self:
        """Update with the errors of later origins, (m, 11), oldest first."""
        ages = np.arange(len(errors))[::-1]
        weights = np.exp(-ages / DECAY_ORIGINS)
        kept = self.weight * np.exp(-len(errors) / DECAY_ORIGINS)
        weight = kept + float(weights.sum())
        return type(self)((kept * self.mean + weights @ errors) / weight, weight, through)

    def coefficients(self) -> Floats:
        """(4,) coefficients of `lead_basis`, from a ridge regression of the mean on it."""
        basis, independent = lead_basis(np.array(LEADS)), self.weight / OVERLAP
        penalty = RIDGE_PENALTY * len(LEADS) * np.eye(BASIS_SIZE)
        found = np.linalg.solve(independent * basis.T @ basis + penalty, independent * basis.T @ self.mean)
        return np.asarray(found, dtype=np.float64)

    def asdict(self) -> dict[str, Any]:
        through = None if self.through is None else str(self.through)
        return {"mean": self.mean.tolist(), "weight": self.weight, "through": through}

    @classmethod
    def from_dict(cls, kept: dict[str, Any]) -> Self:
        through = None if kept["through"] is None else np.datetime64(kept["through"])
        return cls(np.array(kept["mean"], dtype=np.float64), float(kept["weight"]), through)


@dataclass(frozen=True, eq=False)
class TickerNetwork:
    """A pool's base, corrected by a ticker's errors if `corrected`; it has seen sessions through `learned_until`."""

    pool: Pool
    errors: OwnErrors
    corrected: bool
    learned_until: np.datetime64

    forecasts_path: ClassVar[bool] = False
    scale: ClassVar[None] = None  # a base forecasts ratios, whatever the prices
    weights: ClassVar[tuple[()]] = ()  # the base's are in the pool's files

    def forecast(self, series: PriceSeries, origins: Indices, leads: Indices) -> tuple[Floats, Floats | None]:
        """(m, leads) the published median, and (m, leads, 21) quantiles symmetric about 0, None without a base."""
        own = self.errors.coefficients() if self.corrected else None
        quantiles = self.pool.network(series, origins, leads, own) if self.pool.base else None
        return published_moves(series, origins, leads), quantiles

    def asdict(self) -> dict[str, Any]:
        """What is written of it: the pool as names and hashes only."""
        kept = {"pool": self.pool.identity(), "reasons": dict(self.pool.reasons), "errors": self.errors.asdict()}
        return {**kept, "own": self.corrected, "learned_until": str(self.learned_until)}


def errors_of(pool: Pool, series: PriceSeries, origins: Indices) -> Floats:
    """(m, 11) of ln(|move| / width + 0.05) minus the base's own expectation, at origins whose outcomes are known."""
    leads = np.array(LEADS)
    quantiles = pool.network(series, origins, leads)
    width = widths_of(quantiles)[..., None]
    weights = np.stack([np.interp(FINE_LEVELS, LEVELS, unit) for unit in np.eye(len(LEVELS))]) * REACH
    expected = np.log(np.abs((quantiles / width) @ weights) + SMALLEST_MOVE).mean(axis=-1)
    found = np.log(np.abs(moves(series, origins, leads)) / width[..., 0] + SMALLEST_MOVE)
    return np.asarray(found - expected, dtype=np.float64)
