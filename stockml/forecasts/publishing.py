"""What is published of a network and of the strongest simple forecast: how much of each, how wide, about which path.

All of it follows from what had come by then. The network's share starts at two thirds, and moves slowly towards
whichever of the two has been right, lead by lead (exponential weights; Vovk 1990). The width is fed back what the
80 % bands have held (adaptive conformal inference; Gibbs and Candès 2021): so little at a time that a calm year does
not make the next crash's bands too narrow. The path is the last close and a part of the rise that any share has.

Never here: an outcome that was not known when the forecast was made, or a network's weights.
"""

from dataclasses import dataclass, field

import numpy as np

from stockml.forecasts.proper_scores import crps
from stockml.models.pooled_regression import LEVELS, symmetrised
from stockml.prices.series import PriceSeries
from stockml.storage.arrays import Floats, Indices

FIRST_SHARE = 2 / 3  # the network's; on tickers and eras that it was not learned from, from a half to all did well
LEARNING_RATE = 0.02  # a session, in units of the simple forecast's mean loss
FEEDBACK = 0.0005  # a session, in ln of the width for each share that the 80 % bands held too much or too little
FURTHEST_FEEDBACK = 0.3
MIDDLE = len(LEVELS) // 2
UPPER_80 = int(np.flatnonzero(np.isclose(LEVELS, 0.9))[0])


@dataclass(frozen=True, eq=False)
class Said:
    """What a forecaster says after m origins, of log(mid price / close of the origin).

    location: (m, leads), the median.  simple: (m, leads, 21) quantiles at LEVELS without a network; of these the spread
    and the skew count.  network: (m, leads, 21), symmetric about 0; None without one.
    """

    location: Floats
    simple: Floats
    network: Floats | None


@dataclass(frozen=True, eq=False)
class Published:
    """quantiles: (m, leads, 21), rising.  shares: (m, leads), the network's, 0 … 1.  feedback: (m,), in ln width."""

    quantiles: Floats
    shares: Floats
    feedback: Floats

    def calibration(self) -> "Calibration":
        """Of the newest origin."""
        return Calibration(tuple(self.shares[-1].tolist()), float(self.feedback[-1]))

    def at(self, rows: Indices | slice) -> "Published":
        return Published(self.quantiles[rows], self.shares[rows], self.feedback[rows])


@dataclass(frozen=True)
class Calibration:
    """What is published of a forecaster's words: shares (leads,), the network's; feedback, ln of the width."""

    shares: tuple[float, ...]
    feedback: float

    def applied(self, said: Said) -> Floats:
        """(m, leads, 21) rising quantiles."""
        spread, skew = _spread_and_skew(said.simple)
        width = _mixed(spread, said.network, np.array(self.shares))
        return _about(said.location, skew, width, self.feedback)


def _spread_and_skew(simple: Floats) -> tuple[Floats, Floats]:
    skew = (simple + simple[..., ::-1]) / 2
    return symmetrised(simple), np.asarray(skew - skew[..., MIDDLE, None], dtype=np.float64)


def _mixed(spread: Floats, network: Floats | None, shares: Floats) -> Floats:
    if network is None:
        return spread
    return np.asarray(shares[:, None] * network + (1 - shares[:, None]) * spread, dtype=np.float64)


def _about(location: Floats, skew: Floats, width: Floats, feedback: float) -> Floats:
    found = location[..., None] + skew + np.exp(feedback) * width
    return np.asarray(np.maximum.accumulate(found, axis=-1), dtype=np.float64)


def published(series: PriceSeries, origins: Indices, said: Said) -> Published:
    """What would have been published after each of the origins, by what was known then.

    origins: (m,), ascending session indices; the outcomes of those near the end of the series may be unknown. Row i
    depends on sessions up to origins[i] only.
    """
    spread, skew = _spread_and_skew(said.simple)
    state, leads = _State.start(said.location.shape[1], said.network is not None), said.location.shape[1]
    moved = np.log(series.mid)
    shares, feedback = np.empty(said.location.shape), np.empty(len(origins))
    quantiles = np.empty_like(spread)
    due = 0
    for row, origin in enumerate(origins):
        while due < row and origins[due] + leads <= origin:
            actual = moved[origins[due] + 1 : origins[due] + leads + 1] - np.log(series.close[origins[due]])
            gap = int(origins[due] - origins[max(due - 1, 0)]) or 1
            state.learn(_Row(said, spread, quantiles, due), actual, gap)
            due += 1
        shares[row], feedback[row] = state.shares(), state.feedback
        width = _mixed(spread[row], None if said.network is None else said.network[row], shares[row])
        quantiles[row] = _about(said.location[row], skew[row], width, feedback[row])
    return Published(quantiles, shares, feedback)


@dataclass(frozen=True, eq=False)
class _Row:
    """One origin's forecasts, once their outcome is known; (leads, 21) each."""

    said: Said
    spread: Floats
    quantiles: Floats
    row: int

    def advantage(self, actual: Floats) -> tuple[Floats, Floats]:
        """(leads,) by how much the network's CRPS is lower than the simple forecast's; and the latter."""
        simple = crps(self.spread[self.row], LEVELS, actual)
        if self.said.network is None:
            return np.zeros_like(simple), simple
        return simple - crps(self.said.network[self.row], LEVELS, actual), simple

    def missed(self, actual: Floats) -> float:
        """Share of the leads at which the price was outside the published 80 % band."""
        found = self.quantiles[self.row]
        outside = (actual < found[:, len(LEVELS) - 1 - UPPER_80]) | (actual > found[:, UPPER_80])
        return float(outside.mean())


@dataclass
class _State:
    """advantage, loss: (leads,) sums over what came due, the former a session; seen: how many."""

    has_network: bool
    advantage: Floats
    loss: Floats
    seen: int = 0
    feedback: float = field(default=0.0)

    @classmethod
    def start(cls, leads: int, has_network: bool) -> "_State":
        return cls(has_network, np.zeros(leads), np.zeros(leads))

    def learn(self, row: _Row, actual: Floats, gap: int) -> None:
        advantage, loss = row.advantage(actual)
        self.advantage, self.loss, self.seen = self.advantage + gap * advantage, self.loss + loss, self.seen + 1
        step = FEEDBACK * gap * (row.missed(actual) - 0.2)
        self.feedback = float(np.clip(self.feedback + step, -FURTHEST_FEEDBACK, FURTHEST_FEEDBACK))

    def shares(self) -> Floats:
        if not self.has_network:
            return np.zeros_like(self.loss)
        usual = self.loss / max(self.seen, 1)
        units = np.divide(self.advantage, usual, out=np.zeros_like(usual), where=usual > 0)
        odds = np.log(FIRST_SHARE / (1 - FIRST_SHARE)) + np.clip(LEARNING_RATE * units, -20.0, 20.0)
        return np.asarray(1 / (1 + np.exp(-odds)), dtype=np.float64)
