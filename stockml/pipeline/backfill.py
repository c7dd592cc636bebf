"""Which past sessions are asked for, which of them lack a bar, and what a night finds in the store."""

from datetime import date, datetime

from stockml.errors import InvalidSession, NoBars, NoOverlap
from stockml.home import Home
from stockml.prices.calendar import Sessions
from stockml.prices.store import BarStore
from stockml.storage.objects import sha256_of
from stockml.storage.receipts import StoreReceipt

MOST_SESSIONS = 1_000


def past_sessions(exchange: Sessions, first: date, last: date, now: datetime) -> tuple[date, ...]:
    """The sessions from `first` to `last`, oldest first. Raises InvalidSession if none, too many or not all over."""
    if last < first:
        raise InvalidSession(str(last), f"the last day of a range that begins on {first}; exchange the two")
    if last > (final := exchange.last_final(now)):
        raise InvalidSession(str(last), f"its bar is not final yet; the newest that is final is {final}")
    sessions = exchange.between(first, last)
    if not sessions:
        raise InvalidSession(str(first), f"{exchange.name} does not trade from then to {last}; widen the range")
    if len(sessions) > MOST_SESSIONS:
        raise InvalidSession(str(first), f"{len(sessions)} sessions to {last}, at most {MOST_SESSIONS} at a time")
    return sessions


def without_bar(home: Home, ticker: str, sessions: tuple[date, ...], calendar: str | None) -> tuple[date, ...]:
    """Those of `sessions` for which neither the fetched bars nor the imported history has a bar."""
    try:
        bars = BarStore.of(home, calendar).adjusted(ticker, until=sessions[-1])
    except (NoBars, NoOverlap):  # what is fetched next may bridge the gap
        return sessions
    known = set(bars.index.date)
    return tuple(session for session in sessions if session not in known)


def as_stored(home: Home, ticker: str, session: date) -> StoreReceipt:
    """A receipt for the store as it is, for a night of `session` that adds nothing to it."""
    path = BarStore.of(home).path(ticker)
    return StoreReceipt(ticker, path, sha256_of(path) or "", session, added=0, restated=0, unchanged=0)
