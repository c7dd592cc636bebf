"""A night's request, and how its bars come: turns, fetching, and the session's status."""

import time
from dataclasses import dataclass, field, replace
from datetime import date

from prefect.logging import get_run_logger
from prefect.states import State

from stockml import clock
from stockml.errors import BadPayload, FeedError, QuotaSpent, TransientFeedError, UnknownSymbol
from stockml.features.origins import minimum_sessions
from stockml.forecasts.ledger import Ledger
from stockml.home import current_home
from stockml.nights import states
from stockml.nights.ingest import (
    COMPACT_SESSIONS,
    delisted_status,
    needs_whole_history,
    why_no_forecast,
    without_bar,
)
from stockml.nights.session_status import SessionStatus, session_status
from stockml.nights.status import too_old
from stockml.prices.calendar import sessions_for
from stockml.prices.store import BarStore
from stockml.provider.quota import NextTurn
from stockml.settings import Settings
from stockml.storage.receipts import PayloadReceipt, StoreReceipt
from stockml.tickers import without_ticker
from tasks.provider import history_is_elsewhere, join_turns, plan_gives_history, turn_of
from tasks.steps import (
    append_bars,
    ask_who_is_delisted,
    explain_jumps,
    fetch_daily,
    fetch_history,
    import_history,
    with_home_storage,
)


@dataclass(frozen=True)
class NightRequest:
    """What the form asked for."""

    ticker: str
    settings: Settings
    calendar: str | None
    force: bool
    began: float = field(default_factory=time.monotonic)

    def seconds(self) -> float:
        return time.monotonic() - self.began

    def status(self, session: date | None, newest: date | None = None) -> SessionStatus:
        """The session's status by the clock; on a holiday, a session with a forecast is not run
        again."""
        calendar = sessions_for(self.ticker, self.calendar)
        last, stale_after = (
            Ledger(current_home().ledger).last_session(self.ticker),
            self.settings.ageing.stale_bars,
        )
        return session_status(
            calendar,
            requested=session,
            now=clock.now(),
            last_stored=last,
            newest=newest,
            stale_after=stale_after,
        )

    def age_notes(self) -> str:
        """What is too old by the settings (forecast, champion), to append to a state's message."""
        calendar = sessions_for(self.ticker, self.calendar)
        sentences = too_old(
            current_home(), self.ticker, calendar, clock.now(), self.settings.ageing
        )
        return "".join(f"; {each}" for each in sentences)


def bars_of(request: NightRequest, session: date) -> StoreReceipt | SessionStatus:
    """The store's receipt after this night's requests, or the status if nothing more is to be
    done."""
    ticker, store = request.ticker, BarStore.of(current_home(), request.calendar)
    may_rest = store.last_session(ticker) and delisted_status(current_home(), ticker, session)
    if may_rest and (delisted := check_delisted(ticker, session)):
        return delisted
    if next_turn := turn(request, session):
        return SessionStatus(session, str(next_turn), states.QUOTA)
    try:
        bars, status = ingest(request, session)
    except (QuotaSpent, TransientFeedError) as refused:
        state = states.QUOTA if isinstance(refused, QuotaSpent) else states.NO_ANSWER
        return SessionStatus(session, without_ticker(ticker, str(refused)), state)
    except UnknownSymbol:
        last = store.last_session(ticker)  # with tonight's bar, only its splits are unknown
        if (last is None or last < session) and (delisted := check_delisted(ticker, session)):
            return delisted
        raise
    finally:
        join_turns({ticker: store.last_session(ticker)})
    if status.state is None:
        return bars
    return (check_delisted(ticker, session) if status.state == states.STALE else None) or status


def turn(request: NightRequest, session: date) -> NextTurn | None:
    """None if today's requests of the key suffice for the ticker, else its next turn; `force`
    ignores it."""
    if request.force:
        return None
    store = BarStore.of(current_home(), request.calendar)
    last = store.last_session(request.ticker)
    join_turns({request.ticker: last})
    next_turn = turn_of(request.ticker, session, store.sessions(request.ticker))
    if next_turn is None:
        # its request is counted already
        join_turns({request.ticker: max(session, last or session)})
    return next_turn


def check_delisted(ticker: str, session: date) -> SessionStatus | None:
    """The status if the share is delisted, else None; asked weekly for all, since a share may be
    relisted."""
    try:
        ask_who_is_delisted(ticker, clock.now())
    except FeedError as refused:
        get_run_logger().warning("%s", refused)
    return delisted_status(current_home(), ticker, session)


def ingest(request: NightRequest, session: date) -> tuple[StoreReceipt, SessionStatus]:
    """Fetch and append; without the session's bar, the others are stored all the same.

    The receipt counts the bars of all this run's answers. If none is late, jumps are asked about as
    well.
    """
    ticker, calendar, now = request.ticker, request.calendar, clock.now()
    lacks_history = needs_whole_history(current_home(), ticker, calendar, session)
    added = bring_history(request, session) if lacks_history else 0
    fetch = with_home_storage(fetch_daily, force=request.force)
    payload = fetch(ticker, session, calendar, now)
    if not lacks_history and is_beyond(payload, calendar):
        added += bring_history(request, session)
    bars = with_home_storage(append_bars, force=request.force)(payload, calendar, now)
    get_run_logger().info("%s", bars.counted)
    bars = replace(bars, added=bars.added + added)
    if lacks_history and history_is_elsewhere():
        bars = ask_about_jumps(request, bars)
        get_run_logger().info("%s", import_history(ticker, calendar, now))
    status = request.status(session, newest=payload.newest)
    if status.state:
        return bars, status
    bars = ask_about_jumps(request, bars)
    fewest = minimum_sessions(request.settings.evaluation)
    return bars, why_no_forecast(current_home(), bars, calendar, fewest) or status


def is_beyond(payload: PayloadReceipt, calendar: str | None) -> bool:
    """Whether the answer's newest sessions do not reach back to the one asked for, a past one that
    has no bar yet."""
    ticker, session = payload.ticker, payload.session
    reach = sessions_for(ticker, calendar).before(payload.newest, COMPACT_SESSIONS - 1)[0]
    return session < reach and bool(without_bar(current_home(), ticker, (session,), calendar))


def ask_about_jumps(request: NightRequest, bars: StoreReceipt) -> StoreReceipt:
    """Ask for the splits that the stored bars' jumps suggest; returns the newest receipt."""
    if BarStore.of(current_home(), request.calendar).unexplained_jumps(request.ticker):
        return with_home_storage(explain_jumps, force=request.force)(
            bars, request.calendar, clock.now()
        )
    return bars


def bring_history(request: NightRequest, session: date) -> int:
    """Fetch and append all sessions, if the key's plan gives them; returns how many were added."""
    ticker, calendar, now = request.ticker, request.calendar, clock.now()
    if not plan_gives_history():
        return 0
    try:
        payload = with_home_storage(fetch_history, force=request.force)(
            ticker, session, calendar, now
        )
    except BadPayload as unusable:
        get_run_logger().warning("%s", unusable)
        return 0
    if isinstance(payload, State):
        get_run_logger().warning("%s", payload.message)
        return 0
    bars = with_home_storage(append_bars, force=request.force)(payload, calendar, now)
    get_run_logger().info("%s", bars.counted)
    return bars.added
