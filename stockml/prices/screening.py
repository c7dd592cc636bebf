"""Bars that look like misprints: kept in the store, left out of the model's series, and reported;
suspect series.

A *doubtful* bar is well formed, but differs from its neighbours as a misprint does. A real crash is
not doubtful: the price stays where it went, or trading was heavy.
"""

import numpy as np
from numpy.typing import NDArray

from stockml.prices.bars import NO_CRASH, PRICES, Bars, SetAside, days_of, jumps
from stockml.prices.calendar import Sessions
from stockml.storage.arrays import Floats

JUMP_AND_BACK = 0.45  # log of the close over the close before: 57 % up or 36 % down
MAX_REMAINING_SHARE = 0.25  # of the jump, at the next close
# log distance of a high or low beyond every open and close around it: 82 % up or 45 % down
WICK = 0.6
HEAVY_VOLUME = 4.0  # times the usual volume: on such a day the prices are real
TENFOLD_TOLERANCE = 0.1  # how near the decimal logarithm must be to a whole number
# a price farther from the last close is doubted at once, unless trading was heavy
LOG10_NO_CRASH = np.log10(NO_CRASH)
# splits are asked about on these and the seventh; a far level that lasts longer is accepted
SESSIONS_TO_SETTLE = 6
VOLUME_SESSIONS = 20
OPEN, HIGH, LOW, CLOSE = range(4)

# Of 7,128 files of US shares, funds and warrants to 2017 these refuse 21 for their scale, none of
# them for a crash, and none for rare trading.
OTHER_UNITS = 5.0  # times the close before, or a fifth of it: less is no change of units
# times the usual: 1.5 on the days of wrong splits, 3 and more on those of crashes
HEAVY_MONEY = 2.5
WILD_RANGE = 1.5  # high over low
# after a longer one any price may be true, and nothing spans it
MAX_HOLE = np.timedelta64(366, "D")
# of bars that follow the session before: a rarely traded share has more, weekly bars none
MIN_DAILY_SHARE = 0.1
MIN_BARS = 30  # fewer do not show how far apart they usually are

MAX_SET_ASIDE_SHARE = 0.002  # share of bars set aside: few sound files have one in a thousand
MAX_SET_ASIDE_OF_SHORT = 2  # bars: so many a short file may have
# share of closes that equal the one before: more than any liquid share has
MAX_UNCHANGED_SHARE = 0.25
MAX_NAMED = 3


def with_unknown_volumes(bars: Bars) -> Bars:
    """The bars; a volume of 0 though the price moved is unknown, as from a feed that has stopped
    reporting it."""
    moved = (bars["high"] > bars["low"]) | (bars["close"].diff().fillna(0) != 0)
    return bars.assign(volume=bars["volume"].mask(moved & (bars["volume"] == 0)))


def doubtful(bars: Bars) -> tuple[SetAside, ...]:
    """The well-formed bars of an adjusted series that differ from their neighbours as misprints do,
    oldest first.

    The newest bar is judged by those before it: whether a jump comes back is not known yet, but a
    price at four times or a fourth of the close before is doubted at once, unless trading was
    heavy.
    """
    prices, volume = bars[list(PRICES)].to_numpy(), bars["volume"].to_numpy()
    moves = np.abs(np.log(prices[1:] / prices[:-1, CLOSE, None])).max(axis=1, initial=0.0)
    reasons: dict[int, str] = {}
    before = 0
    for at, differs in enumerate((moves > JUMP_AND_BACK).tolist(), start=1):
        # a bar that resembles a misprint may be one too
        if at not in reasons and (differs or before < at - 1):
            reason, count = _reason(prices, volume, before, at)
            reasons |= dict.fromkeys(range(at, at + count), reason)
        before = before if at in reasons else at
    days = days_of(bars)
    return tuple(SetAside(days[at].item(), reasons[at]) for at in sorted(reasons))


def _reason(prices: Floats, volume: Floats, before: int, at: int) -> tuple[str, int]:
    """Why bars from `at` on are doubtful, and how many; ("", 0) if none.  before: index of the last
    bar not doubted."""
    last, bar = prices[before, CLOSE], prices[at]
    after = prices[at + 1] if at + 1 < len(prices) else None
    log10_ratio = np.log10(bar / last)
    is_off = is_tenfold(log10_ratio)
    # at the next close
    jump, remaining = np.log(prices[[at, min(at + 1, len(prices) - 1)], CLOSE] / last)
    is_back = abs(jump) > JUMP_AND_BACK and abs(remaining) <= MAX_REMAINING_SHARE * abs(jump)
    heavily = is_traded_heavily(prices[:, CLOSE], volume, at) and not (is_back and jump < 0)
    if not heavily:
        is_off[[OPEN, CLOSE]] |= np.abs(log10_ratio[[OPEN, CLOSE]]) >= LOG10_NO_CRASH
    is_crash = heavily and bar[CLOSE] < last / 3
    if is_off.any() and not is_crash:
        off = int(np.argmax(is_off))
        count = _sessions_at(prices[at:, CLOSE] / last, log10_ratio[CLOSE]) if is_off[CLOSE] else 1
        if count <= SESSIONS_TO_SETTLE:
            return (
                (
                    f"{PRICES[off]} {bar[off]:g} is {10 ** log10_ratio[off]:.3g} times the close "
                    f"before, {last:g}"
                ),
                count,
            )
    if is_busy(volume, at):
        return "", 0
    around = [bar[OPEN], bar[CLOSE], last, *([] if after is None else [after[OPEN]])]
    if bar[HIGH] > np.exp(WICK) * max(around) or bar[LOW] < np.exp(-WICK) * min(around):
        return (
            (
                f"{bar[LOW]:g} to {bar[HIGH]:g} within the day, on usual volume; it closed at "
                f"{bar[CLOSE]:g}"
            ),
            1,
        )
    if after is not None and is_back:
        return (
            (
                f"close {bar[CLOSE]:g} after {last:g}, and {after[CLOSE]:g} the session after, on "
                "usual volume"
            ),
            1,
        )
    return "", 0


def is_busy(volume: Floats, at: int, multiple: float = HEAVY_VOLUME) -> bool:
    """Whether trading was too heavy for the session's prices to be misprints; False where volumes
    are unknown.

    volume: (n,), of which those up to `at`, the session's index, are seen.
    """
    return bool(volume[at] > multiple * _usual(volume, at))


def is_traded_heavily(close: Floats, volume: Floats, at: int) -> bool:
    """Whether trading was heavy by shares (which a split multiplies) and by money (which a change
    of units does).

    close, volume: (n,), of which those up to `at`, the session's index, are seen.
    """
    return is_busy(volume, at) and is_busy(close * volume, at)


def _usual(volume: Floats, at: int) -> float:
    recent = volume[max(at - VOLUME_SESSIONS, 0) : at]
    return float(np.nanmedian(recent)) if np.isfinite(recent).any() else np.nan


def is_tenfold(log10_ratios: Floats) -> NDArray[np.bool_]:
    """(n,) whether each decimal logarithm, (n,), means about ten, a hundred, … times, or a tenth, a
    hundredth, …"""
    size = np.abs(log10_ratios)
    return np.asarray(
        (size > 0.5) & (np.abs(size - np.round(size)) < TENFOLD_TOLERANCE), dtype=np.bool_
    )


def _sessions_at(ratios: Floats, log10_level: float) -> int:
    """How many sessions, from the first on, stay at the level, nearer to it than to the close
    before."""
    at_level = np.abs(np.log10(ratios) - log10_level) < min(0.5, abs(log10_level) / 2)
    return len(at_level) if at_level.all() else int(np.argmin(at_level))


def other_scale(adjusted: Bars, with_doubtful: Bars) -> str:
    """The first lasting price jump that heavy trading does not explain, in words; "" for none.

    with_doubtful: the adjusted bars and the doubtful ones, as a jump may begin with one of those.
    """
    days, close = days_of(adjusted), adjusted["close"].to_numpy()
    ratios = close[1:] / close[:-1]
    steps = ((ratios > OTHER_UNITS) | (ratios < 1 / OTHER_UNITS)) & (np.diff(days) <= MAX_HOLE)
    for at in (np.flatnonzero(steps) + 1).tolist():
        if not _is_rush(
            with_doubtful, int(with_doubtful.index.searchsorted(adjusted.index[at - 1])) + 1
        ):
            return (
                f"{close[at]:g} on {days[at]}, {ratios[at - 1]:.4g} times the {close[at - 1]:g} "
                f"of {days[at - 1]}"
            )
    return ""


def _is_rush(bars: Bars, at: int) -> bool:
    """Whether far more shares were traded than usual, and for more money (a split keeps that) or at
    wild prices."""
    close, volume = bars["close"].to_numpy(), bars["volume"].to_numpy()
    is_wild = bars["high"].iloc[at] > WILD_RANGE * bars["low"].iloc[at]
    return is_busy(volume, at) and (is_wild or is_busy(close * volume, at, HEAVY_MONEY))


def sparse(bars: Bars, sessions: Sessions) -> str:
    """How far apart weekly or monthly bars are, in words; "" for daily ones.  bars: their index
    alone is read."""
    gaps = np.diff(sessions.before_each(days_of(bars)))
    is_sparse = len(bars) >= MIN_BARS and np.mean(gaps <= 1) < MIN_DAILY_SHARE
    return f"one every {np.median(gaps):.0f} sessions" if is_sparse else ""


def suspicions(adjusted: Bars, aside: int) -> str:
    """Why the series as a whole is suspect, a phrase for each reason; "" for none.

    aside: how many bars are set aside beside the adjusted ones.
    """
    total, days = len(adjusted) + aside, [*map(str, jumps(adjusted))]
    unchanged = int((adjusted["close"].diff() == 0).sum())
    more = f" and {len(days) - MAX_NAMED} more" if len(days) > MAX_NAMED else ""
    doubts = {
        f"{aside:,} of {total:,} bars are set aside": aside
        > max(MAX_SET_ASIDE_OF_SHORT, MAX_SET_ASIDE_SHARE * total),
        (
            "the open moved as at a split that was not applied on "
            f"{', '.join(days[:MAX_NAMED])}{more}"
        ): days,
        f"the close is that of the session before on {unchanged:,} of {total:,} sessions": unchanged
        > max(MAX_SET_ASIDE_OF_SHORT, MAX_UNCHANGED_SHARE * total),
    }
    return "; ".join(text for text, applies in doubts.items() if applies)
