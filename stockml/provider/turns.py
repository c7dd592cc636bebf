"""Which ticker may use the key's requests next, in one small note.

Each ticker that is run is noted there with its newest session. So runs started by a schedule, the
page and the command line follow one plan: the stalest ticker first.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from pydantic import AwareDatetime

from stockml.errors import StoreError
from stockml.prices.calendar import Sessions
from stockml.provider.quota import LOCK_TIMEOUT_S
from stockml.storage.documents import FileNotes
from stockml.storage.records import read_record
from stockml.tickers import validated_ticker

TURNS = "turns.json"
# a long weekend and a day: a ticker not run since is no longer waiting
FORGOTTEN_AFTER = timedelta(days=5)


def note_turns(
    notes: FileNotes, lasts: Mapping[str, date | None], now: datetime
) -> dict[str, date | None]:
    """Note these tickers and the newest session of each; return the sessions noted.

    A ticker without bars keeps the session noted before, so that a misspelt one waits its turn
    like all others. Raises StoreError, StoreBusy.
    """
    with notes.locked("turns", LOCK_TIMEOUT_S):
        turns = _recent_turns(notes, now)
        earlier = {name: last for name, (_, last) in turns.items()}
        noted = {validated_ticker(name): last or earlier.get(name) for name, last in lasts.items()}
        turns |= {name: (now, last) for name, last in noted.items()}
        notes.write(TURNS, json.dumps(turns, default=str).encode())
    return noted


def noted_turns(notes: FileNotes, now: datetime) -> dict[str, date | None]:
    """The newest session of each ticker noted within FORGOTTEN_AFTER. Raises StoreError."""
    return {name: last for name, (_, last) in _recent_turns(notes, now).items()}


def _recent_turns(notes: FileNotes, now: datetime) -> dict[str, tuple[datetime, date | None]]:
    """The turns noted near `now`, before or after it: the clock may have been ahead."""
    content = notes.read(TURNS)
    try:
        turns = read_record(
            dict[str, tuple[AwareDatetime, date | None]], b"{}" if content is None else content
        )
    except ValueError as error:
        why = f"expected whose turn it is, found something else ({error}); delete it"
        raise StoreError(notes.place(TURNS), f"{why}, and the next nights begin it anew") from error
    return {
        name: (noted, last)
        for name, (noted, last) in turns.items()
        if abs(now - noted) <= FORGOTTEN_AFTER
    }


@dataclass(frozen=True)
class NextTurn:
    """Other tickers are staler, or no requests are left today: this one is fetched on the day of
    `session`.

    The text does not count them, so that the tickers of one session share a line.
    """

    session: date
    ahead: int

    def __str__(self) -> str:
        why = "go to tickers that have waited longer" if self.ahead else "are used up"
        return f"today's requests {why}; next fetch: {self.session:%A}, {self.session}"


def stalest_first(last_sessions: Mapping[str, date | None]) -> list[str]:
    """Tickers by last stored session, oldest first; those without one come first of all, ties go by
    name."""
    return sorted(last_sessions, key=lambda ticker: (last_sessions[ticker] or date.min, ticker))


def next_turn(
    ticker: str,
    waiting: Mapping[str, date | None],
    tonight: date,
    *,
    today: date,
    remaining: int | None,
    per_day: int,
    sessions: Sessions,
) -> NextTurn | None:
    """None if the ticker may be fetched tonight, else when it may. Pure.

    waiting: each ticker's newest session, None without one.  tonight: the session to fetch.  today:
    the day on which requests count now.  remaining: those left on it, None without a cap.  per_day:
    those of any other day.
    """
    last = waiting.get(ticker)
    if remaining is None or (last is not None and last >= tonight):
        return None
    ahead = stalest_first({**waiting, ticker: last}).index(ticker)
    if ahead < remaining:
        return None
    nights = 1 + (ahead - remaining) // per_day
    return NextTurn(sessions.after(max(tonight, today), nights)[-1], ahead)
