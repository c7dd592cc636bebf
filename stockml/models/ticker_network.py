"""A ticker's network: the base learned across tickers, plus four numbers of the ticker's own.

One ticker's history teaches little, so its part is small: an offset to each coefficient of `lead_basis` (the biases of
the last layer), from a ridge regression that shrinks them to 0, the base left alone. They follow from running means of
the steps by which past outcomes would have corrected the width; continuing from these equals learning from scratch.
The simple forecast beside it has four of its own, learned in the same way, so that it is not the worse calibrated.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np

from stockml.models.baselines import published_median
from stockml.models.lead_grid import BASIS_SIZE, LEADS, LEVELS, lead_basis, moves, symmetrised
from stockml.models.pooled_regression import ORIGIN_STRIDE
from stockml.models.vintage_set import VintageSet
from stockml.prices.series import PriceSeries
from stockml.storage.arrays import Floats, Indices

DECAY_ORIGINS = 600.0  # origins, five sessions apart, after which a weight has fallen by a factor of e
RIDGE_PENALTY = 60.0  # independent origins a lead: with as many, a coefficient is shrunk by about half
OVERLAP = np.maximum(np.array(LEADS) / ORIGIN_STRIDE, 1)  # origins in a row whose outcomes share sessions count as one
FORECASTS = 2  # the base's, and the simple one


@dataclass(frozen=True, eq=False)
class WidthCorrection:
    """How far the widths forecast for a ticker were off, exponentially weighted over its past origins.

    mean: (2, 11), of the base and of the simple forecast, at LEADS, of `width_steps`.  weight: effective number of
    origins, the newest of which has 1.  through: session of the newest, None before the first.
    """

    mean: Floats = field(default_factory=lambda: np.zeros((FORECASTS, len(LEADS))))
    weight: float = 0.0
    through: np.datetime64 | None = None

    def updated(self, errors: Floats, through: np.datetime64) -> Self:
        """Update with the errors of later origins, (2, m, 11), oldest first."""
        count = errors.shape[1]
        weights = np.exp(-np.arange(count)[::-1] / DECAY_ORIGINS)
        decayed = self.weight * np.exp(-count / DECAY_ORIGINS)
        weight = decayed + float(weights.sum())
        return type(self)((decayed * self.mean + weights @ errors) / weight, weight, through)

    def coefficients(self) -> Floats:
        """(2, 4) coefficients of `lead_basis`: ridge regressions of the means on it, weighted by weight / OVERLAP."""
        basis = lead_basis(np.array(LEADS))
        weighted = basis.T * (self.weight / OVERLAP)
        penalty = RIDGE_PENALTY * len(LEADS) * np.eye(BASIS_SIZE)
        return np.asarray(np.linalg.solve(weighted @ basis + penalty, weighted @ self.mean.T).T, dtype=np.float64)

    def asdict(self) -> dict[str, Any]:
        through = None if self.through is None else str(self.through)
        return {"mean": self.mean.tolist(), "weight": self.weight, "through": through}

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Self:
        """The inverse; empty, to be learned again, for an earlier version's record (the base's mean alone)."""
        mean = np.array(content["mean"], dtype=np.float64)
        if mean.shape == (len(LEADS),) or content["through"] is None:
            return cls()
        return cls(mean.reshape(FORECASTS, len(LEADS)), float(content["weight"]), np.datetime64(content["through"]))


@dataclass(frozen=True, eq=False)
class TickerNetwork:
    """A base, corrected by a ticker's errors if `corrected`; it has seen sessions through `learned_until`."""

    vintages: VintageSet
    errors: WidthCorrection
    corrected: bool
    learned_until: np.datetime64

    forecasts_path: ClassVar[bool] = False
    scale: ClassVar[None] = None  # a base forecasts ratios, whatever the prices
    weights: ClassVar[tuple[()]] = ()  # the base's are in the vintages' files

    def forecast(self, series: PriceSeries, origins: Indices, leads: Indices) -> tuple[Floats, Floats | None]:
        """(m, leads) the published median, and (m, leads, 21) quantiles symmetric about 0, None without a base."""
        correction = self.errors.coefficients()[0] if self.corrected else None
        quantiles = self.vintages.network_quantiles(series, origins, leads, correction) if self.vintages.base else None
        return published_median(series, origins, leads), quantiles

    @property
    def simple_correction(self) -> Floats:
        """(4,) the ticker's own part of the simple forecast, which is always used; 0 where nothing was learned."""
        return np.asarray(self.errors.coefficients()[1], dtype=np.float64)

    def asdict(self) -> dict[str, Any]:
        """What is written of it: the vintages as names and hashes only."""
        return {
            "pool": self.vintages.identity(),
            "reasons": dict(self.vintages.reasons),
            "errors": self.errors.asdict(),
            "own": self.corrected,
            "learned_until": str(self.learned_until),
        }


def width_errors(vintages: VintageSet, series: PriceSeries, origins: Indices) -> Floats:
    """(2, m, 11) of `width_steps`, of the base, if any, and of the simple forecast, at origins with known outcomes."""
    leads = np.array(LEADS)
    actual, simple = moves(series, origins, leads), symmetrised(vintages.simple_quantiles(series, origins, leads))
    network = vintages.network_quantiles(series, origins, leads) if vintages.base else simple
    return np.stack([width_steps(each, actual) for each in (network, simple)])


def width_steps(quantiles: Floats, actual: Floats) -> Floats:
    """(m, leads) Newton steps of ln width to the least CRPS, one outcome each: 0 on average for the true distribution.

    Bounded, however large a move.  quantiles: (m, leads, 21), at LEVELS, about 0.  actual: (m, leads).  CRPS is twice
    the mean pinball loss; its curvature is what the forecast itself expects: the mean of quantile² · density there.
    """
    slope = (quantiles * ((actual[..., None] < quantiles) - LEVELS)).mean(axis=-1)
    gaps = np.gradient(quantiles, LEVELS, axis=-1)  # 0 where a share often stands still
    curvature = np.divide(quantiles**2, gaps, out=np.zeros_like(gaps), where=gaps > 0).mean(axis=-1)
    return np.asarray(-slope / curvature, dtype=np.float64)
