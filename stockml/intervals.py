"""Bands round a path, and the chance of a rise: how wrong the path was on sessions it had not learned from.

Split conformal calibration (Vovk et al. 2005; Lei et al. 2018) of the logarithmic error, in units of the current
volatility and of the lead: the widths grow with both. One calibrated distribution answers both questions.

Never here: a look at the test part, or at the networks.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stockml.errors import TooFewBars
from stockml.evaluation import outcomes

Values = NDArray[np.float64]
Indices = NDArray[np.int64]

COVERAGES = (0.5, 0.8, 0.95)
HALF_LIFE_SESSIONS = 30
LEVELS = np.linspace(0.0, 1.0, 401)
FEWEST_ORIGINS = 20
FLOOR = 1e-6


def volatility(mid: Values) -> Values:
    """Mean absolute log change a session, recent ones weighing more.  mid: (n,), price.  Returns (n,), causal.

    Absolute rather than squared changes: one jump should not widen the bands for months.
    """
    changes = pd.Series(np.abs(np.diff(np.log(mid), prepend=math.log(mid[0]))))
    weighted = np.asarray(changes.ewm(halflife=HALF_LIFE_SESSIONS).mean(), dtype=np.float64)
    return np.maximum(weighted, FLOOR)


@dataclass(frozen=True)
class Bands:
    """A calibrated distribution of log(price / path), in units of volatility · √lead · shape[lead].

    shape: (horizon,).  levels, errors: the distribution's quantiles, symmetric about zero.
    origins: how many it was calibrated on.
    """

    shape: tuple[float, ...]
    levels: tuple[float, ...]
    errors: tuple[float, ...]
    origins: int

    @classmethod
    def fit(cls, mid: Values, origins: Indices, paths: Values) -> "Bands":
        """Calibrate on origins that the path's model has not learned from, and whose outcomes are known.

        mid: (n,), price.  origins: (m,), session indices.  paths: (m, horizon), price.  Raises TooFewBars.
        """
        if len(origins) < FEWEST_ORIGINS:
            raise TooFewBars(FEWEST_ORIGINS, len(origins), "calibrating the intervals")
        horizon = paths.shape[1]
        wrong = np.log(outcomes(mid, origins, horizon) / paths)
        units = wrong / (volatility(mid)[origins][:, None] * _root(horizon))
        shape = _shape(units)
        standard = (units / shape).ravel()
        both = np.concatenate([standard, -standard])
        errors = np.quantile(both, LEVELS)
        return cls(tuple(shape.tolist()), tuple(LEVELS.tolist()), tuple(errors.tolist()), len(origins))

    @property
    def horizon(self) -> int:
        return len(self.shape)

    def asdict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def fromdict(cls, record: Mapping[str, Any]) -> "Bands":
        tuples = {name: tuple(record[name]) for name in ("shape", "levels", "errors")}
        return cls(**tuples, origins=record["origins"])

    def spread(self, volatility: Values | float) -> Values:
        """One unit of log error.  volatility: (m,) or one number.  Returns (m, horizon) or (horizon,)."""
        current = np.asarray(volatility, dtype=np.float64)[..., None]
        return np.asarray(current * _root(self.horizon) * np.array(self.shape), dtype=np.float64)

    def quantiles(self, path: Values, volatility: Values | float, coverage: float) -> tuple[Values, Values]:
        """The band that holds the price with the chance `coverage`.

        path: (m, horizon) or (horizon,), price.  volatility: at the origins, (m,) or one number.  Returns low, high.
        """
        low, high = np.interp([(1 - coverage) / 2, (1 + coverage) / 2], self.levels, self.errors)
        spread = self.spread(volatility)
        return path * np.exp(low * spread), path * np.exp(high * spread)

    def probability_of_rise(
        self, path: Values, volatility: Values | float, last_value: Values | float, step: int
    ) -> Values:
        """Chance that the price at `step` is above `last_value`.  path: (m, horizon).  Returns (m,), or () for one."""
        distance = np.log(np.asarray(last_value) / path[..., step - 1]) / self.spread(volatility)[..., step - 1]
        return np.asarray(1 - np.interp(distance, self.errors, self.levels), dtype=np.float64)


def _root(horizon: int) -> Values:
    return np.asarray(np.sqrt(np.arange(1.0, horizon + 1)), dtype=np.float64)


def _shape(units: Values) -> Values:
    """How mean absolute errors depart from √lead: a power of the lead, so that widths are smooth and growing."""
    leads = np.log(np.arange(1.0, units.shape[1] + 1))
    sizes = np.log(np.maximum(np.abs(units).mean(axis=0), FLOOR))
    power = np.polyfit(leads, sizes, 1)[0] if len(leads) > 1 else 0.0
    power = min(max(float(power), -0.4), 0.4)
    return np.asarray(np.exp(power * (leads - leads.mean())), dtype=np.float64)


@dataclass(frozen=True)
class BandScore:
    """How often the price was inside, pooled and by lead, and the interval score (lower is better), in price."""

    coverage: float
    coverage_by_lead: tuple[float, ...]
    interval_score: float


@dataclass(frozen=True)
class BandScores:
    """The bands on origins they were not calibrated on, keyed by the nominal percentage: "50", "80", "95"."""

    bands: dict[str, BandScore]

    def asdict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def fromdict(cls, record: Mapping[str, Any]) -> "BandScores":
        scores = {
            name: BandScore(**{**score, "coverage_by_lead": tuple(score["coverage_by_lead"])})
            for name, score in record["bands"].items()
        }
        return cls(scores)

    def metrics(self) -> dict[str, float]:
        """`intervals/coverage_80`, `intervals/interval_score_80`, and so on."""
        coverages = {f"intervals/coverage_{name}": score.coverage for name, score in self.bands.items()}
        return coverages | {f"intervals/interval_score_{name}": s.interval_score for name, s in self.bands.items()}


def score_bands(bands: Bands, mid: Values, origins: Indices, paths: Values) -> BandScores:
    """Coverage and interval score (Gneiting and Raftery 2007) of the three bands.  Arguments as in `Bands.fit`."""
    actual = outcomes(mid, origins, bands.horizon)
    current = volatility(mid)[origins]
    scores = {}
    for coverage in COVERAGES:
        low, high = bands.quantiles(paths, current, coverage)
        inside = (low <= actual) & (actual <= high)
        missed = np.maximum(low - actual, 0) + np.maximum(actual - high, 0)
        scores[percent(coverage)] = BandScore(
            coverage=float(inside.mean()),
            coverage_by_lead=tuple(inside.mean(axis=0).tolist()),
            interval_score=float((high - low + 2 / (1 - coverage) * missed).mean()),
        )
    return BandScores(scores)


def percent(coverage: float) -> str:
    """0.8 as "80"."""
    return f"{100 * coverage:.0f}"
