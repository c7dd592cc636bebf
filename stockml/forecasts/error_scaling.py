"""What errors of a path are measured in: current volatility and the lead."""

import math

import numpy as np
import pandas as pd

from stockml.storage.arrays import Floats, Indices

HALF_LIFE_SESSIONS = 30  # 20 to 45 give the same interval score within 0.5 %


FLOOR = 1e-6


def absolute_volatility(mid: Floats) -> Floats:
    """Mean absolute log change a session, recent ones weighing more.  mid: (n,), price.  Returns (n,), causal.

    Absolute rather than squared changes: one jump should not widen the bands for months.
    """
    changes = pd.Series(np.abs(np.diff(np.log(mid), prepend=math.log(mid[0]))))
    weighted = np.asarray(changes.ewm(halflife=HALF_LIFE_SESSIONS).mean(), dtype=np.float64)
    return np.maximum(weighted, FLOOR)


def leads_of(horizon: int) -> Floats:
    return np.arange(1.0, horizon + 1)


def in_units(mid: Floats, origins: Indices, relative: Floats) -> Floats:
    """Prices relative to the origin's, as logarithms in units of volatility · √lead.  Returns (m, horizon)."""
    unit = absolute_volatility(mid)[origins, None] * np.sqrt(leads_of(relative.shape[1]))
    return np.asarray(np.log(relative) / unit, dtype=np.float64)


def past_range(mid: Floats, sessions: int) -> Floats:
    """Highest minus lowest of the `sessions` values up to each session, or as many as there are.  Returns (n,)."""
    rolling = pd.Series(mid).rolling(sessions, min_periods=1)
    return np.asarray(rolling.max() - rolling.min(), dtype=np.float64)
