"""What one night was asked for, and how its bars come: turns, fetching, and what kind of night it is.

A late bar is waited for in Prefect's schedule where a worker's slot is at stake, otherwise in the process.
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
from stockml.forecasts.ledger import Ledger
from stockml.home import current_home
from stockml.nights import states
from stockml.nights.status import too_old
from stockml.pipeline.ingest import delisted_status, needs_whole_history, set_aside_tonight
from stockml.pipeline.session_status import SessionStatus, session_status
from stockml.prices.calendar import sessions_for
from stockml.prices.store import BarStore
from stockml.provider.turns import NextTurn
from stockml.settings import Settings
from stockml.storage.receipts import StoreReceipt
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

    def outcome(self, session: date | None, newest: date | None = None) -> SessionStatus:
        """What kind of night it is, by the clock; on a holiday, one that has its forecast already is not run again."""
        exchange, done = (
            sessions_for(self.ticker, self.calendar),
            Ledger(current_home().ledger).last_session(self.ticker),
        )
        stale_after = self.settings.ageing.stale_bars
        now = clock.now()
        return session_status(
            exchange, requested=session, now=now, last_stored=done, newest=newest, stale_after=stale_after
        )

    def aged(self) -> str:
        """What is too old by the settings (forecast, champion), as the end of a state's message."""
        exchange = sessions_for(self.ticker, self.calendar)
        found = too_old(current_home(), self.ticker, exchange, clock.now(), self.settings.ageing)
        return "".join(f"; {each}" for each in found)


def bars_of(tonight: NightRequest, session: date) -> StoreReceipt | SessionStatus:
    """The store's receipt after tonight's requests, or the kind of night if nothing more is to be done."""
    ticker, store = tonight.ticker, BarStore.of(current_home(), tonight.calendar)
    if delisted_status(current_home(), ticker, session) and (rest := check_delisted(ticker, session)):
        return rest
    if later := turn(tonight, session):
        return SessionStatus(session, str(later), states.QUOTA)
    try:
        bars, outcome = ingest(tonight, session)
    except QuotaSpent as spent:
        return SessionStatus(session, without_ticker(ticker, str(spent)), states.QUOTA)
    except UnknownSymbol:
        last = store.last_session(ticker)  # known and fell silent: no passing fault, and not misspelt
        silent = last and len(store.sessions(ticker).between(last, session)) > tonight.settings.ageing.stale_bars
        if silent and (rest := check_delisted(ticker, session)):
            return rest
        raise
    finally:
        join_turns({ticker: store.last_session(ticker)})
    if outcome.state is None:
        return bars
    return (check_delisted(ticker, session) if outcome.state == states.STALE else None) or outcome


def turn(tonight: NightRequest, session: date) -> NextTurn | None:
    """None if today's requests of the key reach this ticker, else its next turn; `force` asks out of turn."""
    if tonight.force:
        return None
    store = BarStore.of(current_home(), tonight.calendar)
    last = store.last_session(tonight.ticker)
    join_turns({tonight.ticker: last})
    later = turn_of(tonight.ticker, session, store.sessions(tonight.ticker))
    if later is None:
        join_turns({tonight.ticker: max(session, last or session)})  # its request is counted, not its turn too
    return later


def check_delisted(ticker: str, session: date) -> SessionStatus | None:
    """The outcome if the share is delisted, which is asked once a week for all, as one may be listed again; or None."""
    try:
        ask_who_is_delisted(ticker, clock.now())
    except FeedError as refused:
        get_run_logger().warning("%s", refused)
    return delisted_status(current_home(), ticker, session)


def ingest(tonight: NightRequest, session: date) -> tuple[StoreReceipt, SessionStatus]:
    """Fetch and append, asking again for a late bar; whatever came is in the store, even if that bar did not.

    The receipt counts what all of tonight's answers brought. In an ordinary night, jumps are asked about as well.
    """
    attempts, added, restated = earlier_attempts(BarStore.of(current_home(), tonight.calendar), tonight.ticker)
    lacks_history = needs_whole_history(current_home(), tonight.ticker, tonight.calendar, session)
    added += bring_history(tonight, session) if lacks_history else 0
    for attempt in range(min(attempts, tonight.late_retries), tonight.late_retries + 1):
        now = clock.now()
        force = tonight.force or attempt > 0
        payload = with_home_storage(fetch_daily, force=force)(tonight.ticker, session, tonight.calendar, now)
        bars = with_home_storage(append_bars, force=force)(payload, tonight.calendar, now)
        added, restated = added + bars.added, restated + bars.restated
        if lacks_history and attempt == 0 and history_is_elsewhere():  # later ones may find these bars, and no lack
            bars = explained(tonight, bars)
            get_run_logger().info("%s", import_history(tonight.ticker, tonight.calendar, now))
        outcome = tonight.outcome(session, newest=payload.newest)
        if outcome.state != states.LATE or attempt == tonight.late_retries:
            break
        wait_for(outcome, tonight.late_wait_s)
    get_run_logger().info("%s", bars.counted)
    bars = replace(bars, added=added, restated=restated)
    if outcome.state:
        return bars, outcome
    bars = explained(tonight, bars)
    return bars, set_aside_tonight(current_home(), bars, tonight.calendar) or outcome


def explained(tonight: NightRequest, bars: StoreReceipt) -> StoreReceipt:
    """Ask for the splits that the stored bars' jumps suggest, if any; returns the receipt."""
    if BarStore.of(current_home(), tonight.calendar).unexplained_jumps(tonight.ticker):
        return with_home_storage(explain_jumps, force=tonight.force)(bars, tonight.calendar, clock.now())
    return bars


def bring_history(tonight: NightRequest, session: date) -> int:
    """Fetch and append all sessions, if the key's plan gives them; returns how many were added."""
    ticker, calendar, now = tonight.ticker, tonight.calendar, clock.now()
    if not plan_gives_history():
        return 0
    try:
        everything = with_home_storage(fetch_history, force=tonight.force)(ticker, session, calendar, now)
    except BadPayload as unusable:
        get_run_logger().warning("%s", unusable)
        return 0
    if isinstance(everything, State):
        get_run_logger().warning("%s", everything.message)
        return 0
    bars = with_home_storage(append_bars, force=tonight.force)(everything, calendar, now)
    get_run_logger().info("%s", bars.counted)
    return bars.added


def earlier_attempts(store: BarStore, ticker: str) -> tuple[int, int, int]:
    """How often this run was taken up before, not counting after a process that died; what that added and restated."""
    run = _scheduled_run()
    if run is None or run.run_count < 2 or run.start_time is None:
        return 0, 0, 0
    with get_client(sync_client=True) as client:
        attempts = run.run_count - 1 - deaths(client, run.id)
    return max(attempts, 0), *store.recorded_between(ticker, run.start_time)


def wait_for(late: SessionStatus, seconds: float) -> None:
    """Let the seconds pass before the bar is asked for again.

    A worker's run goes back into the queue as AwaitingRetry and its process ends: raises Prefect's Pause, with which a
    run leaves without an end state (one that returns AwaitingRetry is taken for crashed), or Abort if the server does
    not want it to go on.
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
    """This run, if a schedule or a form began it; None if a replay's clock is frozen, as there is no later."""
    context = FlowRunContext.get()
    run = context.flow_run if context else None
    is_own = run and run.deployment_id and run.parent_task_run_id is None
    return run if is_own and not clock.is_frozen(os.environ) else None
