"""The morning at a glance, one row per ticker, for the terminal and both pages; and which tickers lack a forecast."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from textwrap import fill
from typing import Any

from stockml.errors import RecordUnreadable, StockmlError, quantity
from stockml.evaluation.significance import is_clear
from stockml.forecasts.forecast import age_of
from stockml.forecasts.ledger import Ledger
from stockml.home import HomePaths
from stockml.models.pooled_regression import POOLED
from stockml.models.registry import Registry
from stockml.nights import states
from stockml.nights.key_figures import KeyFigures, calendar_of, is_untested, newest
from stockml.nights.reasons import by_reason, grouped_line
from stockml.nights.tables import aligned
from stockml.prices.calendar import Sessions, sessions_for
from stockml.provider.listing import Delistings
from stockml.redaction import escape_markdown, one_line
from stockml.settings import AgeingSettings
from stockml.storage.files import write_atomically
from stockml.storage.manifests import ATTEMPT
from stockml.storage.records import read_record, record, written_record
from stockml.tickers import TICKER, without_ticker

LEGEND = (
    "behind: sessions without a forecast; path: skill of the published path over the last close; width: the 80 % band "
    "relative to this share's usual range, from network and regression (network) or the latter alone (regression); "
    "network adds: CRPS that it saves over a regression on its inputs; ~: within the noise; too few: fewer origins "
    "than a test needs; next run: UTC"
)
NO_NIGHT = "no night yet"
LINE = 80  # columns of a terminal whose width is not known
NIGHT_LENGTH = timedelta(
    hours=2
)  # from a bar's final time to its night's end, an hour of asking for a late bar included
FEW = "too few"  # origins to test: a figure from three or four says nothing
COLUMNS = ("ticker", "session", "state", "path", "width", "network adds", "next run")  # no wider than Prefect's page


@record
@dataclass(frozen=True)
class LastRun:
    """How the ticker's last run ended; state: Completed, No session, Skipped: quota, Failed, …; why: its message."""

    state: str
    why: str
    at: datetime

    @property
    def text(self) -> str:
        return f"{self.state.lower()}: {self.why}"

    @property
    def brief(self) -> str:
        return self.state.lower().removeprefix("skipped: ")


@dataclass(frozen=True)
class Row:
    """One ticker this morning. `session`: of its newest forecast; `key_figures`: of that night, if it was completed;
    `brief`: for a long `state`.
    """

    ticker: str
    session: date | None
    state: str
    age: int | None = None
    expired: bool = False
    key_figures: KeyFigures | None = None
    next_run: datetime | None = None
    brief: str = ""
    paused: bool = False

    def cells(self) -> tuple[str, ...]:
        """The row as text, one cell for each of COLUMNS; – where nothing is known."""
        found = self.key_figures
        return (
            self.ticker,
            str(self.session or "–"),
            self.brief or (f"{self.age} behind" if self.age else self.state),
            _path(found) if found else "–",
            _width(found) if found else "–",
            _adds(found) if found else "–",
            f"{self.next_run.astimezone(UTC):%a %H:%M}" if self.next_run else "paused" if self.paused else "–",
        )

    def plain(self) -> dict[str, Any]:
        """The row for a script: dates as text, shares as numbers."""
        found = {**(asdict(self.key_figures) if self.key_figures else {}), **asdict(self)}
        del found["key_figures"], found["brief"]
        return {name: value.isoformat() if isinstance(value, date) else value for name, value in found.items()}


def record_run(nights: Path, ticker: str, attempt: LastRun) -> None:
    write_atomically(nights / ticker / ATTEMPT, written_record(attempt))


def known_tickers(home: HomePaths) -> set[str]:
    """The tickers that have forecasts; files of other names, such as a stray copy, are ignored, as by the store."""
    return set(filter(TICKER.fullmatch, (path.stem for path in home.ledger.glob("*.parquet"))))


def rows(
    home: HomePaths,
    tickers: Iterable[str],
    now: datetime,
    next_runs: Mapping[str, datetime | None] | None = None,
    calendars: Mapping[str, str | None] | None = None,
    followed: Collection[str] | None = None,
) -> list[Row]:
    """One row per ticker, by name.  now: with its zone.  next_runs: None if paused.  followed: None if not known."""
    found = []
    for ticker in sorted(set(tickers)):
        try:
            row = _row(home, ticker, now, (calendars or {}).get(ticker))
        except StockmlError as fault:  # one ticker's unreadable file is its state, and costs no other its row
            row = Row(ticker, None, str(fault), brief="unreadable")
        if followed and ticker not in followed and (row.age or row.state == NO_NIGHT):
            row = replace(row, state=f"not followed; {row.state}", brief="not followed")
        next_run = (next_runs or {}).get(ticker)
        found.append(replace(row, next_run=next_run, paused=not next_run and ticker in (next_runs or {})))
    return found


def _row(home: HomePaths, ticker: str, now: datetime, calendar: str | None) -> Row:
    night, attempt = newest(home.nights, ticker), last_run(home.nights, ticker)
    exchange, session = sessions_for(ticker, calendar_of(night, calendar)), night.session if night else None
    if session is None or exchange.age(session, now):  # a night can fail once its forecast is in the ledger
        session = max(filter(None, (session, Ledger(home.ledger).last_session(ticker))), default=None)
    if session is None:
        return Row(ticker, None, attempt.text, brief=attempt.brief) if attempt else Row(ticker, None, NO_NIGHT)
    key_figures = night if night and night.session == session else None
    age = age_of(session, exchange, now, *([night.expires_after] if night else []))
    behind = f"{quantity(age.sessions, 'session')} behind" if age.sessions else "up to date"
    state, brief = (f"expired, {behind}", "expired") if age.expired else (behind, "")
    missed = attempt if attempt and attempt.state != "Completed" else None
    has_news = missed and (age.sessions or key_figures is None or missed.state not in states.OWN)
    if missed and has_news and (night is None or missed.at > night.finished_at):
        rests = missed.state == states.AT_REST
        state, brief = f"{state}; {missed.text}", missed.brief if rests else brief or missed.brief
    return Row(ticker, session, state, age.sessions, age.expired, key_figures, brief=brief)


def last_run(nights: Path, ticker: str) -> LastRun | None:
    """How the ticker's last run ended; None if none has, or if that cannot be read."""
    try:
        kept = read_record(LastRun, (nights / ticker / ATTEMPT).read_bytes())
        return replace(kept, why=without_ticker(ticker, kept.why))
    except (OSError, ValueError):
        return None


def too_old(home: HomePaths, ticker: str, sessions: Sessions, now: datetime, limits: AgeingSettings) -> list[str]:
    """One sentence for each of forecast and champion that is past its age limit; none where a record is unreadable."""
    found = []
    try:
        last, champion = Ledger(home.ledger).last_session(ticker), Registry(home.models).champion(ticker)
    except RecordUnreadable:
        return []
    if last and (age := age_of(last, sessions, now, limits.old_forecast)).expired:
        found.append(f"the forecast has expired, {quantity(age.sessions, 'session')} old (limit {limits.old_forecast})")
    if champion and (old := sessions.age(champion.session, now)) > limits.old_champion:
        found.append(f"the champion is {old} sessions old (limit {limits.old_champion})")
    return found


def _path(found: KeyFigures) -> str:
    """The published path's skill, marked where the path is a network's and not a formula's."""
    if not found.published_skill:
        return "–"
    if is_untested(*found.gains):
        return FEW
    whose = "network's " if _publishes_a_path(found) else ""
    return f"{whose}{found.published_skill:+.3f}"


def _width(found: KeyFigures) -> str:
    share = "" if found.width_against_usual is None else f"{found.width_against_usual:.0%}"
    without_network = found.publisher == POOLED or _publishes_a_path(found)
    whose = "" if not found.publisher else "regression" if without_network else "network"
    return f"{whose} {share}".strip() or "–"


def _publishes_a_path(found: KeyFigures) -> bool:
    return found.path_adds is not None and found.publisher != POOLED


def _adds(found: KeyFigures) -> str:
    """The known gains of path and distribution; a dash where neither is known."""
    if is_untested(*found.gains):
        return FEW
    gains = (
        ("path ", found.path_adds, found.path_adds_p, "+.3f"),
        ("", found.network_adds, found.network_adds_p, "+z.2%"),
    )
    known = [gain for gain in gains if gain[1] is not None]
    parts = [f"{what}{value:{shape}}" + ("" if is_clear(p) else " ~") for what, value, p, shape in known if value]
    return ", ".join(parts) or ("nothing" if known else "–")


def share_sentence(listed: Sequence[Row]) -> str:
    """Say on how many tickers the network adds to what is published, and on how many by more than the noise."""
    known = [row.key_figures for row in listed if row.key_figures and row.key_figures.adds() is not None]
    if not known:
        return "No night yet says whether the network adds anything."
    adding, clearly = (sum(bool(each.adds(clearly=beyond)) for each in known) for beyond in (False, True))
    share = f"{adding} of {quantity(len(known), 'ticker')} ({adding / len(known):.0%})"
    return f"The network adds something on {share}, on {clearly} by more than the noise."


def text(listed: Sequence[Row], width: int = LINE) -> str:
    """The table for the terminal, with columns fitted to their content, the share sentence, and states cut short.

    width: of the terminal, to which the sentences are wrapped.
    """
    lines = aligned([COLUMNS, *(row.cells() for row in listed)], "<" * len(COLUMNS))
    return "\n".join([*lines, "", fill(share_sentence(listed), width), *_told(listed), fill(LEGEND, width)])


def markdown(listed: Sequence[Row], links: Mapping[str, str] | None = None) -> str:
    """The share sentence, states cut short in the table, and the table; `links`: from a ticker to its own page."""
    lines = [f"| {' | '.join(COLUMNS)} |", f"|{'---|' * len(COLUMNS)}"]
    for row in listed:
        ticker, *cells = (escape_markdown(cell).replace("|", "/") for cell in row.cells())
        name = f"[{ticker}]({links[ticker]})" if links and ticker in links else ticker
        lines.append(f"| {' | '.join([name, *cells])} |")
    told = "\n".join(f"- {escape_markdown(line)}" for line in _told(listed))
    return "\n\n".join(part for part in (share_sentence(listed), told, "\n".join(lines), LEGEND) if part)


def _told(listed: Sequence[Row]) -> list[str]:
    """The states that the table cuts short, each with all its tickers."""
    told = by_reason((row.ticker, row.state) for row in listed if row.brief)
    return [f"{', '.join(names)}: {one_line(state)}" for state, names in told.items()]


def missing(home: HomePaths, tickers: Iterable[str], now: datetime, calendars: Mapping[str, str]) -> list[Row]:
    """A row for each ticker, by name, without a forecast of the newest session whose night should be over at `now`.

    A ticker delisted after its last forecast is at rest and lacks nothing.  now: with its zone.  calendars: of tickers
    that do not go by their suffix.
    """
    delisted, today = Delistings.read(home.delistings), now.date()
    return [
        row
        for row in rows(home, tickers, now, calendars=calendars)
        if not _has_newest(home, row, now, calendars.get(row.ticker))
        and not (row.session and row.session <= (delisted.day_of(row.ticker) or date.min) <= today)
    ]


def missing_line(found: Sequence[Row], count: int) -> str:
    """One line: which of the `count` tickers looked at lack a forecast, and why."""
    if not found:
        return f"no forecast is missing, of {quantity(count, 'ticker')}"
    line = grouped_line([(row.ticker, row.state) for row in found], "{names} ({why})", others=": `stockml status`")
    return f"no forecast of the newest session for {len(found)} of {count}: {line}"


def _has_newest(home: HomePaths, row: Row, now: datetime, calendar: str | None) -> bool:
    if row.session is None:
        return False
    exchange = sessions_for(row.ticker, calendar_of(row.key_figures or newest(home.nights, row.ticker), calendar))
    return row.session >= exchange.last_final(now - NIGHT_LENGTH)
