"""How far the price may move in the next 5, 20 and 50 sessions: a published distribution in
everyday terms."""

from dataclasses import dataclass

import numpy as np

from stockml.models.lead_grid import LEVELS, MEDIAN, symmetrised
from stockml.storage.arrays import Floats

SPANS = (5, 20, 50)  # sessions
MOVES = (0.05, 0.1)
USUAL_PERCENTILES = (40, 60)  # between them a volatility is neither calm nor wild
SESSIONS_A_YEAR = 252
MIN_USUAL = 20  # earlier forecasts, at least, to say what is usual
# the chance of a larger move falls with this power of its size, as that of shares does: 3 to 5
# score alike
TAIL_INDEX = 4.0
# mean square beyond the outermost quantile over that quantile's square; for the moves of 50 tickers
# up to each of 1989, 1991 … 1997 it is 1.99 to 2.07, for a normal's, 1.37
TAIL_MEAN_SQUARE = TAIL_INDEX / (TAIL_INDEX - 2)


@dataclass(frozen=True)
class Outlook:
    """The distribution at one lead.

    volatility: expected, annualised, of the log close; 0.2 is 20 %.  usual: range of the middle 80
    % of earlier forecasts' volatilities; percentile: share of them that were lower, equal ones
    half, 0 to 100; both None with fewer than 20.  rise: chance of a price above the close.  beyond:
    of a move up or down by more than each of MOVES.
    """

    sessions: int
    volatility: float
    usual: tuple[float, float] | None
    percentile: float | None
    rise: float
    beyond: tuple[float, ...]

    @property
    def mood(self) -> str:
        """The percentile in a word: calm, usual or wild; empty where it is not known."""
        if self.percentile is None:
            return ""
        low, high = USUAL_PERCENTILES
        return (
            "calm"
            if round(self.percentile) < low
            else "wild"
            if round(self.percentile) > high
            else "usual"
        )

    @property
    def place(self) -> str:
        """The percentile in words: `calmer than usual, 31st percentile`."""
        if self.percentile is None:
            return "too short a history to say"
        percentile = min(max(round(self.percentile), 1), 99)  # below all of them is the first
        word = {"calm": "calmer than", "wild": "wilder than"}.get(self.mood, "as")
        ending = (
            "th"
            if 10 <= percentile <= 20
            else {1: "st", 2: "nd", 3: "rd"}.get(percentile % 10, "th")
        )
        return f"{word} usual, {percentile}{ending} percentile"


def outlooks(quantiles: Floats, newest: Floats) -> tuple[Outlook, ...]:
    """One per span.  quantiles: (m, leads, 21), earlier log(price / close) at LEVELS.  newest:
    (leads, 21)."""
    rows, has_enough = [], len(quantiles) >= MIN_USUAL
    for span in (span for span in SPANS if span <= len(newest)):
        current = newest[span - 1]
        now, before = float(annualised(current, span)), annualised(quantiles[:, span - 1], span)
        usual = tuple(np.quantile(before, [0.1, 0.9]).tolist()) if has_enough else None
        percentile = (
            float(50 * ((before < now).mean() + (before <= now).mean())) if has_enough else None
        )
        beyond = tuple(float(chance_beyond(current, move)) for move in MOVES)
        rows.append(
            Outlook(span, now, usual, percentile, float(chance_above(current, 0.0)), beyond)
        )
    return tuple(rows)


def annualised(quantiles: Floats, lead: int) -> Floats:
    """(…) annualised close-to-close volatility, by quantiles (…, 21) of log(close at `lead` /
    close), symmetrised."""
    squares = symmetrised(quantiles) ** 2
    variance = (
        np.trapezoid(squares, LEVELS, axis=-1) + 2 * LEVELS[0] * TAIL_MEAN_SQUARE * squares[..., -1]
    )
    return np.asarray(np.sqrt(variance * SESSIONS_A_YEAR / lead), dtype=np.float64)


def chance_above(quantiles: Floats, move: float) -> Floats:
    """(…) chances of a move above `move`, by rising quantiles (…, 21): linear between them, a
    Pareto tail beyond."""
    low, median, high = (quantiles[..., at] for at in (0, MEDIAN, -1))
    at = np.clip(np.count_nonzero(quantiles <= move, axis=-1) - 1, 0, len(LEVELS) - 2)
    left, right = (
        np.take_along_axis(quantiles, each[..., None], axis=-1)[..., 0] for each in (at, at + 1)
    )
    end, distance = np.where(move >= high, high, low) - median, move - median
    # of a distribution without a width, whose chances are 0 and 1
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        between = 1 - (
            (LEVELS[at + 1] - LEVELS[at]) * ((move - left) / (right - left)) + LEVELS[at]
        )
        beyond = np.where(distance == 0, 0.0, LEVELS[0] * (end / distance) ** TAIL_INDEX)
    outside = np.where(move >= high, beyond, 1 - beyond)
    return np.asarray(np.where((low < move) & (move < high), between, outside), dtype=np.float64)


def chance_beyond(quantiles: Floats, move: float) -> Floats:
    """(…) chances of a price more than `move`, a fraction, above or below the close, by quantiles
    (…, 21)."""
    return chance_above(quantiles, float(np.log1p(move))) + chance_of_fall(quantiles, move)


def chance_of_fall(quantiles: Floats, move: float) -> Floats:
    """(…) chances of a price more than `move`, a fraction, below the close, by quantiles (…,
    21)."""
    return np.asarray(1 - chance_above(quantiles, float(np.log1p(-move))), dtype=np.float64)
