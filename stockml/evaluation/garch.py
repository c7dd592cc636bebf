"""GJR-GARCH(1,1) with Student's t, of a ticker's own (Glosten, Jagannathan and Runkle 1993): a row of backtests alone.

Never here: a shape of the quantiles, which every simple row gets alike.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from stockml.errors import NoRow, TooFewBars
from stockml.features.range_volatility import Volatilities, since_last_close
from stockml.features.segments import segments
from stockml.prices.series import PriceSeries
from stockml.storage.arrays import Floats, Indices

FEWEST, MOST = 500, 2_500  # returns that are learned from: the newest
REFIT_EVERY = 250  # returns: a year
NEEDS_ARCH = "needs the extra `garch` (pip install 'arch>=7')"


def gjr_garch_widths(series: PriceSeries, origins: Indices, leads: Indices) -> Floats:
    """(m, leads) standard deviation of log(close of the session `lead` later / close of the origin).

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
    percent, known = 100 * since_last_close(series, series.close)[1:], Volatilities.of(series).returns[origins]
    if known.min() < FEWEST:
        raise TooFewBars(FEWEST + 1, int(known.min()) + 1, "a GJR-GARCH of the ticker's own")
    learned_from = np.maximum(known // REFIT_EVERY * REFIT_EVERY, FEWEST)
    variances = np.empty((len(origins), int(leads.max())))
    for stop in np.unique(learned_from):
        garch, rows = GjrGarch.fit(percent[max(stop - MOST, 0) : stop]), learned_from == stop
        variances[rows] = garch.variances(percent, known[rows], variances.shape[1])
    return np.asarray(np.sqrt(np.cumsum(variances, axis=1)[:, leads - 1]) / 100, dtype=np.float64)


@dataclass(frozen=True)
class GjrGarch:
    """σ² of the next return is omega + (alpha + gamma · [ε < 0]) · ε² + beta · σ², where ε is the last return − mu."""

    mu: float
    omega: float
    alpha: float
    gamma: float
    beta: float

    @classmethod
    def fit(cls, returns: Floats) -> Self:
        """By maximum likelihood.  returns: (n,), percent.  Raises NoRow."""
        try:
            from arch import arch_model
        except ImportError:
            raise NoRow("GJR-GARCH", NEEDS_ARCH) from None
        if not returns.std() > 0:
            raise NoRow("GJR-GARCH", "expected a price that moves, found none")
        model = arch_model(returns, p=1, o=1, q=1, dist="t", rescale=False)
        return cls(*map(float, model.fit(disp="off", show_warning=False).params[:5]))

    def variances(self, returns: Floats, known: Indices, horizon: int) -> Floats:
        """(m, horizon) of the next returns, where the first `known`, (m,), at least 500, have come."""
        from scipy.signal import lfilter

        shocks = returns - self.mu
        news = self.omega + (self.alpha + self.gamma * (shocks < 0)) * shocks**2
        before = [self.beta * np.mean(shocks[:FEWEST] ** 2)]
        following = lfilter([1.0], [1.0, -self.beta], news, zi=before)[0][known - 1]
        powers = (self.alpha + self.gamma / 2 + self.beta) ** np.arange(horizon)
        fresh = self.omega * np.concatenate([[0.0], np.cumsum(powers[:-1])])
        return np.asarray(following[:, None] * powers + fresh, dtype=np.float64)
