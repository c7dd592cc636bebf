"""A night's request, and how its bars come: turns, fetching, and the session's status.

The wait for a late bar is in Prefect's schedule if the run holds a worker's slot, otherwise in the process.
"""

import os
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext
from prefect.exceptions import Pause
from prefect.logging import get_run_logger
from prefect.states import State

from stockml import clock
from stockml.errors import BadPayload, FeedError, QuotaSpent, UnknownSymbol
from stockml.features.origins import minimum_sessions
from stockml.forecasts.ledger import Ledger
from stockml.home import current_home
from stockml.nights import states
from stockml.nights.status import too_old
from stockml.pipeline.ingest import (
    COMPACT_SESSIONS,
    delisted_status,
    needs_whole_history,
    why_no_forecast,
    without_bar,
)
from stockml.pipeline.session_status import SessionStatus, session_status
from stockml.prices.calendar import sessions_for
from stockml.prices.store import BarStore
from stockml.provider.turns import NextTurn
from stockml.settings import Settings
from stockml.storage.receipts import PayloadReceipt, StoreReceipt
from stockml.tickers import without_ticker
from tasks.caching import with_home_storage
from tasks.lost_runs import deaths
from tasks.provider import history_is_elsewhere, join_turns, plan_gives_history, turn_of
from tasks.run_records import reschedule
from tasks.steps import append_bars, ask_who_is_delisted, explain_jumps, fetch_daily, fetch_history, import_history

SOONEST_S = 20.0  # a worker takes up a run ten seconds early, and this process must have ended by then


@dataclass(frozen=True)
class NightRequest:
    """What the form asked for."""

    ticker: str
    settings: Settings
    calendar: str | None
    force: bool
    late_retries: int = 0
    late_wait_s: float = 0.0
    began: float = field(default_factory=time.monotonic)

    def seconds(self) -> float:
        return time.monotonic() - self.began

    def status(self, session: date | None, newest: date | None = None) -> SessionStatus:
        """The session's status by the clock; on a holiday, a session with a forecast is not run again."""
        calendar = sessions_for(self.ticker, self.calendar)
        last, stale_after = Ledger(current_home().ledger).last_session(self.ticker), self.settings.ageing.stale_bars
        return session_status(
            calendar, requested=session, now=clock.now(), last_stored=last, newest=newest, stale_after=stale_after
        )

    def age_notes(self) -> str:
        """What is too old by the settings (forecast, champion), to append to a state's message."""
        calendar = sessions_for(self.ticker, self.calendar)
        sentences = too_old(current_home(), self.ticker, calendar, clock.now(), self.settings.ageing)
        return "".join(f"; {each}" for each in sentences)


def bars_of(request: NightRequest, session: date) -> StoreReceipt | SessionStatus:
    """The store's receipt after this night's requests, or the status if nothing more is to be done."""
    ticker, store = request.ticker, BarStore.of(current_home(), request.calendar)
    may_rest = store.last_session(ticker) and delisted_status(current_home(), ticker, session)
    if may_rest and (delisted := check_delisted(ticker, session)):
        return delisted
    if next_turn := turn(request, session):
        return SessionStatus(session, str(next_turn), states.QUOTA)
    try:
        bars, status = ingest(request, session)
    except QuotaSpent as spent:
        return SessionStatus(session, without_ticker(ticker, str(spent)), states.QUOTA)
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
    """None if today's requests of the key suffice for the ticker, else its next turn; `force` ignores it."""
    if request.force:
        return None
    store = BarStore.of(current_home(), request.calendar)
    last = store.last_session(request.ticker)
    join_turns({request.ticker: last})
    next_turn = turn_of(request.ticker, session, store.sessions(request.ticker))
    if next_turn is None:
        join_turns({request.ticker: max(session, last or session)})  # its request is counted already
    return next_turn


def check_delisted(ticker: str, session: date) -> SessionStatus | None:
    """The status if the share is delisted, else None; asked weekly for all, since a share may be relisted."""
    try:
        ask_who_is_delisted(ticker, clock.now())
    except FeedError as refused:
        get_run_logger().warning("%s", refused)
    return delisted_status(current_home(), ticker, session)


def ingest(request: NightRequest, session: date) -> tuple[StoreReceipt, SessionStatus]:
    """Fetch and append, asking again for a late bar; without it, the other bars are stored all the same.

    The receipt counts the bars of all this night's answers. If none is late, jumps are asked about as well.
    """
    attempts, added, restated = earlier_attempts(BarStore.of(current_home(), request.calendar), request.ticker)
    lacks_history = needs_whole_history(current_home(), request.ticker, request.calendar, session)
    added += bring_history(request, session) if lacks_history else 0
    for attempt in range(min(attempts, request.late_retries), request.late_retries + 1):
        now = clock.now()
        force = request.force or attempt > 0
        payload = with_home_storage(fetch_daily, force=force)(request.ticker, session, request.calendar, now)
        if not lacks_history and is_beyond(payload, request.calendar):
            added += bring_history(request, session)
        bars = with_home_storage(append_bars, force=force)(payload, request.calendar, now)
        added, restated = added + bars.added, restated + bars.restated
        if lacks_history and attempt == 0 and history_is_elsewhere():  # later ones may find these bars, and no lack
            bars = ask_about_jumps(request, bars)
            get_run_logger().info("%s", import_history(request.ticker, request.calendar, now))
        status = request.status(session, newest=payload.newest)
        if status.state != states.LATE or attempt == request.late_retries:
            break
        wait_for(status, request.late_wait_s)
    get_run_logger().info("%s", bars.counted)
    bars = replace(bars, added=added, restated=restated)
    if status.state:
        return bars, status
    bars = ask_about_jumps(request, bars)
    fewest = minimum_sessions(request.settings.evaluation)
    return bars, why_no_forecast(current_home(), bars, request.calendar, fewest) or status


def is_beyond(payload: PayloadReceipt, calendar: str | None) -> bool:
    """Whether the answer's newest sessions do not reach back to the one asked for, a past one that has no bar yet."""
    ticker, session = payload.ticker, payload.session
    reach = sessions_for(ticker, calendar).before(payload.newest, COMPACT_SESSIONS - 1)[0]
    return session < reach and bool(without_bar(current_home(), ticker, (session,), calendar))


def ask_about_jumps(request: NightRequest, bars: StoreReceipt) -> StoreReceipt:
    """Ask for the splits that the stored bars' jumps suggest; returns the newest receipt."""
    if BarStore.of(current_home(), request.calendar).unexplained_jumps(request.ticker):
        return with_home_storage(explain_jumps, force=request.force)(bars, request.calendar, clock.now())
    return bars


def bring_history(request: NightRequest, session: date) -> int:
    """Fetch and append all sessions, if the key's plan gives them; returns how many were added."""
    ticker, calendar, now = request.ticker, request.calendar, clock.now()
    if not plan_gives_history():
        return 0
    try:
        payload = with_home_storage(fetch_history, force=request.force)(ticker, session, calendar, now)
    except BadPayload as unusable:
        get_run_logger().warning("%s", unusable)
        return 0
    if isinstance(payload, State):
        get_run_logger().warning("%s", payload.message)
        return 0
    bars = with_home_storage(append_bars, force=request.force)(payload, calendar, now)
    get_run_logger().info("%s", bars.counted)
    return bars.added


def earlier_attempts(store: BarStore, ticker: str) -> tuple[int, int, int]:
    """How often this run was begun before, not counting deaths of its process; bars added and restated by that."""
    run = _scheduled_run()
    if run is None or run.run_count < 2 or run.start_time is None:
        return 0, 0, 0
    with get_client(sync_client=True) as client:
        attempts = run.run_count - 1 - deaths(client, run.id)
    return max(attempts, 0), *store.recorded_between(ticker, run.start_time)


def wait_for(late: SessionStatus, seconds: float) -> None:
    """Wait before asking for the bar again.

    A worker's run goes back into the queue as AwaitingRetry and its process ends: raises Prefect's Pause, by which a
    run leaves without an end state (one that returns AwaitingRetry is taken for crashed), or Abort if the server stops
    the run.
    """
    run = _scheduled_run()
    if run is None:
        get_run_logger().info("%s: asking again in %.0f s", late, seconds)
        clock.wait(seconds)
        return
    due = datetime.now(UTC) + timedelta(seconds=max(seconds, SOONEST_S))
    with get_client(sync_client=True) as client:
        state = reschedule(client, run.id, due, f"{late}; asked again at {due:%Y-%m-%d %H:%M} UTC")
    raise Pause(state.message, state=state)


def _scheduled_run() -> FlowRun | None:
    """This run, if a schedule or a form began it; None if a replay's clock is frozen: waiting is no use."""
    context = FlowRunContext.get()
    run = context.flow_run if context else None
    is_own = run and run.deployment_id and run.parent_task_run_id is None
    return run if is_own and not clock.is_frozen(os.environ) else None
