"""Adjusted prices as a view: back-adjustment by splits, and joining already adjusted history by its
overlap."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stockml.errors import InconsistentOverlap, NoOverlap
from stockml.prices.bars import PRICES, Bars, Split, days_of
from stockml.prices.calendar import Sessions
from stockml.storage.arrays import Days, Floats, Indices

RATIO_SESSIONS = 20
RATIO_TOLERANCE = 0.005
# to which both sides may be rounded: of a share at 20 cents, ratios differ by a twentieth
CENT = 0.01
MAX_TOLERANCE = 0.1  # however cheap the share: a split must still show
MAX_DIVIDEND = 0.04
SESSIONS_PER_DIVIDEND = 40
# sessions at either end of the overlap: fewer at another ratio are odd, not a lasting change
MIN_LEVEL_SESSIONS = 5
MIN_SESSIONS_BETWEEN_DIVIDENDS = 3  # sessions between two dividends
DETECTABLE_FACTOR = 1.5  # a smaller split drowns in an ordinary day's move
MAX_SESSIONS_OFF = 5  # a provider lists a split at most so far from the day on which bars show it
LONG_HOLE = np.timedelta64(14, "D")  # across it prices move so far that a split does not show


@dataclass(frozen=True)
class Join:
    """How imported history joins the bars after it: its prices times `ratio`, before `cut` and in
    holes after it."""

    cut: date
    ratio: float
    odd: tuple[date, ...] = ()  # sessions of the overlap on which the two disagree
    overlap: int = 0  # sessions that both have


def effective(bars: Bars, splits: Sequence[Split]) -> tuple[list[Split], list[Split]]:
    """The splits after the first bar and by the last: those to apply, and those that the bars
    contradict."""
    listed = [
        split for split in splits if bars.index[0].date() < split.effective <= bars.index[-1].date()
    ]
    contradicted = [split for split in listed if is_contradicted(bars, split)]
    return [split for split in listed if split not in contradicted], contradicted


def back_adjusted(bars: Bars, splits: Sequence[Split]) -> Bars:
    """Raw bars in shares of their last session: prices divided, and volume multiplied, by the
    splits since."""
    applied, _ = effective(bars, splits)
    if not applied:
        return bars
    # shares of the last session, for one of each session
    days, factors = days_of(bars), np.ones(len(bars))
    for split in applied:
        factors[days < np.datetime64(split.effective)] *= split.factor
    price_factor = 1.0 / factors
    prices = {name: bars[name] * price_factor for name in PRICES}
    return bars.assign(**prices, volume=bars["volume"] / price_factor)


def is_contradicted(bars: Bars, split: Split) -> bool:
    """Whether no close within a week of the split moved by a fifth of it (in logs); False if that
    is unknown."""
    days, log_factor = days_of(bars), np.log(split.factor)
    at = int(np.searchsorted(days, np.datetime64(split.effective, "D")))
    window = slice(max(at - MAX_SESSIONS_OFF - 1, 0), at + MAX_SESSIONS_OFF + 1)
    if abs(log_factor) < np.log(DETECTABLE_FACTOR) or (np.diff(days[window]) > LONG_HOLE).any():
        return False
    close = bars["close"].to_numpy()[window]
    # history that is about to be imported may have broken bars
    moves = np.diff(np.log(close[close > 0]))
    return bool((-np.sign(log_factor) * moves < abs(log_factor) / 5).all())


def joined(ticker: str, history: Bars, bars: Bars, sessions: Sessions) -> tuple[Bars, Join | None]:
    """Put history, scaled to fit, before the first of `bars`; return the series and the join, None
    if it adds nothing.

    Both are adjusted already. Holes in the bars are filled from history too, wherever it begins, if
    one ratio holds throughout. The ratio is the median over the first 20 sessions that both have,
    so that later sessions do not move it. Raises NoOverlap, with the sessions that are missing
    between the two, and InconsistentOverlap.
    """
    history_days, days = days_of(history), days_of(bars)
    before = history_days < days[0]
    missing = ~np.isin(history_days, days) & (history_days < days[-1])
    common, at_history, at_bars = np.intersect1d(
        history_days, days, assume_unique=True, return_indices=True
    )
    if not before.any() and not (missing.any() and len(common)):
        return bars, None
    if len(common) == 0:
        gap = sessions.between(history_days[before][-1].item(), days[0].item())
        raise NoOverlap(ticker, gap[1:])
    closes = bars["close"].to_numpy()[at_bars], history["close"].to_numpy()[at_history]
    rounding = CENT / float(np.median(np.minimum(*closes)))
    tolerance = min(max(RATIO_TOLERANCE, rounding), MAX_TOLERANCE)
    ratio, odd, steps = _lasting_ratio(ticker, common, closes[0] / closes[1], tolerance)
    scaled = history[before if steps else missing] * pd.Series(
        {**dict.fromkeys(PRICES, ratio), "volume": 1 / ratio}
    )
    join = Join(days[0].item(), ratio, tuple(common[odd].tolist()), len(common))
    return pd.concat([scaled, bars]).sort_index(), join


def _lasting_ratio(
    ticker: str, common: Days, ratios: Floats, tolerance: float
) -> tuple[float, NDArray[np.bool_], int]:
    """The ratio at the start of the overlap, which sessions disagree, and how many dividends lie
    inside it.

    Takes (k,) days, ascending, and their ratios bars / history. A dividend inside the overlap
    lowers the ratio once, from its day on and by at most 4 %: a dividend-adjusted history is closer
    to the traded prices after it. One such step every 40 sessions is allowed. Fewer than half of
    all sessions may disagree, by any amount, but not the first five nor the last five. Raises
    InconsistentOverlap.
    """
    starts = [0]
    for at, ratio in enumerate(ratios.tolist()):
        if abs(ratio / ratios[starts[-1]] - 1) > tolerance:
            starts.append(at)
    ends = [*starts[1:], len(ratios)]
    levels = np.array([np.median(ratios[at:end]) for at, end in zip(starts, ends, strict=True)])
    chain = _largest_chain(levels, np.array(starts), np.subtract(ends, starts), tolerance)
    odd = np.ones(len(ratios), bool)
    for run in chain:
        odd[starts[run] : ends[run]] = False
    steps = sum(bool(levels[two] < levels[one] * (1 - tolerance)) for one, two in pairwise(chain))
    if 2 * odd.sum() >= len(odd) or steps > len(ratios) // SESSIONS_PER_DIVIDEND + 1:
        at = starts[int(np.argmax(np.abs(np.diff(np.log(levels))))) + 1]
        raise InconsistentOverlap(
            ticker, common[at].item(), 1 / float(levels[0]), 1 / float(ratios[at])
        )
    first_level = np.flatnonzero(~odd[: ends[chain[0]]])
    return float(np.median(ratios[first_level][:RATIO_SESSIONS])), odd, steps


def _largest_chain(
    levels: Floats, starts: Indices, lengths: Indices, tolerance: float
) -> list[int]:
    """The chain of runs with the most sessions in total, each at the level of the run before or a
    dividend below.

    It begins within the first five sessions and ends within the last five; empty if none does.
    """
    best, before = np.where(starts < MIN_LEVEL_SESSIONS, lengths, -np.inf), np.full(len(levels), -1)
    for run in range(1, len(levels)):
        ratio = levels[run] / levels[:run]
        steady = (
            (lengths[:run] >= MIN_SESSIONS_BETWEEN_DIVIDENDS)
            & (lengths[run] >= MIN_SESSIONS_BETWEEN_DIVIDENDS)
            & (ratio >= 1 - MAX_DIVIDEND)
        )
        fits = (np.abs(ratio - 1) <= tolerance) | (steady & (ratio < 1))
        longest = np.where(fits, best[:run], -np.inf)
        if longest.max() > 0:
            before[run] = np.argmax(longest)
            best[run] = lengths[run] + longest.max()
    at_end = np.where(starts + lengths > lengths.sum() - MIN_LEVEL_SESSIONS, best, -np.inf)
    if at_end.max() < 0:
        return []
    chain = [int(np.argmax(at_end))]
    while (earlier := int(before[chain[0]])) >= 0:
        chain.insert(0, earlier)
    return chain
