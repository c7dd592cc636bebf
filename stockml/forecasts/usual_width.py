"""How wide a published band is beside what the share usually does: calm or wild, at a glance."""

import numpy as np

from stockml.forecasts.forecast import Forecast
from stockml.prices.series import PriceSeries

SESSIONS = 2_500  # ten years
FEWEST = 250


def width_against_usual(forecast: Forecast, series: PriceSeries) -> float | None:
    """The 80 % band at the direction's step over the range that held 80 % of the moves of the last ten years.

    1 is as wide as usual, in logarithms of price.  series: through the origin, nothing later is looked at.  None with
    fewer than 250 known moves, or where the price never moved.
    """
    step, band = forecast.direction_step, forecast.band(80)
    moves = np.log(series.mid[step:] / series.close[:-step])[-SESSIONS:]
    if len(moves) < FEWEST:
        return None
    low, high = np.quantile(moves, (0.1, 0.9))
    return float(np.log(band.high[step - 1] / band.low[step - 1]) / (high - low)) if high > low else None
