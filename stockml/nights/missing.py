"""The morning after: which tickers have no forecast of the newest session, and why, in one line for all of them."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from stockml.home import Home
from stockml.nights.status import Row, rows
from stockml.prices.calendar import sessions_for
from stockml.provider.listing import Delistings
from stockml.redaction import excerpt

A_NIGHT = timedelta(hours=2)  # from a bar's final time to the end of its night, which asks for a late one for an hour
NAMED = 20  # tickers in the line; `stockml status` has all of them
WHY = 160


def missing(home: Home, tickers: Iterable[str], now: datetime, calendars: Mapping[str, str]) -> list[Row]:
    """A row for each ticker without a forecast of its newest session whose night should be over at `now`, by name.

    One that is no longer listed is at rest, and misses nothing.  now: with its zone.  calendars: of those that do not
    go by their suffix. Raises RecordUnreadable, where it cannot be known who is at rest.
    """
    delisted = Delistings.read(home.delistings).days
    listed = [ticker for ticker in tickers if ticker not in delisted or delisted[ticker] > now.date()]
    found = rows(home, listed, now, calendars=calendars)
    return [row for row in found if not _is_forecast(row, now, calendars.get(row.ticker))]


def told(found: Sequence[Row], count: int) -> str:
    """Who misses a forecast and why, in one line, of `count` tickers that were looked at."""
    if not found:
        return f"no forecast is missing, of {count} ticker{'' if count == 1 else 's'}"
    named = "; ".join(f"{row.ticker} ({excerpt(row.state, WHY)})" for row in found[:NAMED])
    rest = f"; and {len(found) - NAMED} more: `stockml status`" if len(found) > NAMED else ""
    return f"no forecast of the newest session for {len(found)} of {count}: {named}{rest}"


def _is_forecast(row: Row, now: datetime, calendar: str | None) -> bool:
    if row.session is None:
        return False
    exchange = sessions_for(row.ticker, calendar or (row.glance.calendar if row.glance else None))
    return row.session >= exchange.last_final(now - A_NIGHT)
