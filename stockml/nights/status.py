"""The morning at a glance, one row per ticker, for the terminal and both pages; and which tickers
lack a forecast."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from textwrap import fill
from typing import Any

from stockml import clock
from stockml.errors import RecordUnreadable, StockmlError, quantity
from stockml.forecasts.forecast import age_of, price_text
from stockml.forecasts.ledger import Ledger
from stockml.forecasts.proper_scores import p_text
from stockml.home import HomePaths
from stockml.models.registry import Registry
from stockml.nights import states
from stockml.nights.card import SPAN
from stockml.nights.key_figures import KeyFigures, calendar_of, is_untested, newest
from stockml.nights.tables import aligned, by_reason, grouped_line
from stockml.prices.calendar import Sessions, sessions_for
from stockml.provider.client import Delistings
from stockml.redaction import escape_markdown, one_line
from stockml.settings import AgeingSettings
from stockml.storage.files import write_atomically
from stockml.storage.receipts import read_record, record, written_record
from stockml.tickers import TICKER, without_ticker

LEGEND = (
    f"80% range: of the close in {SPAN} sessions; mood: calm or wild for this share; "
    "since yesterday: the close, and what else is new; next run: time in New York"
)
DETAILS_LEGEND = (
    "network adds: CRPS saved over a regression on its inputs, p: how likely by luck; training "
    "adds: over the network before tonight; held: share of closes inside the 80% band; width: of "
    "that band, 100% is this share's usual range; too few: fewer origins than a test needs"
)
NO_NIGHT, UP_TO_DATE = "no night yet", "up to date"
LINE = 80  # columns of a terminal whose width is not known
# from a bar's final time to its night's end, with an hour's wait for a late bar
NIGHT_LENGTH = timedelta(hours=2)
ATTEMPT = "last-attempt.json"  # beside a ticker's nights: how its newest run ended
FEW = "too few"  # origins to test: a figure from three or four says nothing
COLUMNS = ("ticker", "close", "80% range", "mood", "since yesterday", "state", "next run")
DETAILS = ("ticker", "session", "network adds", "p", "training adds", "held", "width")


@record
@dataclass(frozen=True)
class LastRun:
    """How the ticker's last run ended; state: Completed, No session, Skipped: quota, Failed, …;
    why: its message."""

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
class TickerRow:
    """One ticker this morning. `session`: its newest forecast's; `key_figures`: that night's, if it
    completed; `brief`: a short form of `state`.
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
        """The row as text, one cell for each of COLUMNS; – where nothing is known, or the forecast
        has expired."""
        figures, place = (
            None if self.expired else self.key_figures,
            "paused" if self.paused else "–",
        )
        close, low, high = (
            (figures.close, figures.low, figures.high) if figures else (None, None, None)
        )
        return (
            self.ticker,
            price_text(close) if close else "–",
            f"{price_text(low)} to {price_text(high)}" if low and high else "–",
            (figures and figures.mood) or "–",
            (figures and figures.changes) or "–",
            self.brief or (f"{self.age} behind" if self.age else self.state),
            f"{self.next_run.astimezone(clock.NEW_YORK):%a %H:%M}" if self.next_run else place,
        )

    def details(self) -> tuple[str, ...]:
        """The model's figures, one cell for each of DETAILS."""
        figures = self.key_figures
        if figures is None or is_untested(*figures.gains):
            return (
                self.ticker,
                str(self.session or "–"),
                *(["–"] * 5 if figures is None else [FEW] * 5),
            )
        path = figures.path_adds is not None
        adds, p_value = figures.gains[path]
        fractions = (
            (figures.training_adds, "+z.2%"),
            (figures.coverage_80, ".0%"),
            (figures.width_against_usual, ".0%"),
        )
        gain = "–" if adds is None else f"{adds:+.3f} of skill" if path else f"{adds:+z.2%}"
        shown = ("–" if value is None else f"{value:{spec}}" for value, spec in fractions)
        return (
            self.ticker,
            str(self.session),
            gain,
            "–" if p_value is None else p_text(p_value),
            *shown,
        )

    def plain(self) -> dict[str, Any]:
        """The row for a script: dates as text, no percentages."""
        fields = {**(asdict(self.key_figures) if self.key_figures else {}), **asdict(self)}
        del fields["key_figures"], fields["brief"]
        return {
            name: value.isoformat() if isinstance(value, date) else value
            for name, value in fields.items()
        }


def record_run(nights: Path, ticker: str, run: LastRun) -> None:
    write_atomically(nights / ticker / ATTEMPT, written_record(run))


def known_tickers(home: HomePaths) -> set[str]:
    """The tickers that have forecasts; files of other names, such as stray copies, are ignored."""
    return set(filter(TICKER.fullmatch, (path.stem for path in home.ledger.glob("*.parquet"))))


def rows(
    home: HomePaths,
    tickers: Iterable[str],
    now: datetime,
    next_runs: Mapping[str, datetime | None] | None = None,
    calendars: Mapping[str, str | None] | None = None,
    followed: Collection[str] | None = None,
) -> list[TickerRow]:
    """One row per ticker, by name.  now: with its zone.  next_runs: None if paused.  followed: None
    if not known."""
    listed = []
    for ticker in sorted(set(tickers)):
        try:
            row = _row(home, ticker, now, (calendars or {}).get(ticker))
        except (
            StockmlError
        ) as fault:  # an unreadable file becomes the ticker's state; the others keep their rows
            row = TickerRow(ticker, None, str(fault), brief="unreadable")
        if followed and ticker not in followed and (row.age or row.state == NO_NIGHT):
            row = replace(row, state=f"not followed; {row.state}", brief="not followed")
        next_run = (next_runs or {}).get(ticker)
        listed.append(
            replace(row, next_run=next_run, paused=not next_run and ticker in (next_runs or {}))
        )
    return listed


def _row(home: HomePaths, ticker: str, now: datetime, override: str | None) -> TickerRow:
    figures, run = newest(home.nights, ticker), last_run(home.nights, ticker)
    calendar, session = (
        sessions_for(ticker, calendar_of(figures, override)),
        figures.session if figures else None,
    )
    # a night can fail once its forecast is in the ledger
    if session is None or calendar.age(session, now):
        session = max(
            filter(None, (session, Ledger(home.ledger).last_session(ticker))), default=None
        )
    if session is None:
        return (
            TickerRow(ticker, None, run.text, brief=run.brief)
            if run
            else TickerRow(ticker, None, NO_NIGHT)
        )
    key_figures = figures if figures and figures.session == session else None
    age = age_of(session, calendar, now, *([figures.expires_after] if figures else []))
    behind = f"{quantity(age.sessions, 'session')} behind" if age.sessions else UP_TO_DATE
    state, brief = (f"expired, {behind}", "expired") if age.expired else (behind, "")
    incomplete = run if run and run.state != "Completed" else None
    has_news = incomplete and (
        age.sessions or key_figures is None or incomplete.state not in states.OWN
    )
    if incomplete and has_news and (figures is None or incomplete.at > figures.finished_at):
        is_delisted = incomplete.state == states.AT_REST
        state, brief = (
            f"{state}; {incomplete.text}",
            incomplete.brief if is_delisted else brief or incomplete.brief,
        )
    return TickerRow(ticker, session, state, age.sessions, age.expired, key_figures, brief=brief)


def last_run(nights: Path, ticker: str) -> LastRun | None:
    """How the ticker's last run ended; None if unknown or unreadable."""
    try:
        run = read_record(LastRun, (nights / ticker / ATTEMPT).read_bytes())
        return replace(run, why=without_ticker(ticker, run.why))
    except (OSError, ValueError):
        return None


def too_old(
    home: HomePaths, ticker: str, calendar: Sessions, now: datetime, limits: AgeingSettings
) -> list[str]:
    """A sentence for the forecast, and one for the champion, if past its age limit; none if a
    record is unreadable."""
    sentences = []
    try:
        last, champion = (
            Ledger(home.ledger).last_session(ticker),
            Registry(home.models).champion(ticker),
        )
    except RecordUnreadable:
        return []
    if last and (age := age_of(last, calendar, now, limits.old_forecast)).expired:
        old = quantity(age.sessions, "session")
        sentences.append(f"the forecast has expired, {old} old (limit {limits.old_forecast})")
    if champion and (sessions := calendar.age(champion.session, now)) > limits.old_champion:
        sentences.append(f"the champion is {sessions} sessions old (limit {limits.old_champion})")
    return sentences


def share_sentence(listed: Sequence[TickerRow]) -> str:
    """On how many shares the network is known to help."""
    helps = [row.key_figures.network_helps for row in listed if row.key_figures]
    return (
        f"The network's gain is beyond luck on {helps.count(True)} of "
        f"{quantity(len(helps), 'share')}."
    )


def text(listed: Sequence[TickerRow], width: int = LINE, *, details: bool = False) -> str:
    """For the terminal: the table, the states that it shortens in full, the share sentence; the
    model's figures.

    width: of the terminal, to which sentences are wrapped.
    """
    lines = aligned([COLUMNS, *(row.cells() for row in listed)], "<" * len(COLUMNS))
    lines += [
        "",
        *_states_in_full(listed),
        fill(share_sentence(listed), width),
        fill(LEGEND, width),
    ]
    if details:
        lines += ["", *aligned([DETAILS, *(row.details() for row in listed)], "<" * len(DETAILS))]
        lines += ["", fill(DETAILS_LEGEND, width)]
    return "\n".join(lines)


def markdown(listed: Sequence[TickerRow], links: Mapping[str, str] | None = None) -> str:
    """The table, in full the states that it shortens, the share sentence; `links`: ticker → its
    page."""
    lines = [f"| {' | '.join(COLUMNS)} |", f"|{'---|' * len(COLUMNS)}"]
    for row in listed:
        ticker, *cells = (escape_markdown(cell).replace("|", "/") for cell in row.cells())
        name = f"[{ticker}]({links[ticker]})" if links and ticker in links else ticker
        lines.append(f"| {' | '.join([name, *cells])} |")
    states_in_full = "\n".join(f"- {escape_markdown(line)}" for line in _states_in_full(listed))
    return "\n\n".join(
        part for part in ("\n".join(lines), states_in_full, share_sentence(listed), LEGEND) if part
    )


def _states_in_full(listed: Sequence[TickerRow]) -> list[str]:
    """The states that the table shortens, each with its tickers."""
    tickers_by_state = by_reason((row.ticker, row.state) for row in listed if row.brief)
    return [f"{', '.join(names)}: {one_line(state)}" for state, names in tickers_by_state.items()]


def digest(listed: Sequence[TickerRow], lacking: Sequence[TickerRow]) -> str:
    """What is new this morning, at most a line a ticker.  lacking: those without the newest
    forecast."""
    lines = [f"{row.ticker}: no forecast, {one_line(row.state)}" for row in lacking]
    named = {row.ticker for row in lacking}
    for row in listed:
        if (
            row.ticker not in named
            and not row.age
            and (figures := row.key_figures)
            and figures.news
        ):
            lines.append(f"{row.ticker}: {figures.mood}, {figures.changes}")
    return "\n".join([*lines, f"nothing new on {quantity(len(listed) - len(lines), 'share')}"])


def long_missing(
    home: HomePaths, lacking: Sequence[TickerRow], now: datetime, calendars: Mapping[str, str]
) -> list[TickerRow]:
    """Of the `lacking`, those whose second session without a forecast ended since yesterday at this
    time."""
    before = rows(
        home, [row.ticker for row in lacking], now - timedelta(days=1), calendars=calendars
    )
    known = {row.ticker: row.age or 0 for row in before}
    return [row for row in lacking if (row.age or 0) >= 2 > known[row.ticker]]


def missing(
    home: HomePaths, tickers: Iterable[str], now: datetime, calendars: Mapping[str, str]
) -> list[TickerRow]:
    """A row for each ticker, by name, without a forecast of the newest session whose night should
    be over at `now`.

    A ticker delisted after its last forecast lacks none, nor does a new share whose newest night
    had too few bars. now: with its zone.  calendars: where the suffix does not decide.
    """
    delisted, today = Delistings.read(home.delistings), now.date()
    return [
        row
        for row in rows(home, tickers, now, calendars=calendars)
        if not _has_newest(home, row, now, calendars.get(row.ticker))
        and not (row.session and row.session <= (delisted.day_of(row.ticker) or date.min) <= today)
    ]


def missing_line(lacking: Sequence[TickerRow], count: int) -> str:
    """One line: which of the `count` tickers lack a forecast, and why."""
    if not lacking:
        return f"no forecast is missing, of {quantity(count, 'ticker')}"
    line = grouped_line(
        [(row.ticker, row.state) for row in lacking], "{names} ({why})", others=": `stockml status`"
    )
    return f"no forecast of the newest session for {len(lacking)} of {count}: {line}"


def _has_newest(home: HomePaths, row: TickerRow, now: datetime, override: str | None) -> bool:
    run = last_run(home.nights, row.ticker)
    at = run.at if run and row.state == run.text and run.state == states.TOO_FEW_SESSIONS else None
    if not (row.session or at):
        return False
    calendar = sessions_for(
        row.ticker, calendar_of(row.key_figures or newest(home.nights, row.ticker), override)
    )
    return (row.session or calendar.last_final(at or now)) >= calendar.last_final(
        now - NIGHT_LENGTH
    )
