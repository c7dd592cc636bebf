"""The morning at a glance: a row a ticker, for the terminal, for Prefect's page and for MLflow's, and in one sentence
on how many tickers the network adds something.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from textwrap import shorten
from typing import Any

from stockml.errors import StockmlError
from stockml.evaluation.evaluate import LSTM
from stockml.evaluation.significance import SIGNIFICANT
from stockml.evaluation.simple_distributions import POOLED
from stockml.forecasts.age import age_of
from stockml.forecasts.ledger import Ledger
from stockml.home import Home
from stockml.nights.glance import Glance, newest
from stockml.prices.calendar import sessions_for
from stockml.storage.files import write_atomically
from stockml.storage.records import read_record, record, written_record

ATTEMPT = "last-attempt.json"
LEGEND = (
    "path: its skill over the last close; width: of the 80 % band, beside this share's usual; ~ within the noise; "
    "next run: month-day and hour, UTC"
)
STATE = 80  # characters of the terminal's column: the run's own message has the rest
COLUMNS = ("ticker", "session", "state", "published", "network adds", "width", "next run")


@record
@dataclass(frozen=True)
class Attempt:
    """How the ticker's last run ended: `state` is Completed, No session, Skipped: quota, Failed, …, `why` its text."""

    state: str
    why: str
    at: datetime


@dataclass(frozen=True)
class Row:
    """One ticker this morning. `session` is the newest that was forecast; `glance` its night, None before the first."""

    ticker: str
    session: date | None
    state: str
    age: int | None
    expired: bool
    glance: Glance | None
    next_run: datetime | None = None

    def cells(self) -> tuple[str, ...]:
        """The row in words, by COLUMNS."""
        found = self.glance
        return (
            self.ticker,
            str(self.session or "–"),
            self.state,
            _published(found) if found else "–",
            _adds(found) if found else "–",
            "–" if not found or found.width_against_usual is None else f"{found.width_against_usual:.0%}",
            f"{self.next_run.astimezone(UTC):%m-%d %H:%M}" if self.next_run else "–",
        )

    def plain(self) -> dict[str, Any]:
        """The row for a script: dates as text, shares as numbers."""
        found = {**(asdict(self.glance) if self.glance else {}), **asdict(self)}
        del found["glance"]
        return {name: _text(value) for name, value in found.items()}


def keep_attempt(nights: Path, ticker: str, attempt: Attempt) -> None:
    """Keep how a run ended, whether it had a night or not."""
    write_atomically(nights / ticker / ATTEMPT, written_record(attempt))


def known_tickers(home: Home) -> set[str]:
    """Those that a forecast was ever published of, here."""
    return {path.stem for path in home.ledger.glob("*.parquet")}


def rows(
    home: Home,
    tickers: Iterable[str],
    now: datetime,
    next_runs: Mapping[str, datetime] | None = None,
    calendars: Mapping[str, str | None] | None = None,
) -> list[Row]:
    """A row a ticker, by name.  now: with its zone.  next_runs: where a schedule is known."""
    return [
        _row(home, ticker, now, (next_runs or {}).get(ticker), (calendars or {}).get(ticker))
        for ticker in sorted(set(tickers))
    ]


def _row(home: Home, ticker: str, now: datetime, next_run: datetime | None, calendar: str | None) -> Row:
    """What cannot be read of one ticker is its own state, and ends no other's row."""
    try:
        return _read_row(home, ticker, now, next_run, calendar)
    except StockmlError as fault:
        return Row(ticker, None, str(fault), None, False, None, next_run)


def _read_row(home: Home, ticker: str, now: datetime, next_run: datetime | None, calendar: str | None) -> Row:
    glance, attempt = newest(home.nights, ticker), _attempt(home.nights, ticker)
    session = glance.session if glance else Ledger(home.ledger).last_session(ticker)
    if session is None:
        state = f"{attempt.state.lower()}: {attempt.why}" if attempt else "no night yet"
        return Row(ticker, None, state, None, False, None, next_run)
    exchange = sessions_for(ticker, calendar or (glance.calendar if glance else None))
    age = age_of(session, exchange, now, *([glance.expires_after] if glance else []))
    behind = f"{age.sessions} session{'' if age.sessions == 1 else 's'} behind" if age.sessions else "up to date"
    state = f"expired, {behind}" if age.expired else behind
    missed = attempt if attempt and attempt.state != "Completed" else None
    if age.sessions and missed and (glance is None or missed.at > glance.finished_at):
        state += f"; {missed.state.lower()}: {missed.why}"
    return Row(ticker, session, state, age.sessions, age.expired, glance, next_run)


def _attempt(nights: Path, ticker: str) -> Attempt | None:
    try:
        return read_record(Attempt, (nights / ticker / ATTEMPT).read_bytes())
    except (OSError, ValueError):
        return None


def _published(found: Glance) -> str:
    """Whose width, and the path's skill: the path is a formula's, but for a network that forecasts one."""
    name = {LSTM: "network", POOLED: "regression"}.get(found.publisher, found.publisher)
    what = "width" if found.path_adds is None or found.publisher == POOLED else "path and width"
    whose = [f"{name}'s {what}"] if name else []
    skill = [f"path {found.published_skill:+.3f}"] if found.published_skill else []
    return ", ".join([*whose, *skill]) or "–"


def _adds(found: Glance) -> str:
    """Both gains, or the one that there is; a dash where neither is known."""
    gains = (
        ("path", found.path_adds, found.path_adds_p, "+.3f"),
        ("CRPS", found.network_adds, found.network_adds_p, "+.2%"),
    )
    parts = [
        f"{what} {value:{shape}}{'' if p is None or p < SIGNIFICANT else ' ~'}"
        for what, value, p, shape in gains
        if value
    ]
    known = any(value is not None for _, value, _, _ in gains)
    return ", ".join(parts) or ("nothing" if known else "–")


def share_sentence(listed: Sequence[Row]) -> str:
    """On how many tickers the network adds something to what is published, and on how many by more than the noise."""
    known = [
        row.glance for row in listed if row.glance and (row.glance.network_adds, row.glance.path_adds) != (None,) * 2
    ]
    if not known:
        return "No night yet says whether the network adds anything."
    adding = sum(each.adds for each in known)
    clearly = sum(each.adds and _clear(each) for each in known)
    counted = f"{adding} of {len(known)} ticker{'' if len(known) == 1 else 's'} ({adding / len(known):.0%})"
    return f"The network adds something on {counted}, on {clearly} by more than the noise."


def _clear(found: Glance) -> bool:
    pairs = ((found.network_adds, found.network_adds_p), (found.path_adds, found.path_adds_p))
    return any(value is not None and value > 0 and p is not None and p < SIGNIFICANT for value, p in pairs)


def text(listed: Sequence[Row]) -> str:
    """The table for the terminal, its columns as wide as what they hold, and the sentence; a long reason is cut."""
    cells = (row.cells() for row in listed)
    table = [COLUMNS, *((*found[:2], shorten(found[2], STATE, placeholder=" …"), *found[3:]) for found in cells)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]
    return "\n".join([*lines, "", share_sentence(listed), LEGEND])


def markdown(listed: Sequence[Row], links: Mapping[str, str] | None = None) -> str:
    """The sentence, then the table; `links` leads from a ticker to its own page."""
    lines = [f"| {' | '.join(COLUMNS)} |", f"|{'---|' * len(COLUMNS)}"]
    for row in listed:
        ticker, *cells = (cell.replace("|", "/") for cell in row.cells())
        name = f"[{ticker}]({links[ticker]})" if links and ticker in links else ticker
        lines.append(f"| {' | '.join([name, *cells])} |")
    return "\n\n".join([share_sentence(listed), "\n".join(lines), LEGEND])


def _text(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date | datetime) else value
