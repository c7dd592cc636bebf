"""GJR-GARCH(1,1) with Student's t, of a ticker's own (Glosten, Jagannathan and Runkle 1993): a row of backtests alone.

Never here: a shape of the quantiles, which every simple row gets alike.
"""

from typing import Any

import numpy as np

from stockml.errors import NoRow, TooFewBars
from stockml.features.range_volatility import Volatilities, since_last_close
from stockml.features.segments import segments
from stockml.prices.series import PriceSeries
from stockml.storage.arrays import Floats, Indices

MIN_RETURNS, MAX_RETURNS = 500, 2_500  # returns that are learned from: the newest
REFIT_EVERY = 250  # returns: a year
NEEDS_ARCH = "needs the extra `garch` (pip install 'arch>=7')"


def gjr_garch_widths(series: PriceSeries, origins: Indices, leads: Indices) -> Floats:
    """(m, leads) standard deviation of log(close of the session `lead` later / close of the origins, which ascend).

    Row i sees sessions up to origins[i] only, of its own segment: once in 250 returns all is learned anew, from the
    2,500 before. Raises TooFewBars below 500 returns, NoRow without `arch` and for a price that stood still.
    """
    found, start = np.empty((len(origins), len(leads))), 0
    for segment in segments(series):
        rows = (origins >= start) & (origins < start + len(segment))
        if rows.any():
            found[rows] = _of_segment(segment, origins[rows] - start, leads)
        start += len(segment)
    return found


def _of_segment(series: PriceSeries, origins: Indices, leads: Indices) -> Floats:
    percent, known = 100 * since_last_close(series, series.close)[1:], Volatilities.of(series).return_count[origins]
    if known.min() < MIN_RETURNS:
        raise TooFewBars(MIN_RETURNS + 1, int(known.min()) + 1, "a GJR-GARCH of the ticker's own")
    learned_from = np.maximum(known // REFIT_EVERY * REFIT_EVERY, MIN_RETURNS)
    variances = np.empty((len(origins), int(leads.max())))
    for stop in np.unique(learned_from):
        fitted, rows = _gjr_garch(percent[max(stop - MAX_RETURNS, 0) : stop]), learned_from == stop
        learned, at = fitted.fit(disp="off", show_warning=False).params, known[rows] - 1
        after = _gjr_garch(percent).fix(learned).forecast(horizon=variances.shape[1], start=at[0], reindex=False)
        variances[rows] = after.variance.to_numpy()[at - at[0]]
    return np.asarray(np.sqrt(np.cumsum(variances, axis=1)[:, leads - 1]) / 100, dtype=np.float64)


def _gjr_garch(returns: Floats) -> Any:
    """arch's model of these returns, (n,), percent, with Student's t.  Raises NoRow."""
    try:
        from arch import arch_model
    except ImportError:
        raise NoRow("GJR-GARCH", NEEDS_ARCH) from None
    if not returns.std() > 0:
        raise NoRow("GJR-GARCH", "expected a price that moves, found none")
    return arch_model(returns, p=1, o=1, q=1, dist="t", rescale=False)
