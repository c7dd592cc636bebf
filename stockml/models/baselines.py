"""The simple forecasts against which every model is measured: no fitting, no look-ahead."""

import numpy as np
import pandas as pd

from stockml.storage.arrays import Floats, Indices

AVERAGE_WINDOW = 100
EMA_DECAY = 0.5
DRIFT_SESSIONS = 2_500
MOMENTUM_SESSIONS = 20
MOMENTUM_DAMPING = 0.9
LAST_MID = "last mid price"


def trailing_mean(mid: Floats, window: int = AVERAGE_WINDOW) -> Floats:
    """Mean of the last `window` values, or of as many as there are.  mid: (n,).  Returns (n,)."""
    return np.asarray(pd.Series(mid).rolling(window, min_periods=1).mean(), dtype=np.float64)


def exponential_mean(mid: Floats, decay: float = EMA_DECAY, start: float | None = None) -> Floats:
    """(n,) decay · (the mean so far) + (1 − decay) · (the newest value), from the first one or `start`.  mid: (n,)."""
    first = mid[:1] if start is None else np.array([start])
    whole = pd.Series(np.concatenate([first, mid])).ewm(alpha=1 - decay, adjust=False).mean()
    return np.asarray(whole, dtype=np.float64)[1:]


def mean_step(mid: Floats, sessions: int) -> Floats:
    """Mean change per session over the last `sessions` changes, or as many as there are.  mid: (n,).  Returns (n,)."""
    newest = np.arange(len(mid))
    oldest = np.maximum(newest - sessions, 0)
    steps: Floats = (mid - mid[oldest]) / np.maximum(newest - oldest, 1)
    return steps


def baseline_paths(mid: Floats, origins: Indices, horizon: int) -> dict[str, Floats]:
    """{name: (m, horizon)} price at leads 1 … horizon by every baseline, from the same origins.

    mid: (n,), price.  origins: (m,), session indices.  The forecast after session i depends on mid[: i + 1] alone.
    """
    last, still, straight = mid[origins, None], np.zeros(horizon), np.arange(1.0, horizon + 1)
    damped = np.cumsum(MOMENTUM_DAMPING**straight)  # a trend that continues, ever weaker (Gardner and McKenzie 1985)
    return {
        "standard average": trailing_mean(mid)[origins, None] + still,
        "EMA": exponential_mean(mid)[origins, None] + still,
        LAST_MID: last + still,
        "drift": mean_step(mid, DRIFT_SESSIONS)[origins, None] * straight + last,
        "momentum": mean_step(mid, MOMENTUM_SESSIONS)[origins, None] * damped + last,
    }
