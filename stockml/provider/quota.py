"""Requests spent and still allowed, in one small JSON note per key and day; and which ticker may
use them next, in another: runs started by a schedule, the page and the command line follow one
plan, the stalest ticker first.

A day is a New York date. When Alpha Vantage's own day begins is undocumented; New York's cannot
cost a night: an evening's requests fall on one such day, and a day marked as spent is over before
the next evening. With UTC dates a refusal after 19:00 in winter would block the whole next evening.
Only a prefix of the key's SHA-256 is ever written.
"""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import AwareDatetime, Field

from stockml.errors import InvalidSetting, QuotaSpent, StoreError
from stockml.prices.calendar import Sessions
from stockml.storage.locks import FileNotes
from stockml.storage.receipts import read_record, record, written_record
from stockml.tickers import validated_ticker

DAY_ZONE = "America/New_York"
LOCK_TIMEOUT_S = 30.0
# A process may wait for the lock after it read the clock: so small a difference is no clock set
# back.
CLOCK_TOLERANCE = timedelta(seconds=2 * LOCK_TIMEOUT_S)
TURNS = "turns.json"
# a long weekend and a day: a ticker not run since is no longer waiting
FORGOTTEN_AFTER = timedelta(days=5)
PREMIUM = re.compile(r"([0-9]{1,4})\s*/\s*min(ute)?")


@dataclass(frozen=True)
class Plan:
    """A key's limits: requests a minute, evenly spaced, and requests a day (None: no cap)."""

    requests_per_minute: int
    requests_per_day: int | None

    def __post_init__(self) -> None:
        if not 1 <= self.requests_per_minute <= 1_200:
            raise InvalidSetting(
                "requests a minute", self.requests_per_minute, "between 1 and 1200"
            )

    @property
    def interval(self) -> timedelta:
        """The least time between two requests: 5 % more than the rate requires, as two can arrive
        closer than sent."""
        return timedelta(seconds=1.05 * 60 / self.requests_per_minute)

    @property
    def is_scarce(self) -> bool:
        """Whether retries for one ticker could leave no requests for the others."""
        return self.requests_per_day is not None and self.requests_per_day < 100

    def shared_by(self, tickers: int) -> str:
        """What so many tickers mean for each of them; empty if a day has a request for each."""
        if self.requests_per_day is None or tickers <= self.requests_per_day:
            return ""
        nights = math.ceil(tickers / self.requests_per_day)
        return (
            f"{self.requests_per_day} requests a day for {tickers} tickers: each is fetched about "
            f"every {nights} nights, those first that waited longest; for a premium key, set "
            "ALPHAVANTAGE_PLAN to its rate, as 75/min"
        )

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> "Plan":
        """The plan that ALPHAVANTAGE_PLAN names: `free`, or a premium rate such as `75/min`. Raises
        InvalidSetting."""
        text = environ.get("ALPHAVANTAGE_PLAN") or "free"
        plan = text.strip().lower()
        if plan == "free":
            return FREE
        if premium := PREMIUM.fullmatch(plan):
            return cls(requests_per_minute=int(premium[1]), requests_per_day=None)
        raise InvalidSetting(
            "ALPHAVANTAGE_PLAN", text[:40], "`free`, or a premium plan's rate such as `75/min`"
        )


FREE = Plan(requests_per_minute=60, requests_per_day=25)


@record
@dataclass(frozen=True)
class SpentRequests:
    """One key's day. `asked_at` is when a slot was last asked for, `slot` the newest one given."""

    requests: Annotated[int, Field(ge=0)]
    refused: str | None
    asked_at: AwareDatetime | None
    slot: AwareDatetime | None


UNUSED = SpentRequests(0, None, None, None)


@dataclass(frozen=True)
class QuotaLedger:
    """The ledger of one key. All moments are timezone-aware; every change is atomic and under a
    lock.

    A request is counted before it is sent: a process killed in between has counted one too many,
    never one too few. A clock set back, within a day or by one, frees no requests: later ones count
    on the newest day that has a count. Raises StoreError if a note cannot be read.
    """

    notes: FileNotes
    stem: str  # of the names of its notes and lock
    plan: Plan
    lock_timeout_s: float = LOCK_TIMEOUT_S

    @classmethod
    def of(
        cls, notes: FileNotes, key: str | None, plan: Plan = FREE, within: str = ""
    ) -> "QuotaLedger":
        """The ledger of `key` in `notes`, below `within`; nothing is created before the first
        request."""
        # one that is no text is refused when used
        key_bytes = (key or "").strip().encode(errors="surrogateescape")
        return cls(notes, within + hashlib.sha256(key_bytes).hexdigest()[:16], plan)

    def remaining(self, now: datetime) -> int | None:
        """Requests left today; None means no cap; 0 once the provider has called the day's quota
        spent."""
        return self._left(self._read(self._day(now)))

    def next_slot(self, now: datetime) -> datetime:
        """The earliest moment, from `now` on, at which one more request stays within the plan's
        rate."""
        day = self._day(now)
        return self._slot(day, self._read(day), now)

    def spend(self, ticker: str, now: datetime) -> datetime:
        """Count one request and return the moment at which it may be sent. Raises QuotaSpent,
        StoreBusy."""
        with self.notes.locked(self.stem, self.lock_timeout_s):
            day = self._day(now)
            spent = self._read(day)
            if self._left(spent) == 0:
                raise QuotaSpent(
                    ticker,
                    spent.refused or f"{spent.requests} of {self.plan.requests_per_day} on {day}",
                )
            slot = self._slot(day, spent, now)
            self._write(day, replace(spent, requests=spent.requests + 1, asked_at=now, slot=slot))
        return slot

    def mark_spent(self, notice: str, now: datetime) -> None:
        """Record, for the rest of the day, that the provider called the day's quota spent."""
        with self.notes.locked(self.stem, self.lock_timeout_s):
            day = self._day(now)
            self._write(day, replace(self._read(day), refused=notice[:200]))

    def name(self, day: date) -> str:
        return f"{self.stem}-{day}.json"

    def _day(self, now: datetime) -> date:
        """The day to count on: `now`'s, or the last in an unbroken run of later days that have a
        count."""
        day = quota_day(now)
        while self.notes.read(self.name(day + timedelta(days=1))) is not None:
            day += timedelta(days=1)
        return day

    def _left(self, spent: SpentRequests) -> int | None:
        if spent.refused is not None:
            return 0
        cap = self.plan.requests_per_day
        return None if cap is None else max(0, cap - spent.requests)

    def _slot(self, day: date, spent: SpentRequests, now: datetime) -> datetime:
        latest = spent if spent.asked_at else self._read(day - timedelta(days=1))
        if latest.slot is None or latest.asked_at is None:
            return now
        if now < latest.asked_at - CLOCK_TOLERANCE:
            # The clock was set back: the old slots may lie far in the future.
            return now + self.plan.interval
        return max(now, latest.slot + self.plan.interval)

    def _read(self, day: date) -> SpentRequests:
        content = self.notes.read(self.name(day))
        try:
            return UNUSED if content is None else read_record(SpentRequests, content)
        except ValueError as error:
            why = f"expected a day's request count, found something else ({type(error).__name__})"
            address = self.notes.place(self.name(day))
            raise StoreError(
                address, f"{why}; delete it, and the day's count starts again"
            ) from error

    def _write(self, day: date, spent: SpentRequests) -> None:
        self.notes.write(self.name(day), written_record(spent))


def quota_day(now: datetime) -> date:
    """The New York date at `now`, which a request counts on. Raises InvalidSetting for a time
    without a zone."""
    if now.tzinfo is None:
        raise InvalidSetting("the clock", now.isoformat(), "a moment with a time zone")
    return now.astimezone(ZoneInfo(DAY_ZONE)).date()


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
