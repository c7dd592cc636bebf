"""Daily bars: their schema, what is checked before one is stored, and jumps that look like
splits."""

from calendar import SATURDAY
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stockml.errors import BadPayload
from stockml.prices.calendar import Sessions
from stockml.storage.arrays import Days

Bars: TypeAlias = pd.DataFrame
"""One row a session: index `session` (naive midnight, datetime64[us], ascending, unique), float64
columns of COLUMNS.

Prices in the exchange's currency, volume in shares; NaN is unknown: such a price makes its bar a
broken one.
"""

PRICES = ("open", "high", "low", "close")
COLUMNS = (*PRICES, "volume")

FORWARD_FACTORS = np.array([5 / 4, 4 / 3, 3 / 2, 5 / 3, 2, 5 / 2, *range(3, 101)])
FACTORS = np.concatenate([FORWARD_FACTORS, 1 / FORWARD_FACTORS])
SURE_FACTOR = 1.9
NO_CRASH = 4.0  # no market opens at 4 times or a fourth of the close before, however wild the day

MAX_BROKEN_SHARE = 0.05  # an answer with a larger share of broken bars is refused
MAX_OFF_CALENDAR_SHARE = 0.01  # more weekdays without a session mean another exchange's calendar


@dataclass(frozen=True)
class Split:
    """`factor` new shares for one old one from the open of `effective` on: 2.0 is two for one, 0.1
    one for ten."""

    effective: date
    factor: float


@dataclass(frozen=True)
class SetAside:
    """A bar that is stored but not used, and why; a person cannot accept a `broken` one."""

    session: date
    reason: str
    broken: bool = False

    def __str__(self) -> str:
        return f"{self.session}: {self.reason}"


def make_bars(sessions: Any, columns: Mapping[str, Any]) -> Bars:
    """Bars from (n,) days and the (n,) values of each of COLUMNS; nothing is checked here."""
    days = np.asarray(sessions, dtype="datetime64[D]").astype("datetime64[us]")
    index = pd.DatetimeIndex(days, name="session", copy=False)
    values = {name: np.asarray(columns[name], dtype=np.float64) for name in COLUMNS}
    return pd.DataFrame(values, index=index, copy=False)


def days_of(bars: Bars) -> Days:
    """The sessions of bars: (n,) datetime64[D]."""
    days: Days = bars.index.to_numpy().astype("datetime64[D]")
    return days


def checked(ticker: str, bars: Bars, sessions: Sessions | None) -> Bars:
    """The same bars, with the columns in order, if they may be stored; volume may be NaN.

    A few broken bars are allowed: views set them aside. `sessions` None skips the calendar. Raises
    BadPayload if a column is absent or there are no bars; and, with the first offending session and
    the rule, if sessions do not ascend, or all bars are broken, or more than one bar and 5 % of
    them (1 % for weekdays that are no session).
    """
    absent = ", ".join(name for name in COLUMNS if name not in bars.columns)
    if absent or len(bars) == 0:
        raise BadPayload(
            ticker, f"expected bars with {', '.join(COLUMNS)}, found no {absent or 'session'}"
        )
    tidy = make_bars(days_of(bars), {name: bars[name].to_numpy() for name in COLUMNS})
    days = days_of(tidy)
    if (unordered := np.flatnonzero(days[1:] <= days[:-1])).size:
        at = int(unordered[0]) + 1
        raise BadPayload(
            ticker,
            (
                f"session {days[at]}: expected sessions unique and ascending, found "
                f"{_values(tidy, at)}"
            ),
        )
    faulty = broken(tidy, None)
    if faulty and (len(faulty) == len(tidy) or exceeds_share(len(faulty), len(tidy))):
        more = f" (and {len(faulty) - 1} more of {len(tidy)})" if len(faulty) > 1 else ""
        raise BadPayload(ticker, f"session {faulty[0]}{more}")
    off_days = [bar.session for bar in broken(without_set_aside(tidy, faulty), sessions)]
    if (
        sessions
        and off_days
        and (len(off_days) == len(tidy) or is_other_calendar(off_days, len(tidy)))
    ):
        message = (
            f"expected sessions of {sessions.name}, found {len(off_days)} others of {len(tidy)} "
            f"({off_days[0]})"
        )
        raise BadPayload(ticker, f"{message}: set `calendar:` in tickers.yaml")
    return tidy


def exceeds_share(count: int, total: int, share: float = MAX_BROKEN_SHARE) -> bool:
    """Whether they are more than `share` of all, and more than one: a single one always passes."""
    return count > max(1, share * total)


def is_other_calendar(days: Sequence[date], total: int) -> bool:
    """Whether these days without a session, among `total` days, mean another exchange's calendar.

    Up to 5 % may be weekends, as special sessions: Bombay held three in a hundred days, which its
    calendar lacks.
    """
    weekdays = sum(day.weekday() < SATURDAY for day in days)
    return exceeds_share(len(days), total) or exceeds_share(weekdays, total, MAX_OFF_CALENDAR_SHARE)


def broken(bars: Bars, sessions: Sessions | None) -> tuple[SetAside, ...]:
    """The bars whose values or day cannot be right, oldest first; `sessions` None skips the
    calendar."""
    rules, days = _broken_rules(bars, sessions), days_of(bars)
    masks = np.stack([mask for _, mask in rules])
    return tuple(
        SetAside(
            days[at].item(),
            f"expected {rules[int(np.argmax(masks[:, at]))][0]}, found {_values(bars, at)}",
            True,
        )
        for at in np.flatnonzero(masks.any(axis=0)).tolist()
    )


def is_broken(bars: Bars, sessions: Sessions | None) -> NDArray[np.bool_]:
    """(n,) whether `broken` names the bar; sessions may repeat."""
    return np.asarray(
        np.any([mask for _, mask in _broken_rules(bars, sessions)], axis=0), dtype=np.bool_
    )


def without_set_aside(bars: Bars, set_aside: Collection[SetAside]) -> Bars:
    if not set_aside:
        return bars
    days = np.array(sorted({bar.session for bar in set_aside}), dtype="datetime64[D]")
    return bars[~np.isin(days_of(bars), days)]


def jumps(bars: Bars, sure_factor: float = NO_CRASH) -> tuple[date, ...]:
    """The sessions of raw bars that look like a split, so that asking for the splits is worth a
    request.

    A split shows as an open at a plausible share ratio to the close before (within 4 %; 2 % below
    1.9:1) on an otherwise ordinary day: the money traded and the day's range stay near what they
    were. A crash raises both, but is hardly ever so large as `sure_factor`: such a step counts on
    any day, as splits come on wild days too. Only the day itself and the 20 sessions before it are
    used.
    """
    ratios = bars["close"].to_numpy()[:-1] / bars["open"].to_numpy()[1:]
    candidates = np.flatnonzero(np.abs(np.log(ratios)) > np.log(FORWARD_FACTORS[0]) - 0.04)
    ratio = ratios[candidates]
    distance = np.abs(np.log(ratio)[:, None] - np.log(FACTORS))
    nearest = np.argmin(distance, axis=1)
    factor = FACTORS[nearest]
    is_small = np.maximum(factor, 1 / factor) < SURE_FACTOR
    is_near = distance[np.arange(len(ratio)), nearest] <= np.where(is_small, 0.02, 0.04)
    is_sure = np.abs(np.log(ratio)) > np.log(sure_factor) - 0.04
    days = days_of(bars)
    return tuple(
        days[at + 1].item()
        for row, at in enumerate(candidates)
        if is_sure[row]
        or (is_near[row] and _is_ordinary_day(bars, int(at) + 1, strict=bool(is_small[row])))
    )


def _is_ordinary_day(bars: Bars, at: int, *, strict: bool) -> bool:
    recent = bars.iloc[max(at - 20, 0) : at + 1]
    spread = np.log(recent["high"].to_numpy() / recent["low"].to_numpy())
    money = recent["close"].to_numpy() * recent["volume"].to_numpy()
    spread_limit = max((2.5 if strict else 4.0) * float(np.median(spread[:-1])), 0.05)
    usual_money = float(np.nanmedian(money[:-1])) if np.isfinite(money[:-1]).any() else 0.0
    is_busy = usual_money > 0 and money[-1] > (2.0 if strict else 4.0) * usual_money
    return bool(spread[-1] <= spread_limit) and not is_busy


def _values(bars: Bars, at: int) -> str:
    return ", ".join(f"{name} {bars[name].iloc[at]:g}" for name in COLUMNS)


def _broken_rules(bars: Bars, sessions: Sessions | None) -> list[tuple[str, NDArray[np.bool_]]]:
    opened, high, low, close, volume = (bars[name].to_numpy() for name in COLUMNS)
    prices = np.stack([opened, high, low, close])
    rules = [
        ("finite prices above 0", ~(np.isfinite(prices) & (prices > 0)).all(axis=0)),
        (
            "low ≤ open and close ≤ high",
            ~((low <= opened) & (opened <= high) & (low <= close) & (close <= high)),
        ),
        ("volume of at least 0", (volume < 0) | np.isinf(volume)),
    ]
    if sessions is not None:
        rules.append(
            (f"a session of the calendar {sessions.name}", ~sessions.are_sessions(days_of(bars)))
        )
    return rules
