"""How much a ticker's adjusted series swings, as it was known after each session.

Nothing here looks ahead: row t of every returned array depends on sessions up to t only, of its own segment, so a
longer series leaves its past unchanged.
"""

import numpy as np
import pandas as pd

from stockml.features.segments import each_segment
from stockml.prices.series import PriceSeries
from stockml.storage.arrays import Floats

VOLATILITY_FLOOR = 1e-4  # a halted share has no variance; its returns must still divide
USUAL_VOLATILITY = 0.015


@each_segment
def ewma_volatility(series: PriceSeries, sessions: int = 60) -> Floats:
    """(n,) trailing daily volatility of the log mid price, exponentially weighted with span `sessions`.

    Row t sees sessions up to t; the very first has no return yet and gets the usual volatility of any share. The floor
    keeps a halted share divisible.
    """
    squares = pd.Series(_returns(np.log(series.mid)) ** 2)
    squares.iloc[:1] = np.nan
    variance = squares.ewm(span=sessions, min_periods=1).mean().fillna(USUAL_VOLATILITY**2)
    return np.asarray(np.maximum(np.sqrt(variance.to_numpy()), VOLATILITY_FLOOR), dtype=np.float64)


def _returns(log_mid: Floats) -> Floats:
    return np.diff(log_mid, prepend=log_mid[:1])


def _trailing_mean(values: Floats, length: int) -> Floats:
    return np.asarray(pd.Series(values).rolling(length, min_periods=1).mean().to_numpy(), dtype=np.float64)
