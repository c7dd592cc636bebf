"""How far the price may move in the next 5, 20 and 50 sessions, and the chance that it touches a
level below: a published distribution in everyday terms.

Touching, by the reflection principle: of the paths without drift that touch a barrier, half end
below it, so that a touch is twice as likely as an end below (Karatzas and Shreve 1991, section
2.6). Prices jump over barriers at night, so that a little less than half of them return:
`REFLECTION` is 1.95, not 2.
"""

from dataclasses import dataclass

import numpy as np

from stockml.features.origins import segment_start
from stockml.models.regressions import LEVELS, MEDIAN, symmetrised
from stockml.prices.series import PriceSeries
from stockml.storage.arrays import Floats, Indices

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


TOUCH_SESSIONS = 20
FALLS = (0.05, 0.1)  # of the last close
# of 1.8, 1.85 … 2 that with the best Brier score on the tickers learned from, in the eras from
# 1995-09 to 2011-09
REFLECTION = 1.95
PAST_WINDOWS = 2_500  # ten years, as in the published comparisons
MIN_WINDOWS = 250  # fewer say little of the share


@dataclass(frozen=True)
class Touch:
    """Whether the lowest low of the next `sessions` sessions is `fall` (0.05: 5 %) or more below
    the last close.

    chance: by the published distribution.  own_frequency: share of the past windows, at most 2,500,
    in which it was; None with fewer than 250.  skill: 1 − Brier score / that of the own frequency
    until then, over `origins` earlier forecasts; None where either outcome is too rare among them
    to tell.  happened: share of these origins.

    >>> Touch(20, 0.05, 0.3, own_frequency=0.4, skill=-0.01, origins=150, happened=0.38).shown
    0.4
    """

    sessions: int
    fall: float
    chance: float
    own_frequency: float | None
    skill: float | None
    origins: int
    happened: float | None

    @property
    def is_usual(self) -> bool:
        """Whether the share's own frequency is shown, as the chance has scored no better."""
        return self.own_frequency is not None and self.skill is not None and self.skill <= 0

    @property
    def shown(self) -> float:
        """The chance, or the share's own frequency."""
        if self.own_frequency is not None and self.is_usual:
            return self.own_frequency
        return self.chance


def touch_chance(quantiles: Floats, fall: float) -> Floats:
    """(…) chances, 0 to 1, that a low by the quantiles' lead is `fall` or more below the close.

    min(1, 1.95 F(ln(1 − fall))).  quantiles: (…, 21), rising, at LEVELS, of log(close at the lead /
    close); F is their distribution, symmetrised.  fall: 0 to 1, exclusive.

    >>> float(touch_chance(np.zeros(21), 0.05))  # a price that stands still
    0.0
    """
    ends_below = 1 - chance_above(symmetrised(quantiles), float(np.log1p(-fall)))
    return np.asarray(np.minimum(REFLECTION * ends_below, 1.0), dtype=np.float64)


def lowest_lows(series: PriceSeries, sessions: int = TOUCH_SESSIONS) -> Floats:
    """(n,) log(lowest low of the next `sessions` sessions / close); NaN where unknown or across
    segments."""
    found = np.full(len(series), np.nan)
    at = np.arange(len(series) - sessions)
    if len(at):
        windows = np.lib.stride_tricks.sliding_window_view(series.low[1:], sessions)
        joined = segment_start(series, at) == segment_start(series, at + sessions)
        found[at[joined]] = np.log(windows.min(axis=1) / series.close[at])[joined]
    return found


def own_frequencies(
    lows: Floats, origins: Indices, fall: float, sessions: int = TOUCH_SESSIONS
) -> Floats:
    """(m,) share of the newest 2,500 windows over by each origin that touched; NaN with fewer than
    250 known.

    lows: (n,), of `lowest_lows` over `sessions`.  origins: (m,), session indices.
    """
    known = np.isfinite(lows)
    touched = known & (lows <= np.log1p(-fall))
    counts, hits = (np.concatenate([[0], np.cumsum(each)]) for each in (known, touched))
    stop = np.maximum(origins - sessions + 1, 0)
    start = np.maximum(stop - PAST_WINDOWS, 0)
    windows = counts[stop] - counts[start]
    share = (hits[stop] - hits[start]) / np.maximum(windows, 1)
    return np.asarray(np.where(windows >= MIN_WINDOWS, share, np.nan), dtype=np.float64)
