"""The averaging forecasts that every model must be measured against: no fitting, no memory of the future.

A level and a trend per session, each from the sessions up to it, and a shape over the leads:
path(origin)[k] = level[origin] + trend[origin] · shape[k].
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from stockml.storage.arrays import Floats, Indices

AVERAGE_WINDOW = 100
EMA_DECAY = 0.5
DRIFT_SESSIONS = 2_500
MOMENTUM_SESSIONS = 20
MOMENTUM_DAMPING = 0.9


def trailing_mean(mid: Floats, window: int = AVERAGE_WINDOW) -> Floats:
    """Mean of the last `window` values, or of as many as there are.  mid: (n,).  Returns (n,)."""
    return np.asarray(pd.Series(mid).rolling(window, min_periods=1).mean(), dtype=np.float64)


def exponential_mean(mid: Floats, decay: float = EMA_DECAY, start: float | None = None) -> Floats:
    """(n,) decay · (the mean so far) + (1 − decay) · (the newest value), from the first or from `start`.  mid: (n,)."""
    first = mid[:1] if start is None else np.array([start])
    whole = pd.Series(np.concatenate([first, mid])).ewm(alpha=1 - decay, adjust=False).mean()
    return np.asarray(whole, dtype=np.float64)[1:]


def mean_step(mid: Floats, sessions: int) -> Floats:
    """Mean change a session over the last `sessions` changes, or as many as there are.  mid: (n,).  Returns (n,)."""
    newest = np.arange(len(mid))
    oldest = np.maximum(newest - sessions, 0)
    steps: Floats = (mid - mid[oldest]) / np.maximum(newest - oldest, 1)
    return steps


def straight(horizon: int) -> Floats:
    return np.arange(1.0, horizon + 1)


def damped(horizon: int) -> Floats:
    """d + d² + … up to each lead, d MOMENTUM_DAMPING: a trend that goes on, ever weaker (Gardner and McKenzie 1985)."""
    return np.asarray(np.cumsum(MOMENTUM_DAMPING ** straight(horizon)), dtype=np.float64)


@dataclass(frozen=True)
class Baseline:
    """One averaging forecast. What it says after session i depends on mid[: i + 1] alone."""

    name: str
    level: Callable[[Floats], Floats]
    trend: Callable[[Floats], Floats] = np.zeros_like
    shape: Callable[[int], Floats] = np.zeros

    def path(self, mid: Floats, origins: Indices, horizon: int) -> Floats:
        """mid: (n,), price.  origins: (m,), session indices.  Returns (m, horizon), price at leads 1 … horizon."""
        level, trend = self.level(mid)[origins], self.trend(mid)[origins]
        paths: Floats = np.multiply.outer(trend, self.shape(horizon))
        paths += level[:, None]
        return paths


LAST_MID = "last mid price"

BASELINES: dict[str, Baseline] = {
    baseline.name: baseline
    for baseline in (
        Baseline("standard average", trailing_mean),
        Baseline("EMA", exponential_mean),
        Baseline(LAST_MID, np.asarray),
        Baseline("drift", np.asarray, lambda mid: mean_step(mid, DRIFT_SESSIONS), straight),
        Baseline("momentum", np.asarray, lambda mid: mean_step(mid, MOMENTUM_SESSIONS), damped),
    )
}


def baseline_paths(mid: Floats, origins: Indices, horizon: int) -> dict[str, Floats]:
    """Every baseline's path from the same origins.  Returns {name: (m, horizon)}."""
    return {name: baseline.path(mid, origins, horizon) for name, baseline in BASELINES.items()}
