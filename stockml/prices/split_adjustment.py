"""Adjusted prices as a view: back-adjustment by splits, and joining already adjusted history by its overlap."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from stockml.errors import NoOverlap, UnevenOverlap
from stockml.prices.bars import COLUMNS, PRICES, Bars, Split, days_of, make_bars
from stockml.prices.calendar import Sessions
from stockml.storage.arrays import Days, Floats

RATIO_SESSIONS = 20
RATIO_TOLERANCE = 0.005
LARGEST_STEP = 0.04
SESSIONS_PER_DIVIDEND = 40
SESSIONS_PER_ODD_ONE = 100


@dataclass(frozen=True)
class Join:
    """How imported history meets what follows it: its prices times `ratio`, used before the session `cut`."""

    cut: date
    ratio: float


def share_factors(days: Days, splits: Sequence[Split]) -> Floats:
    """For (n,) days, how many of today's shares one share of that day has become: (n,), 1 after the last split.

    Only splits that are effective by the last day count: an announced split changes nothing before its day.
    """
    factors = np.ones(len(days))
    for split in splits:
        effective = np.datetime64(split.effective, "D")
        if len(days) and effective <= days[-1]:
            factors[days < effective] *= split.factor
    return factors


def back_adjusted(bars: Bars, splits: Sequence[Split]) -> Bars:
    """Raw bars in terms of the shares of their last session: prices divided and volume multiplied by the factors."""
    return _scaled(bars, 1.0 / share_factors(days_of(bars), splits)) if splits else bars


def joined(ticker: str, history: Bars, bars: Bars, sessions: Sessions) -> tuple[Bars, Join | None]:
    """History before the first of `bars`, scaled to meet them, and then the bars; with how they were joined.

    Both are adjusted already. None as the join when history has nothing to add. The ratio is the median over the first
    20 sessions that both have, so that later sessions do not move it. It must be constant over the whole overlap, but
    for steps that dividends make in a history which is adjusted for them.
    Raises NoOverlap with the sessions that are missing between the two, UnevenOverlap.
    """
    history_days, days = days_of(history), days_of(bars)
    before = history_days < days[0]
    if not before.any():
        return bars, None
    common, at_history, at_bars = np.intersect1d(history_days, days, assume_unique=True, return_indices=True)
    if len(common) == 0:
        gap = sessions.between(history_days[before][-1].item(), days[0].item())
        raise NoOverlap(ticker, gap[1:])
    ratios = bars["close"].to_numpy()[at_bars] / history["close"].to_numpy()[at_history]
    ratio = _constant_ratio(ticker, common, ratios)
    factors = {**dict.fromkeys(PRICES, ratio), "volume": 1 / ratio}
    past = int(before.sum())
    columns = {
        name: np.concatenate([history[name].to_numpy()[:past] * factors[name], bars[name].to_numpy()])
        for name in COLUMNS
    }
    return make_bars(np.concatenate([history_days[:past], days]), columns), Join(days[0].item(), ratio)


def _scaled(bars: Bars, price_factor: Floats) -> Bars:
    columns = {name: bars[name].to_numpy() * price_factor for name in PRICES}
    return make_bars(days_of(bars), {**columns, "volume": bars["volume"].to_numpy() / price_factor})


def _constant_ratio(ticker: str, common: Days, ratios: Floats) -> float:
    """The ratio at the start of the overlap. (k,) days and their ratios bars / history, ascending.

    A dividend inside the overlap lowers the ratio once, from its day on and by at most 4 %: a history that is adjusted
    for dividends lies closer to the traded prices after it. One such step every 40 sessions is allowed, at least
    3 sessions from the next. In one session of a hundred the two sources may differ by up to 4 %: real ones do.
    """
    levels = _levels(ratios)
    starts = [0]
    for at, level in enumerate(levels.tolist()):
        if abs(level / levels[starts[-1]] - 1) > RATIO_TOLERANCE:
            starts.append(at)
    steps = [float(np.median(run[:RATIO_SESSIONS])) for run in np.split(levels, starts[1:])]
    lengths = np.diff([*starts, len(levels)])
    for step, at in enumerate(starts[1:]):
        is_dividend = steps[step] * (1 - LARGEST_STEP) <= steps[step + 1] < steps[step]
        is_steady = min(lengths[step], lengths[step + 1]) >= 3 and step <= len(ratios) // SESSIONS_PER_DIVIDEND
        if not (is_dividend and is_steady):
            raise UnevenOverlap(ticker, common[at].item(), 1 / steps[0], 1 / float(ratios[at]))
    return float(np.median(ratios[: min(RATIO_SESSIONS, int(lengths[0]))]))


def _levels(ratios: Floats) -> Floats:
    """The ratios without odd sessions, as medians of 5 neighbours; unchanged where more than a few sessions are odd."""
    if (allowed := len(ratios) // SESSIONS_PER_ODD_ONE) == 0:
        return ratios
    medians = np.median(np.lib.stride_tricks.sliding_window_view(np.pad(ratios, 2, mode="edge"), 5), axis=1)
    off = np.abs(ratios / medians - 1)
    agrees = (off > RATIO_TOLERANCE).sum() <= allowed and off.max() <= LARGEST_STEP
    return medians if agrees else ratios
