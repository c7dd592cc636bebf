"""One ticker, one session: fetch, append, renormalise, decide, train, evaluate, publish, log, promote."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path
from uuid import UUID

from filelock import FileLock, Timeout
from prefect import flow
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from prefect.states import Completed, State
from prefect.utilities.urls import url_for
from pydantic import Field

from flows.form import NO_CHANGES, NO_DAY, CalendarName, Changes, Day, Retries, TickerName, WaitSeconds, chosen
from stockml import clock
from stockml.errors import BadPayload, FeedError, NightBusy, PremiumOnly, QuotaSpent, StockmlError, UnknownSymbol
from stockml.forecasts.ledger import Ledger
from stockml.home import home
from stockml.nights import states
from stockml.nights.record import Night, read_night
from stockml.nights.summary import message
from stockml.pipeline.ageing import too_old
from stockml.pipeline.ingest import at_rest, has_unexplained_jumps, needs_whole_history, set_aside_tonight
from stockml.pipeline.log import StepReceipts
from stockml.pipeline.night_key import night_key
from stockml.pipeline.session_status import (
    AtRest,
    Late,
    NoSession,
    Ordinary,
    Outcome,
    SetAsideTonight,
    Stale,
    night_outcome,
)
from stockml.prices.calendar import sessions_for
from stockml.prices.store import bar_store
from stockml.provider.turns import NextTurn
from stockml.settings import Mode, Profile, Settings, without_effect
from stockml.storage.receipts import StoreReceipt
from stockml.tickers import validated_ticker
from tasks import run_records
from tasks.artifacts import show_night
from tasks.caching import with_home_storage
from tasks.data import (
    append_bars,
    ask_who_is_delisted,
    explain_jumps,
    fetch_daily,
    import_history,
    plan_gives_history,
    renormalise,
)
from tasks.model import decide_mode, evaluate_model, train_model
from tasks.quota import come, turn_of
from tasks.results import log_run, promote, publish_forecast
from tasks.status_page import remember

BUSY_WAIT_S = 3600.0
QUOTA = states.QUOTA
STATES = {
    Late: states.LATE,
    Stale: states.STALE,
    SetAsideTonight: states.SET_ASIDE,
    AtRest: states.AT_REST,
    NextTurn: QUOTA,
    QuotaSpent: QUOTA,
}


def run_name() -> str:
    """`IBM 2013-03-01`, or with the mode when one was asked for; what cannot be read is named as it was given."""
    given = flow_run.parameters
    ticker, session, mode = (str(given.get(name) or "") for name in ("ticker", "session", "mode"))
    if not session:
        try:
            exchange = sessions_for(ticker, given.get("calendar") or None)
            session = str(exchange.last_final(clock.now()))
        except StockmlError:
            session = "newest"
    return f"{ticker} {session}" + ("" if mode == "auto" else f" {mode}")


@flow(
    name="nightly",
    flow_run_name=run_name,
    on_completion=[remember],
    on_failure=[remember],
    on_crashed=[remember],
)
def nightly(
    ticker: TickerName = Field("IBM", description="The symbol as Alpha Vantage writes it: IBM, BRK-B, TSCO.LON"),
    session: Day = Field(NO_DAY, description="The trading day, YYYY-MM-DD; empty for the newest whose bar is final"),
    mode: Mode = Field("auto", description="auto decides from facts and says why"),
    profile: Profile = Field("nightly", description="nightly, or the published tutorial recipe"),
    calendar: CalendarName = Field("", description="Exchange calendar such as XNYS; empty goes by the suffix"),
    force: bool = Field(False, description="Compute every step again instead of taking cached results"),
    late_retries: Retries = Field(3, description="How often a late bar is asked for again this night"),
    late_wait_s: WaitSeconds = Field(1200.0, description="Seconds before a late bar is asked for again"),
    settings: Changes = Field(NO_CHANGES, description="What to change in the profile; empty fields keep its values"),
) -> State:
    """Bring one ticker up to date with one session, and publish the forecast of the 50 sessions after it.

    The state carries the Night: completed, or skipped with the reason (no session, a late, stale or doubtful bar, a
    share at rest, quota).
    """
    ticker = validated_ticker(ticker)
    wanted = chosen(profile, mode, settings, ticker=ticker)
    for name in without_effect(wanted):
        get_run_logger().warning("%s acts on the tutorial profile only: the nightly network is the base's", name)
    tonight = NightRequest(ticker, wanted, calendar or None, force, late_retries, late_wait_s)
    outcome = tonight.outcome(session)
    if isinstance(outcome, NoSession):
        return skipped(states.NO_SESSION, tonight, outcome.day, outcome)
    wanted_session = outcome.session
    with exclusive_run(ticker):
        bars, found = bars_of(tonight, wanted_session)
        if bars is None or not isinstance(found, Ordinary):
            return skipped(STATES[type(found)], tonight, wanted_session, found)
        night = train_and_publish(tonight, bars)
    night = replace(night, seconds=tonight.seconds())
    show_night(night, tonight.calendar)
    return Completed(message=f"{message(night)}{tonight.aged()}", data=night)


@dataclass(frozen=True)
class NightRequest:
    """What the form asked for."""

    ticker: str
    settings: Settings
    calendar: str | None
    force: bool
    late_retries: int
    late_wait_s: float
    began: float = field(default_factory=time.monotonic)

    def seconds(self) -> float:
        """How long the night has taken so far."""
        return time.monotonic() - self.began

    def outcome(self, session: date | None, newest: date | None = None) -> Outcome:
        """What kind of night it is, by the clock; one that has its forecast already is not run again on a holiday."""
        exchange, done = sessions_for(self.ticker, self.calendar), Ledger(home().ledger).last_session(self.ticker)
        stale_after = self.settings.ageing.stale_bars
        now = clock.now()
        return night_outcome(
            exchange, requested=session, now=now, last_stored=done, newest=newest, stale_after=stale_after
        )

    def aged(self) -> str:
        """What of the ticker is too old by the settings, as the end of a state's message."""
        exchange = sessions_for(self.ticker, self.calendar)
        found = too_old(home(), self.ticker, exchange, clock.now(), self.settings.ageing)
        return "".join(f"; {each}" for each in found)


def bars_of(tonight: NightRequest, session: date) -> tuple[StoreReceipt | None, Outcome | NextTurn | QuotaSpent]:
    """What is in the store after tonight's requests, None where nothing was asked; and what kind of night it is."""
    ticker, store = tonight.ticker, bar_store(home(), tonight.ticker, tonight.calendar)
    if waits := at_rest(home(), ticker, session) or turn(tonight, session):
        return None, waits
    try:
        bars, outcome = ingest(tonight, session)
    except QuotaSpent as spent:
        return None, spent
    except UnknownSymbol:
        last = store.last_session(ticker)  # known and fell silent: no passing fault, and not misspelt
        silent = last and len(store.sessions(ticker).between(last, session)) > tonight.settings.ageing.stale_bars
        if silent and (rest := newly_at_rest(ticker, session)):
            return None, rest
        raise
    come({ticker: store.last_session(ticker)})
    return bars, (newly_at_rest(ticker, session) if isinstance(outcome, Stale) else None) or outcome


def turn(tonight: NightRequest, session: date) -> NextTurn | None:
    """None when the key's requests of today reach this ticker, else its next turn; `force` asks out of turn."""
    if tonight.force:
        return None
    store = bar_store(home(), tonight.ticker, tonight.calendar)
    last = store.last_session(tonight.ticker)
    come({tonight.ticker: last})
    return turn_of(tonight.ticker, last, session, store.sessions(tonight.ticker))


def newly_at_rest(ticker: str, session: date) -> AtRest | None:
    """Where a feed has stopped: whether the share is no longer listed, which is asked once a week for all."""
    try:
        ask_who_is_delisted(ticker, clock.now())
    except FeedError as refused:
        get_run_logger().warning("%s", refused)
    return at_rest(home(), ticker, session)


def ingest(tonight: NightRequest, session: date) -> tuple[StoreReceipt, Outcome]:
    """Fetch and append; a late bar is asked for again. Whatever came is in the store, also when the bar did not.

    The receipt counts what all of tonight's answers brought. A jump in an ordinary night is asked about as well.
    """
    lacks_history = needs_whole_history(home(), tonight.ticker, tonight.calendar, session)
    added, restated = bring_history(tonight, session) if lacks_history else 0, 0
    for attempt in range(tonight.late_retries + 1):
        now = clock.now()
        force = tonight.force or attempt > 0
        payload = with_home_storage(fetch_daily, force=force)(tonight.ticker, session, tonight.calendar, now)
        bars = with_home_storage(append_bars, force=force)(payload, tonight.calendar, now)
        added, restated = added + bars.added, restated + bars.restated
        outcome = tonight.outcome(session, newest=payload.newest)
        if not isinstance(outcome, Late) or attempt == tonight.late_retries:
            break
        get_run_logger().info("%s: asking again in %.0f s", outcome, tonight.late_wait_s)
        clock.wait(tonight.late_wait_s)
    get_run_logger().info("%s", bars.counted)
    bars = replace(bars, added=added, restated=restated)
    if not isinstance(outcome, Ordinary):
        return bars, outcome
    bars = explained(tonight, bars)
    if lacks_history and not plan_gives_history():
        get_run_logger().info("%s", import_history(tonight.ticker, tonight.calendar, clock.now()))
    return bars, set_aside_tonight(home(), bars, tonight.calendar) or outcome


def explained(tonight: NightRequest, bars: StoreReceipt) -> StoreReceipt:
    """The bars, after the provider was asked for the splits where a jump looks like one."""
    if not has_unexplained_jumps(home(), tonight.ticker, tonight.calendar):
        return bars
    return with_home_storage(explain_jumps, force=tonight.force)(bars, tonight.calendar, clock.now())


def bring_history(tonight: NightRequest, session: date) -> int:
    """All sessions, where the key's plan gives them; how many were added."""
    ticker, calendar, now = tonight.ticker, tonight.calendar, clock.now()
    if plan_gives_history():
        try:
            everything = with_home_storage(fetch_daily)(ticker, session, calendar, now, outputsize="full")
        except (PremiumOnly, BadPayload) as refused:
            get_run_logger().warning("%s", refused)
            return 0
        return int(with_home_storage(append_bars)(everything, calendar, now).added)
    return 0


def train_and_publish(tonight: NightRequest, bars: StoreReceipt) -> Night:
    """From the store to the ledger, which has the forecast before MLflow is told of it."""
    now, force, calendar, settings = clock.now(), tonight.force, tonight.calendar, tonight.settings
    dataset = with_home_storage(renormalise, force=force)(bars, calendar)
    decision = with_home_storage(decide_mode, force=force)(dataset, settings)
    get_run_logger().info("%s: %s", decision.mode, decision.reason)
    model = with_home_storage(train_model, force=force)(dataset, decision, settings)
    upcoming = sessions_for(tonight.ticker, calendar).after(bars.session, settings.evaluation.horizon)
    evaluation = with_home_storage(evaluate_model, force=force)(dataset, decision, model, settings.evaluation, upcoming)
    key = night_key(dataset, settings)
    with_home_storage(publish_forecast, force=force)(evaluation, key, clock.now())
    done = StepReceipts(bars, dataset, model, evaluation, settings)
    page = url_for("flow-run", obj_id=flow_run.id)
    run = with_home_storage(log_run, force=force)(done, datetime.now(UTC), tonight.seconds(), page)
    with_home_storage(promote, force=force)(model, run, now)
    return read_night(Path(run.path))


@contextmanager
def exclusive_run(ticker: str) -> Iterator[None]:
    """One run of a ticker at a time on this machine; a second waits and says so. Raises NightBusy.

    Earlier runs that were killed at their work are ended on the server.
    """
    run_records.sign(UUID(flow_run.id))
    home().locks.mkdir(parents=True, exist_ok=True)
    lock = FileLock(home().locks / f"{ticker}.night.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        get_run_logger().info("another run of %s is at work; waiting for it", ticker)
        try:
            lock.acquire(timeout=BUSY_WAIT_S)
        except Timeout:
            raise NightBusy(ticker, BUSY_WAIT_S) from None
    try:
        run_records.end_killed(ticker)
        yield
    finally:
        lock.release()


def skipped(name: str, tonight: NightRequest, session: date, why: object) -> State:
    """A completed state that says why nothing was done."""
    told = f"{why}{tonight.aged()}"
    night = Night.skipped(tonight.ticker, session, told, datetime.now(UTC), tonight.settings.sha256())
    get_run_logger().info("%s: %s", name.lower(), told)
    return Completed(name=name, message=told, data=night)
