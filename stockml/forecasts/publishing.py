"""Combine a network and the strongest simple forecast into what is published: shares, width and path.

Only outcomes known at the origin are used. The network's share starts at one half and moves slowly, lead by lead,
towards whichever of the two has been right (exponential weights; Vovk 1990). The width is corrected by the share that
the 80 % bands have held (adaptive conformal inference; Gibbs and Candès 2021), in steps so small that a calm year does
not make the next crash's bands too narrow. The path is the last close plus part of the usual rise of any share.
"""

from dataclasses import dataclass

import numpy as np

from stockml.forecasts.proper_scores import band, crps
from stockml.models.lead_grid import moves, symmetrised
from stockml.prices.series import PriceSeries
from stockml.storage.arrays import Floats, Indices

INITIAL_SHARE = 1 / 2  # the network's; chosen on cuts from 1989 to 1997, on tickers that it was not learned from
LEARNING_RATE = 0.02  # of log odds, per session, in units of the simple forecast's mean CRPS so far
FEEDBACK_RATE = 0.0005  # per session, in ln width per unit of coverage that an origin's 80 % bands are off
MAX_FEEDBACK = 0.3


@dataclass(frozen=True, eq=False)
class Components:
    """The forecasts of log(mid price / close of the origin), after m origins, that are combined into a published one.

    location: (m, leads), the median.  simple: (m, leads, 21), quantiles at LEVELS without a network, of which only the
    spread is used: their skew lost on every early cut.  network: (m, leads, 21), symmetric about 0; None without one.
    """

    location: Floats
    simple: Floats
    network: Floats | None


@dataclass(frozen=True, eq=False)
class CombinedForecast:
    """Quantiles (m, leads, 21), rising; the network's shares (m, leads), 0 … 1; feedback (m,), in ln width."""

    quantiles: Floats
    shares: Floats
    feedback: Floats

    def calibration(self) -> "Calibration":
        """The calibration of the newest origin."""
        return Calibration(tuple(self.shares[-1].tolist()), float(self.feedback[-1]))

    def at(self, rows: Indices | slice) -> "CombinedForecast":
        return CombinedForecast(self.quantiles[rows], self.shares[rows], self.feedback[rows])


@dataclass(frozen=True)
class Calibration:
    """How components are combined: shares (leads,), the network's; feedback, ln of the width."""

    shares: tuple[float, ...]
    feedback: float

    def applied(self, components: Components) -> Floats:
        """(m, leads, 21) combined quantiles, rising."""
        width = _weighted(symmetrised(components.simple), components.network, np.array(self.shares))
        return _centred_on(components.location, width, self.feedback)


def _weighted(spread: Floats, network: Floats | None, shares: Floats) -> Floats:
    if network is None:
        return spread
    return np.asarray(shares[..., None] * network + (1 - shares[..., None]) * spread, dtype=np.float64)


def _centred_on(location: Floats, width: Floats, feedback: float) -> Floats:
    quantiles = location[..., None] + np.exp(feedback) * width
    return np.asarray(np.maximum.accumulate(quantiles, axis=-1), dtype=np.float64)


def combine(series: PriceSeries, origins: Indices, components: Components) -> CombinedForecast:
    """Combine the components as they would have been published after each origin, from what was known then.

    origins: (m,), ascending; the newest outcomes may be unknown. Row i depends only on sessions up to origins[i].
    """
    spread, leads = symmetrised(components.simple), components.location.shape[1]
    due = np.searchsorted(origins + leads, origins, side="right")  # (m,) how many outcomes are complete by each
    resolved, gaps = origins[: due[-1]], np.diff(origins[: due[-1]], prepend=origins[0] - 1)
    actual = moves(series, resolved, np.arange(1, leads + 1))
    shares = np.zeros_like(components.location)
    if components.network is not None:
        shares = _shares(spread[: len(resolved)], components.network[: len(resolved)], actual, gaps)[due]
    width, quantiles = _weighted(spread, components.network, shares), np.empty_like(spread)
    low, high = band(quantiles, 0.8)  # views: they are filled with the quantiles, row by row
    feedback, current, used = np.zeros(len(origins)), 0.0, 0  # outcomes before `used` have been fed back
    for row, known in enumerate(due):
        for outcome in range(used, known):
            outside = np.count_nonzero((actual[outcome] < low[outcome]) | (actual[outcome] > high[outcome])) / leads
            current += FEEDBACK_RATE * gaps[outcome] * (outside - 0.2)
            current = min(max(current, -MAX_FEEDBACK), MAX_FEEDBACK)
        feedback[row], used = current, known
        quantiles[row] = _centred_on(components.location[row], width[row], current)
    return CombinedForecast(quantiles, shares, feedback)


def _shares(spread: Floats, network: Floats, actual: Floats, gaps: Indices) -> Floats:
    """(k + 1, leads) network's shares after 0, 1 … k outcomes.  actual: (k, leads).  gaps: (k,), sessions between."""
    loss = crps(spread, actual)
    advantage = gaps[:, None] * (loss - crps(network, actual))
    loss, advantage = (np.pad(np.cumsum(each, axis=0), ((1, 0), (0, 0))) for each in (loss, advantage))
    mean_loss = loss / np.maximum(np.arange(len(loss)), 1)[:, None]
    relative = np.divide(advantage, mean_loss, out=np.zeros_like(mean_loss), where=mean_loss > 0)
    log_odds = np.log(INITIAL_SHARE / (1 - INITIAL_SHARE)) + np.clip(LEARNING_RATE * relative, -20.0, 20.0)
    return np.asarray(1 / (1 + np.exp(-log_odds)), dtype=np.float64)
