"""Fetched payloads into the store: bars, splits, delistings, another provider's history; and what
it still lacks."""

from dataclasses import replace
from datetime import date, datetime, timedelta

from stockml.errors import (
    BadPayload,
    HistoryError,
    InconsistentOverlap,
    NoBars,
    NoOverlap,
    TooFewBars,
)
from stockml.home import HomePaths
from stockml.nights import states
from stockml.nights.session_status import SessionStatus
from stockml.prices.bars import Bars, days_of
from stockml.prices.calendar import Sessions
from stockml.prices.revisions import foreign_return_count
from stockml.prices.split_adjustment import back_adjusted, joined
from stockml.prices.store import BarStore
from stockml.provider.client import ASKED_EVERY, AlphaVantage, Delistings, parse_delisted
from stockml.provider.http import OutputSize, PriceProvider, archive, read_archived
from stockml.provider.parsing import days_after, parse_daily
from stockml.storage.files import sha256_of
from stockml.storage.receipts import PayloadReceipt, StoreReceipt

COMPACT_SESSIONS = 100
SHORT = 2 * COMPACT_SESSIONS  # sessions of a history that is asked for again, weekly


def append(
    home: HomePaths, payload: PayloadReceipt, *, calendar: str | None, now: datetime
) -> StoreReceipt:
    """Add the payload's final bars to the store; the same payload again changes no byte.

    They are recorded at the time of their receipt, so that an old answer does not undo later
    restatements. The receipt counts what the answer brought, now or when it was first added. Raises
    StoreError, BadPayload.
    """
    store = BarStore.of(home, calendar)
    sessions = store.sessions(payload.ticker)
    content = read_archived(payload.path)
    answer = parse_daily(content, payload.ticker, last_final=sessions.last_final(now))
    left_out = days_after(content, payload.ticker, now.astimezone(sessions.tz).date())
    _check_same_share(store, payload.ticker, answer)
    bars = store.append(
        payload.ticker,
        answer,
        recorded_at=payload.received_at,
        source=AlphaVantage.name,
        session=payload.session,
        rows_before=payload.rows_before,
    )
    bars = replace(bars, left_out=left_out)
    if bars.added or bars.restated:
        return bars
    added, restated = store.recorded_between(
        payload.ticker, payload.received_at, payload.received_at
    )
    return replace(
        bars, added=added, restated=restated, unchanged=bars.unchanged - added - restated
    )


def _check_same_share(store: BarStore, ticker: str, answer: Bars) -> None:
    if store.rows(ticker) and (restated := foreign_return_count(store.read(ticker), answer)):
        found = f"expected the closes that are stored, found {restated} moves restated"
        advice = (
            f"begin anew by `stockml tickers rename {ticker} NEW`, then `stockml tickers add "
            f"{ticker}`"
        )
        raise BadPayload(ticker, f"{found}: if the symbol is another company's by now, {advice}")


def needs_whole_history(home: HomePaths, ticker: str, calendar: str | None, session: date) -> bool:
    """Whether the newest 100 sessions are too few: no bar yet, or a longer outage; weekly also
    older holes, or a history so short that its first request may have failed.
    """
    store = BarStore.of(home, calendar)
    last, sessions = store.last_session(ticker), store.sessions(ticker)
    reach = sessions.before(session, COMPACT_SESSIONS - 1)[0]
    if last is None or last < reach:
        return True
    # a capped key's requests may reach the ticker on other days
    before = min(last, sessions.before(session, 1)[0])
    is_first_of_week = before.isocalendar()[:2] != session.isocalendar()[:2]
    try:
        view = store.view(ticker) if is_first_of_week else None
        return view is not None and (
            len(view.bars) < SHORT or any(day < reach for day in view.holes(sessions))
        )
    except HistoryError:
        return is_first_of_week


def without_bar(
    home: HomePaths, ticker: str, sessions: tuple[date, ...], calendar: str | None
) -> tuple[date, ...]:
    """Those of `sessions` for which neither the fetched bars nor the imported history has a bar."""
    try:
        bars = BarStore.of(home, calendar).adjusted(ticker, until=sessions[-1])
    except (NoBars, NoOverlap):  # what is fetched next may bridge the gap
        return sessions
    days = set(bars.index.date)
    return tuple(session for session in sessions if session not in days)


def as_stored(home: HomePaths, ticker: str, session: date) -> StoreReceipt:
    """A receipt for the store as it is, for a night of `session` that adds nothing to it."""
    path = BarStore.of(home).path(ticker)
    return StoreReceipt(
        ticker, path, sha256_of(path) or "", session, added=0, restated=0, unchanged=0
    )


def explain_jumps(
    home: HomePaths,
    provider: AlphaVantage,
    bars: StoreReceipt,
    *,
    calendar: str | None,
    now: datetime,
) -> StoreReceipt:
    """Ask for the ticker's splits if its bars have unexplained jumps, and keep the answer. Raises
    FeedError."""
    store = BarStore.of(home, calendar)
    if jumps := store.unexplained_jumps(bars.ticker):
        payload = provider.splits(bars.ticker)
        splits = provider.splits_of(payload)
        archive(payload, home.payloads)
        store.record_splits(bars.ticker, splits, recorded_at=now, source=provider.name, asked=jumps)
    return bars


def why_no_forecast(
    home: HomePaths, bars: StoreReceipt, calendar: str | None, fewest: int
) -> SessionStatus | None:
    """The status if the session's bar is set aside, or a new share has fewer than `fewest`
    sessions; else None."""
    view = BarStore.of(home, calendar).view(bars.ticker, until=bars.session)
    if aside := next((bar for bar in view.set_aside if bar.session == bars.session), None):
        advice = (
            ""
            if aside.broken
            else f"; `stockml bars {bars.ticker} --accept {bars.session}` if it is right"
        )
        text = (
            f"the bar of {bars.session} is set aside: {aside.reason}; the forecast before it, if "
            f"any, stands{advice}"
        )
        return SessionStatus(bars.session, text, states.SET_ASIDE)
    if (found := len(view.bars)) < fewest:
        text = (
            f"{TooFewBars(fewest, found, 'a forecast')}; a newly listed share has them "
            f"{fewest - found} sessions on"
        )
        return SessionStatus(bars.session, text, states.TOO_FEW_SESSIONS)
    return None


def delisted_status(home: HomePaths, ticker: str, session: date) -> SessionStatus | None:
    """The status if the share is known to be delisted by `session`; else None. Raises StoreError.

    Bars, models and forecasts stay. A symbol with later bars is another company's by now; one
    without any may be."""
    day = Delistings.read(home.delistings).day_of(ticker)
    if day is None or day > session or (BarStore.of(home).last_session(ticker) or day) > day:
        return None
    gone, advice = (
        f"{ticker} was taken off its exchange on {day}, it is delisted",
        f"`stockml tickers rename {ticker} NEW`",
    )
    return SessionStatus(
        session, f"{gone}; {advice} if it goes on under another symbol", states.AT_REST
    )


def ask_who_is_delisted(
    home: HomePaths, provider: AlphaVantage, ticker: str, now: datetime
) -> bool:
    """Ask, on behalf of `ticker`, who is delisted, weekly for all; return whether it did. Raises
    FeedError."""
    delistings = Delistings.read(home.delistings)
    if not delistings.due(now):
        return False
    # 12 h on, if refused
    Delistings(now - ASKED_EVERY + timedelta(hours=12), delistings.days).write(home.delistings)
    Delistings(now, parse_delisted(provider.delisted(ticker).content)).write(home.delistings)
    return True


def import_history(
    home: HomePaths, provider: PriceProvider, ticker: str, *, calendar: str | None, now: datetime
) -> bool:
    """Import, adjusted, all bars that another provider has; False if none is new. Raises FeedError,
    HistoryError."""
    store = BarStore.of(home, calendar)
    sessions = store.sessions(ticker)
    payload = provider.daily(ticker, "full")
    raw = provider.daily_of(payload, last_final=sessions.last_final(now))
    archived = archive(payload, home.payloads)
    bars = back_adjusted(raw, splits := provider.splits_of(payload))
    if store.last_session(ticker):
        view = store.view(ticker)
        stored_days = {*days_of(view.bars).tolist(), *(bar.session for bar in view.set_aside)}
        if stored_days.issuperset(days_of(bars.loc[: view.bars.index[-1]]).tolist()):
            return False
    source = f"{provider.name} sha256:{str(sha256_of(archived))[:16]}"
    try:
        return store.record_import(ticker, bars, recorded_at=now, source=source)
    # unless the stored bars have a spin-off, for whose factor nobody asked: none looks so
    except InconsistentOverlap:
        joined(ticker, bars, back_adjusted(store.read(ticker), splits), sessions)
        store.record_splits(ticker, splits, recorded_at=now, source=provider.name)
        return store.record_import(ticker, bars, recorded_at=now, source=source)


def fetch(
    home: HomePaths,
    provider: AlphaVantage,
    ticker: str,
    session: date,
    *,
    sessions: Sessions,
    now: datetime,
    outputsize: OutputSize = "compact",
) -> PayloadReceipt:
    """Ask for the daily bars known after `session`, and archive the answer if it parses. Raises
    FeedError."""
    rows_before = BarStore.of(home).rows(ticker)
    payload = provider.daily(ticker, outputsize)
    bars = provider.daily_of(payload, last_final=sessions.last_final(now))
    path, newest = str(archive(payload, home.payloads)), bars.index[-1].date()
    return PayloadReceipt(
        ticker, path, str(sha256_of(path)), session, newest, payload.received_at, rows_before
    )
