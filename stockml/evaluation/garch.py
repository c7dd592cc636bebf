"""A ticker's own GJR-GARCH(1,1) with Student's t (Glosten, Jagannathan and Runkle 1993): a row of backtests only."""

from functools import lru_cache
from typing import Any

import numpy as np

from stockml.errors import RowUnavailable, TooFewBars
from stockml.features.segments import segments
from stockml.features.volatility import Volatilities, since_last_close
from stockml.prices.series import PriceSeries
from stockml.storage.arrays import Floats, Indices

MIN_RETURNS, MAX_RETURNS = 500, 2_500  # the newest returns, to fit on
REFIT_EVERY = 250  # returns: a year


def gjr_garch_widths(series: PriceSeries, origins: Indices, leads: Indices) -> Floats:
    """(m, leads) standard deviation of log(close `lead` sessions later / close of the origin); origins ascend.

    Row i sees only sessions up to origins[i] of its own segment; the model is refitted every 250 returns on the newest
    2,500. Raises TooFewBars below 500 returns, RowUnavailable without `arch`, for a price that stood still and for a
    fit that does not converge.
    """
    widths, start = np.empty((len(origins), len(leads))), 0
    for segment in segments(series):
        rows = np.flatnonzero((origins >= start) & (origins < start + len(segment)))
        percent = 100 * since_last_close(segment, segment.close)[1:]
        counts = Volatilities.of(segment).return_count[origins[rows] - start].astype(np.int64)
        if counts.min(initial=MIN_RETURNS) < MIN_RETURNS:
            raise TooFewBars(MIN_RETURNS + 1, int(counts.min()) + 1, "a GJR-GARCH of the ticker's own")
        learned_from = counts // REFIT_EVERY * REFIT_EVERY
        for stop in np.unique(learned_from):
            at = learned_from == stop
            parameters = _fitted(percent[max(stop - MAX_RETURNS, 0) : stop].tobytes())
            variances = _variances(percent, counts[at] - 1, int(leads.max()), parameters)
            widths[rows[at]] = np.sqrt(np.cumsum(variances, axis=1)[:, leads - 1]) / 100
        start += len(segment)
    return widths


@lru_cache(maxsize=64)
def _fitted(returns: bytes) -> tuple[float, ...]:
    """Fit mean, ω, α, γ, β, degrees of freedom.  returns: float64 bytes; cached, as rows of a backtest share a fit."""
    fitted = _gjr_garch(np.frombuffer(returns)).fit(disp="off", show_warning=False)
    if fitted.convergence_flag:
        raise RowUnavailable("GJR-GARCH", "expected a fit that converges, found none, as after a long halt")
    return tuple(fitted.params)


def _variances(returns: Floats, at: Indices, furthest: int, parameters: tuple[float, ...]) -> Floats:
    """(m, furthest) variance of each day ahead: ω + (α + γ 1[ε < 0]) ε² + β σ², then ω + (α + γ/2 + β) · the last.

    Vectorised over origins, where arch's own forecast takes them one by one.
    """
    _, omega, alpha, gamma, beta, _ = parameters
    fixed, variances = _gjr_garch(returns).fix(parameters), np.empty((len(at), furthest))
    shock, variance = np.asarray(fixed.resid)[at], np.asarray(fixed.conditional_volatility)[at] ** 2
    variances[:, 0] = omega + (alpha + gamma * (shock < 0)) * shock**2 + beta * variance
    for day in range(1, furthest):
        variances[:, day] = omega + (alpha + gamma / 2 + beta) * variances[:, day - 1]
    return variances


def _gjr_garch(returns: Floats) -> Any:
    """arch's model of these returns, (n,), percent, with Student's t.  Raises RowUnavailable."""
    try:
        from arch import arch_model
    except ImportError:
        raise RowUnavailable("GJR-GARCH", "needs the extra `garch` (make extras EXTRAS='garch')") from None
    if not returns.std() > 0:
        raise RowUnavailable("GJR-GARCH", "expected a price that moves, found none")
    return arch_model(returns, p=1, o=1, q=1, dist="t", rescale=False)
