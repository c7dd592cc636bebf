"""A ticker's adjusted series as the model sees it, and its causal scaling.

Nothing here looks ahead: row t of every returned array depends on sessions up to t only, so a longer series leaves
its past unchanged.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stockml.prices.series import PriceSeries
from stockml.storage.arrays import Floats

VOLATILITY_FLOOR = 1e-4  # a halted share has no variance; its returns must still divide
USUAL_VOLATILITY = 0.015
FEATURES = ("return", "close gap", "range", "distance 5", "distance 20", "distance 60", "distance 250")


def ewma_volatility(series: PriceSeries, sessions: int = 60) -> Floats:
    """(n,) trailing daily volatility of the log mid price, exponentially weighted with span `sessions`.

    Row t sees sessions up to t; the very first has no return yet and gets the usual volatility of any share. The floor
    keeps a halted share divisible.
    """
    squares = pd.Series(_returns(np.log(series.mid)) ** 2)
    squares.iloc[:1] = np.nan
    variance = squares.ewm(span=sessions, min_periods=1).mean().fillna(USUAL_VOLATILITY**2)
    return np.asarray(np.maximum(np.sqrt(variance.to_numpy()), VOLATILITY_FLOOR), dtype=np.float64)


def features(series: PriceSeries) -> Floats:
    """(n, len(FEATURES)) causal inputs in units of trailing volatility.

    The session's return, how far the close is from the mid, the session's range, and how far the mid is from its
    means of 5, 20, 60 and 250 sessions.
    """
    mid = np.log(series.mid)
    columns = [_returns(mid), np.log(series.close) - mid, np.log(series.high) - np.log(series.low)]
    columns += [(mid - _trailing_mean(mid, length)) / np.sqrt(length) for length in (5, 20, 60, 250)]
    return np.stack(columns, axis=1) / ewma_volatility(series)[:, None]


@dataclass(frozen=True, eq=False)
class FeatureScaler:
    """Mean and deviation of each feature, and the volatility at the end, learned once and applied to anything.

    mean, deviation: (features,). volatility: median daily volatility of the last 60 sessions it was fitted on.
    """

    mean: Floats
    deviation: Floats
    volatility: float

    @classmethod
    def fit(cls, series: PriceSeries) -> "FeatureScaler":
        """Learn from a series that ends where the training part ends."""
        rows = features(series)
        deviation = np.maximum(rows.std(axis=0), 1e-6)
        return cls(rows.mean(axis=0), deviation, _recent_volatility(series))

    def apply(self, rows: Floats) -> NDArray[np.float32]:
        """(n, features) standardised; beyond 5 deviations it is cut, so that no outlier leads the network astray."""
        standard = (rows - self.mean) / self.deviation
        return np.clip(standard, -5.0, 5.0).astype(np.float32)

    def drift(self, series: PriceSeries) -> float:
        """By what factor the volatility has changed since this was learned, at least 1, whichever the direction."""
        ratio = _recent_volatility(series) / self.volatility
        return max(ratio, 1 / ratio)

    def asdict(self) -> dict[str, Any]:
        return {"mean": self.mean.tolist(), "deviation": self.deviation.tolist(), "volatility": self.volatility}

    @classmethod
    def from_dict(cls, kept: dict[str, Any]) -> "FeatureScaler":
        return cls(np.asarray(kept["mean"]), np.asarray(kept["deviation"]), float(kept["volatility"]))


def _recent_volatility(series: PriceSeries) -> float:
    return float(np.median(ewma_volatility(series)[-60:]))


def _returns(log_mid: Floats) -> Floats:
    return np.diff(log_mid, prepend=log_mid[:1])


def _trailing_mean(values: Floats, length: int) -> Floats:
    return np.asarray(pd.Series(values).rolling(length, min_periods=1).mean().to_numpy(), dtype=np.float64)
