"""One ticker, one session: fetch, append, renormalise, decide, train, evaluate, publish, log,
promote."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from prefect import flow
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from prefect.states import Completed, State

from flows import form
from flows.tonight import NightRequest, bars_of
from stockml import clock
from stockml.errors import NightBusy, StockmlError, StoreBusy
from stockml.forecasts.forecast import SUPERSEDED
from stockml.home import current_home
from stockml.nights import states
from stockml.nights.dataset import side_inputs_sha256
from stockml.nights.finished_nights import keep_finished, request_sha256
from stockml.nights.key_figures import night_age
from stockml.nights.night_key import night_key
from stockml.nights.record import Night, read_night
from stockml.nights.session_status import SessionStatus
from stockml.nights.summary import message
from stockml.prices.calendar import sessions_for
from stockml.settings import Mode, Profile
from stockml.storage.locks import ticker_lock
from stockml.storage.receipts import StoreReceipt
from stockml.tickers import validated_ticker
from stockml.tracking.night_log import StepReceipts
from tasks import events
from tasks.artifacts import prefect_page, record_end, show_night
from tasks.run_records import MAY_COME, failing_in_words, run_again
from tasks.steps import (
    decide_mode,
    evaluate_model,
    keep_code_version,
    log_run,
    promote,
    publish_forecast,
    renormalise,
    train_model,
    with_home_storage,
)

BUSY_WAIT_S = 3600.0


def run_name() -> str:
    """`IBM 2013-03-01`, with the mode if one was asked for; unreadable parameters are shown
    unchanged."""
    parameters = flow_run.parameters
    ticker, session, mode = (
        str(parameters.get(name) or "") for name in ("ticker", "session", "mode")
    )
    if not session:
        try:
            session = str(
                sessions_for(ticker, parameters.get("calendar") or None).last_final(clock.now())
            )
        except StockmlError:
            session = "newest"
    return f"{ticker.upper()} {session}" + ("" if mode == "auto" else f" {mode}")


@flow(
    name="nightly",
    flow_run_name=run_name,
    persist_result=False,  # its steps keep theirs
    on_completion=[record_end],
    on_failure=[record_end],
    on_crashed=[record_end],
    on_cancellation=[record_end],
)
@failing_in_words
def nightly(
    ticker: str = form.TICKER,
    session: form.Day = form.SESSION,
    mode: Mode = form.MODE,
    profile: Profile = form.PROFILE,
    calendar: form.CalendarName = form.CALENDAR,
    force: bool = form.FORCE,
    late_retries: form.Retries = form.LATE_RETRIES,
    settings: form.Changes = form.SETTINGS,
) -> State:
    """Bring one ticker up to date with one session, and publish the forecast of the 50 sessions
    after it.

    The state carries the Night: completed, or skipped with the reason (no session, a late, stale or
    suspect bar, a delisted share, quota, no answer), or Waiting where another run of the deployment
    asks again.
    """
    ticker = validated_ticker(ticker)
    night_settings = form.chosen(profile, mode, settings, ticker=ticker)
    request = NightRequest(ticker, night_settings, calendar or None, force)
    status = request.status(form.day_or_none(session))
    if status.state:
        return skipped(request, status)
    day = status.session
    keep_code_version()  # the night may wait for hours, for another of its ticker or for a late bar
    with exclusive_run(ticker):
        bars = bars_of(request, day)
        if isinstance(bars, SessionStatus):
            return skipped(request, waiting_if_run_again(bars, late_retries))
        published = events.published_before(ticker)
        night = train_and_publish(request, bars)
    events.tell_of_night(night, published)
    night = replace(night, seconds=request.seconds())
    show_night(night)
    age = night_age(current_home().nights, night, clock.now())
    later = f"; {SUPERSEDED}" if age and age.superseded else ""
    return Completed(message=f"{message(night, age)}{later}{request.age_notes()}", data=night)


def waiting_if_run_again(status: SessionStatus, retries: int) -> SessionStatus:
    """The status as Waiting where another run of the deployment asks again for what may come within
    hours."""
    may_come = status.state in MAY_COME
    when = run_again(retries, session=str(status.session)) if may_come else None
    if when is None:
        return status
    return SessionStatus(status.session, f"{status}; {when}", states.WAITING)


def train_and_publish(request: NightRequest, bars: StoreReceipt) -> Night:
    """Run a night from the stored bars on; the ledger gets its forecast before MLflow."""
    now, force, calendar, settings = clock.now(), request.force, request.calendar, request.settings
    beside = side_inputs_sha256(current_home(), bars.ticker, bars.session)
    asked = request_sha256(bars.ticker, bars.session, settings, calendar, beside)
    dataset = with_home_storage(renormalise, force=force)(bars, calendar, beside)
    decision = with_home_storage(decide_mode, force=force)(dataset, settings)
    get_run_logger().info("%s: %s", decision.mode, decision.reason)
    model = with_home_storage(train_model, force=force)(dataset, decision, settings)
    upcoming = sessions_for(request.ticker, calendar).after(
        bars.session, settings.evaluation.horizon
    )
    evaluation = with_home_storage(evaluate_model, force=force)(
        dataset, decision, model, settings.evaluation, upcoming
    )
    key = night_key(dataset, settings)
    published = with_home_storage(publish_forecast, force=force)(evaluation, key, clock.now())
    done = StepReceipts(bars, dataset, model, evaluation, settings, key)
    logged_at, seconds = datetime.now(UTC), request.seconds()
    run = with_home_storage(log_run, force=force)(done, logged_at, seconds, prefect_page())
    promotion = with_home_storage(promote, force=force)(model, run, now)
    receipts = (bars, dataset, decision, model, evaluation, published, promotion)
    keep_finished(current_home(), asked, run, receipts)
    return read_night(Path(run.path))


@contextmanager
def exclusive_run(ticker: str) -> Iterator[None]:
    """Let one run of a ticker at a time work; a second waits and says so.

    Raises NightBusy, and StoreBusy if another machine committed the state meanwhile.
    """
    with ExitStack() as locks:
        try:
            locks.enter_context(ticker_lock(current_home(), ticker, 0))
        except StoreBusy as busy:
            get_run_logger().info(
                "another run of %s is at work; waiting for it (%s)", ticker, busy.why
            )
            try:
                locks.enter_context(ticker_lock(current_home(), ticker, BUSY_WAIT_S))
            except StoreBusy:
                raise NightBusy(ticker, BUSY_WAIT_S) from None
        yield


def skipped(request: NightRequest, status: SessionStatus) -> State:
    reason, state = f"{status}{request.age_notes()}", str(status.state)
    night = Night.skipped(
        request.ticker, status.session, reason, datetime.now(UTC), request.settings.sha256()
    )
    get_run_logger().info("%s: %s", state.lower(), reason)
    if state != states.WAITING:
        events.tell_of_skipped(night, state)
    return Completed(name=state, message=reason, data=night)
