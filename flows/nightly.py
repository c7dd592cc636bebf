"""One ticker, one session: fetch, append, renormalise, decide, train, evaluate, publish, log, promote."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from prefect import flow
from prefect.filesystems import LocalFileSystem
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from prefect.states import Completed, State

from flows import form
from flows.tonight import NightRequest, bars_of
from stockml import clock
from stockml.errors import NightBusy, StockmlError, StoreBusy
from stockml.home import current_home
from stockml.nights.record import Night, read_night
from stockml.nights.summary import message
from stockml.pipeline.dataset import side_inputs_sha256
from stockml.pipeline.finished_nights import keep_finished
from stockml.pipeline.log import StepReceipts
from stockml.pipeline.night_key import night_key
from stockml.pipeline.session_status import SessionStatus
from stockml.prices.calendar import sessions_for
from stockml.settings import Mode, Profile, without_effect
from stockml.storage import sharing
from stockml.storage.receipts import StoreReceipt
from stockml.tickers import validated_ticker
from tasks import lost_runs, run_records
from tasks.artifacts import prefect_page, show_night
from tasks.caching import keep_code_version, with_home_storage
from tasks.status_page import remember
from tasks.steps import decide_mode, evaluate_model, log_run, promote, publish_forecast, renormalise, train_model

BUSY_WAIT_S = 3600.0


def run_name() -> str:
    """`IBM 2013-03-01`, with the mode if one was asked for; parameters that cannot be read are named as given."""
    given = flow_run.parameters
    ticker, session, mode = (str(given.get(name) or "") for name in ("ticker", "session", "mode"))
    if not session:
        try:
            session = str(sessions_for(ticker, given.get("calendar") or None).last_final(clock.now()))
        except StockmlError:
            session = "newest"
    return f"{ticker} {session}" + ("" if mode == "auto" else f" {mode}")


@flow(
    name="nightly",
    flow_run_name=run_name,
    persist_result=False,  # its steps keep theirs
    on_completion=[remember],
    on_failure=[remember],
    on_crashed=[remember],
    on_cancellation=[remember],
)
def nightly(
    ticker: form.TickerName = form.TICKER,
    session: form.Day = form.SESSION,
    mode: Mode = form.MODE,
    profile: Profile = form.PROFILE,
    calendar: form.CalendarName = form.CALENDAR,
    force: bool = form.FORCE,
    late_retries: form.Retries = form.LATE_RETRIES,
    late_wait_s: form.WaitSeconds = form.LATE_WAIT_S,
    settings: form.Changes = form.SETTINGS,
) -> State:
    """Bring one ticker up to date with one session, and publish the forecast of the 50 sessions after it.

    The state carries the Night: completed, or skipped with the reason (no session, a late, stale or doubtful bar, a
    share at rest, quota).
    """
    run_records.drop_related_resources()
    ticker = validated_ticker(ticker)
    sharing.refresh(current_home(), [ticker])
    wanted = form.chosen(profile, mode, settings, ticker=ticker)
    for name in without_effect(wanted):
        get_run_logger().warning("%s acts on the tutorial profile only: the nightly network is the base's", name)
    tonight = NightRequest(ticker, wanted, calendar or None, force, late_retries, late_wait_s)
    outcome = tonight.outcome(session)
    if outcome.state:
        return skipped(tonight, outcome)
    session = outcome.session
    keep_code_version()  # the night may wait for hours, for another of its ticker or for a late bar
    with exclusive_run(ticker):
        found = bars_of(tonight, session)
        sharing.commit(current_home(), ticker)
        if isinstance(found, SessionStatus):
            return skipped(tonight, found)
        night = train_and_publish(tonight, found)
    night = replace(night, seconds=tonight.seconds())
    show_night(night)
    return Completed(message=f"{message(night)}{tonight.aged()}", data=night)


class Nowhere(LocalFileSystem):
    """Storage that keeps no failure: the run's state tells it."""

    _block_type_slug = "nowhere"

    async def awrite_path(self, path: str, content: bytes) -> str:
        return path


nightly.result_storage = Nowhere(basepath=os.devnull)  # or Prefect asks its server for one, twice per run


def train_and_publish(tonight: NightRequest, bars: StoreReceipt) -> Night:
    """Run a night from the store on; the ledger has its forecast before MLflow is told of it."""
    now, force, calendar, settings = clock.now(), tonight.force, tonight.calendar, tonight.settings
    beside = side_inputs_sha256(current_home(), bars.ticker, bars.session)
    dataset = with_home_storage(renormalise, force=force)(bars, calendar, beside)
    decision = with_home_storage(decide_mode, force=force)(dataset, settings)
    get_run_logger().info("%s: %s", decision.mode, decision.reason)
    model = with_home_storage(train_model, force=force)(dataset, decision, settings)
    upcoming = sessions_for(tonight.ticker, calendar).after(bars.session, settings.evaluation.horizon)
    evaluation = with_home_storage(evaluate_model, force=force)(dataset, decision, model, settings.evaluation, upcoming)
    key = night_key(dataset, settings)
    published = with_home_storage(publish_forecast, force=force)(evaluation, key, clock.now())
    sharing.commit(current_home(), tonight.ticker)
    done = StepReceipts(bars, dataset, model, evaluation, settings, key)
    page = prefect_page(UUID(flow_run.id))
    run = with_home_storage(log_run, force=force)(done, datetime.now(UTC), tonight.seconds(), page)
    promotion = with_home_storage(promote, force=force)(model, run, now)
    left = (bars, dataset, decision, model, evaluation, published, promotion)
    keep_finished(current_home(), bars.session, settings, calendar, run, left)
    return read_night(Path(run.path))


@contextmanager
def exclusive_run(ticker: str) -> Iterator[None]:
    """Let one run of a ticker at a time work, on all machines that share its state; a second waits and says so.

    Earlier runs that were killed at work are ended on the server. Raises NightBusy, and StoreBusy if another machine
    committed the state meanwhile.
    """
    run_records.record_process(UUID(flow_run.id))
    with ExitStack() as held:
        try:
            held.enter_context(sharing.ticker_lock(current_home(), ticker, 0))
        except StoreBusy as busy:
            get_run_logger().info("another run of %s is at work; waiting for it (%s)", ticker, busy.why)
            try:
                held.enter_context(sharing.ticker_lock(current_home(), ticker, BUSY_WAIT_S))
            except StoreBusy:
                raise NightBusy(ticker, BUSY_WAIT_S) from None
        lost_runs.end_killed(ticker)
        yield


def skipped(tonight: NightRequest, outcome: SessionStatus) -> State:
    told, state = f"{outcome}{tonight.aged()}", str(outcome.state)
    night = Night.skipped(tonight.ticker, outcome.session, told, datetime.now(UTC), tonight.settings.sha256())
    get_run_logger().info("%s: %s", state.lower(), told)
    return Completed(name=state, message=told, data=night)
