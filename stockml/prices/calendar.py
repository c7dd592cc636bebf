"""Exchange calendars: which days are sessions, and when a bar is final. Nothing here reads the
machine's clock."""

import warnings
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from stockml.errors import InvalidSession, InvalidSetting
from stockml.storage.arrays import Days
from stockml.tickers import exchange

A_DAY = np.timedelta64(1, "D")
FIRST_DAY, LAST_DAY = date(1928, 1, 3), date(2040, 12, 31)
FINAL_AFTER_CLOSE = timedelta(hours=6, minutes=45)


class _Calendar(NamedTuple):
    """One calendar: its sessions (n,) datetime64[D] ascending, those that close early, its usual
    hours.

    opens: (k,) datetime64[us] in UTC, of the first k sessions; the sessions after them are all
    weekdays, as their holidays are not known yet.
    """

    sessions: Days
    opens: NDArray[np.datetime64]
    early: frozenset[date]
    usual_open: time
    usual_close: timedelta  # from the day's midnight: a whole day where trading never stops
    tz: ZoneInfo


@dataclass(frozen=True)
class Sessions:
    """The trading days of one exchange, by its name in `exchange_calendars` (`XNYS`)."""

    name: str

    @property
    def tz(self) -> ZoneInfo:
        return _calendar(self.name).tz

    @property
    def first(self) -> date:
        """The first session that the calendar knows."""
        day: date = _calendar(self.name).sessions[0].item()
        return day

    @property
    def holidays_known_through(self) -> date:
        """The last session before which the exchange's holidays are known; after it, every weekday
        is a session."""
        calendar = _calendar(self.name)
        last: date = calendar.sessions[len(calendar.opens) - 1].item()
        return last

    def is_session(self, day: date) -> bool:
        return bool(self.are_sessions(np.array([day], "datetime64[D]"))[0])

    def are_sessions(self, days: Days) -> NDArray[np.bool_]:
        """For (n,) datetime64[D], whether each is a session: (n,) bool."""
        sessions = _calendar(self.name).sessions
        at = np.minimum(np.searchsorted(sessions, days), len(sessions) - 1)
        return np.asarray(sessions[at] == days)

    def before_each(self, days: Days) -> NDArray[np.int64]:
        """For (n,) datetime64[D], how many sessions of the calendar are before each: (n,)."""
        return np.searchsorted(_calendar(self.name).sessions, days)

    def between(self, first: date, last: date) -> tuple[date, ...]:
        """The sessions from `first` to `last`, both included; empty if `last` is earlier."""
        return tuple(
            _calendar(self.name)
            .sessions[self._at(first, "left") : self._at(last, "right")]
            .tolist()
        )

    def after(self, day: date, n: int) -> tuple[date, ...]:
        """The `n` sessions after `day`, which need not be one itself. Raises InvalidSession if the
        calendar ends."""
        start = self._at(day, "right")
        return self._exactly(slice(start, start + n), day, n)

    def before(self, day: date, n: int) -> tuple[date, ...]:
        """The `n` sessions before `day`, oldest first. Raises InvalidSession if the calendar begins
        later."""
        stop = self._at(day, "left")
        return self._exactly(slice(max(stop - n, 0), stop), day, n)

    def is_half_day(self, day: date) -> bool:
        return day in _calendar(self.name).early

    def open_time(self, day: date) -> datetime:
        """When trading starts on `day`, late openings included; the usual open if the calendar
        lacks the day."""
        calendar, at = _calendar(self.name), self._at(day, "left")
        if at < len(calendar.opens) and calendar.sessions[at] == np.datetime64(day, "D"):
            opened: datetime = calendar.opens[at].item()
            return opened.replace(tzinfo=UTC).astimezone(calendar.tz)
        return datetime.combine(day, calendar.usual_open, calendar.tz)

    def final_time(self, day: date) -> datetime:
        """When the bar of `day` is final: 6 h 45 min after the usual close, half day or not.

        In New York that is 22:45, when Alpha Vantage's prices have been seen to stop changing.
        """
        calendar = _calendar(self.name)
        return (
            datetime.combine(day, time.min, calendar.tz) + calendar.usual_close + FINAL_AFTER_CLOSE
        )

    def last_final(self, now: datetime) -> date:
        """The newest session whose bar is final at `now`. Raises InvalidSession for a time without
        a zone."""
        if now.tzinfo is None:
            raise InvalidSession(str(now), "a time needs its zone")
        today = now.astimezone(self.tz).date()
        candidates = self.before(today + timedelta(days=1), 3)
        return max(day for day in candidates if self.final_time(day) <= now)

    def age(self, last: date, now: datetime) -> int:
        """How many sessions after `last` have a final bar at `now`: 0 for a series that is up to
        date."""
        return len(self.between(last + timedelta(days=1), self.last_final(now)))

    def _at(self, day: date, side: Literal["left", "right"]) -> int:
        """How many sessions there are before `day` (left), or up to and including it (right)."""
        return int(np.searchsorted(_calendar(self.name).sessions, np.datetime64(day, "D"), side))

    def _exactly(self, which: slice, day: date, n: int) -> tuple[date, ...]:
        sessions = _calendar(self.name).sessions
        counted = sessions[which]
        if len(counted) < n:
            shortage = f"has only {len(counted)} of {n} sessions there"
            raise InvalidSession(
                str(day),
                f"the calendar {self.name}, of {sessions[0]} to {sessions[-1]}, {shortage}",
            )
        return tuple(counted.tolist())


def sessions_for(ticker: str, override: str | None = None) -> Sessions:
    """`override`, else the calendar that the ticker's suffix gives (New York without one). Raises
    InvalidSetting."""
    if override:
        _calendar(override)
    return Sessions(override or exchange(ticker)[0])


@lru_cache(maxsize=32)
def _calendar(name: str) -> _Calendar:
    import exchange_calendars
    import pandas as pd

    try:
        with warnings.catch_warnings():
            # exchange_calendars 4.13 uses what pandas 3.1 drops
            warnings.simplefilter("ignore", DeprecationWarning)
            first, last = _bounds(name)
            calendar = exchange_calendars.get_calendar(name, start=first, end=last)
    except exchange_calendars.errors.InvalidCalendarName:
        raise InvalidSetting("calendar", name, "a calendar such as XNYS or XLON") from None
    except (
        NotImplementedError,
        ValueError,
    ) as error:  # Orthodox Easter and Tel Aviv's Sundays, on pandas 3
        bound = f"a calendar that exchange_calendars can make with this pandas, which says: {error}"
        raise InvalidSetting("calendar", name, bound[:300]) from None
    # exchange_calendars applies rules from 1970 on only; those of other exchanges do not say since
    # when they hold
    holidays = (
        calendar.regular_holidays.holidays(first, date(1970, 1, 1))
        if calendar.name == "XNYS"
        else []
    )
    opens = calendar.opens[~calendar.sessions.isin(holidays)]
    # Bombay and Shanghai announce their holidays only a year ahead
    sessions = opens.index.union(pd.bdate_range(last + timedelta(days=1), LAST_DAY))
    return _Calendar(
        sessions=sessions.to_numpy().astype("datetime64[D]"),
        opens=opens.dt.tz_localize(None).to_numpy().astype("datetime64[us]"),
        early=frozenset(calendar.early_closes.date),
        usual_open=calendar.open_times[-1][1],
        usual_close=timedelta(calendar.close_offset)
        + pd.Timedelta(str(calendar.close_times[-1][1])).to_pytimedelta(),
        tz=ZoneInfo(str(calendar.tz)),
    )


def _bounds(name: str) -> tuple[date, date]:
    """The first and last day for which to make the calendar: its own bounds, within FIRST_DAY to
    LAST_DAY."""
    from exchange_calendars import get_calendar

    month = get_calendar(name, start="2015-03-02", end="2015-03-31")  # of any calendar
    first, last = month.bound_min(), month.bound_max()
    return max(first.date(), FIRST_DAY) if first else FIRST_DAY, min(
        last.date(), LAST_DAY
    ) if last else LAST_DAY
