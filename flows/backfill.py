"""The past of one ticker: its history, and past nights in order, each as on its own day.

A night sees only bars up to its session (restated values as they are known today). The provider is
asked for the range at once, and not at all when the store has it.
"""

from datetime import date, datetime
from typing import Literal

from prefect import flow
from prefect.logging import get_run_logger
from prefect.states import Completed, State
from pydantic import Field

from flows import form
from flows.nightly import exclusive_run, skipped, train_and_publish
from flows.tonight import NightRequest, ask_about_jumps, bring_history
from stockml import clock
from stockml.errors import QuotaSpent
from stockml.home import current_home
from stockml.nights import states
from stockml.nights.ingest import as_stored, without_bar
from stockml.nights.session_status import SessionStatus, past_sessions
from stockml.nights.summary import message
from stockml.prices.calendar import sessions_for
from stockml.prices.store import BarStore
from stockml.settings import Mode, Profile
from stockml.tickers import as_key, validated_ticker, without_ticker
from tasks.artifacts import (
    final_state,
    night_callback,
    row_of,
    show_night,
    show_nights,
    show_status,
)
from tasks.provider import history_is_elsewhere
from tasks.run_records import failing_in_words
from tasks.steps import append_bars, explain_jumps, fetch_daily, import_history, with_home_storage


@flow(name="history", flow_run_name="history {ticker}")
@failing_in_words
def history(ticker: str = form.TICKER, calendar: form.CalendarName = form.CALENDAR) -> State:
    """Fetch and store the whole raw history, and ask for the splits that its jumps suggest.

    If the plan lacks it and the second provider has a key: the newest sessions, and the rest from
    that provider. The state carries the StoreReceipt, and in words the second provider's result.
    """
    ticker, now, calendar_name = validated_ticker(ticker), clock.now(), calendar or None
    last = sessions_for(ticker, calendar_name).last_final(now)
    elsewhere = history_is_elsewhere()
    with exclusive_run(ticker):
        payload = with_home_storage(fetch_daily)(
            ticker, last, calendar_name, now, "compact" if elsewhere else "full"
        )
        bars = with_home_storage(append_bars)(payload, calendar_name, now)
        bars = with_home_storage(explain_jumps)(bars, calendar_name, now)
        import_message = import_history(ticker, calendar_name, now) if elsewhere else ""
    return Completed(
        message="; ".join(filter(None, (bars.counted, import_message))), data=(bars, import_message)
    )


@flow(name="backfill", flow_run_name="backfill {ticker} {first} to {last}")
@failing_in_words
def backfill(
    ticker: str = form.TICKER,
    first: form.Day = Field(description="The first past trading day, YYYY-MM-DD"),
    last: form.Day = Field(
        description="The last one, YYYY-MM-DD; at most 1,000 sessions, all of them over"
    ),
    learn: Literal["once at the end", "every night"] = Field(
        "once at the end",
        description="Train once, for the last session; or for every session in turn, where one "
        "that is older than the champion may not know it and trains from scratch",
    ),
    mode: Mode = form.MODE,
    profile: Profile = form.PROFILE,
    calendar: form.CalendarName = form.CALENDAR,
    force: bool = form.FORCE,
    settings: form.Changes = form.SETTINGS,
) -> State:
    """Bring the range's bars into the store, then learn and publish its nights from the oldest to
    the newest.

    A night that fails leaves the others alone; if all fail, the run does. The state carries a
    NightRow per night.
    """
    ticker, now, calendar_name = validated_ticker(ticker), clock.now(), calendar or None
    sessions = past_sessions(
        sessions_for(ticker, calendar_name), form.day(first), form.day(last), now
    )
    request = NightRequest(
        ticker, form.chosen(profile, mode, settings, ticker=ticker), calendar_name, force
    )
    try:
        with exclusive_run(ticker):
            missing = fetch_missing(request, sessions, now)
    except QuotaSpent as spent:
        return Completed(name=states.QUOTA, message=without_ticker(ticker, str(spent)), data=[])
    nights = sessions if learn == "every night" else sessions[-1:]
    rows, on_night = [], night_callback(f"backfill-{as_key(ticker)}", len(nights))
    for session in nights:
        # it measures the time from now on
        past_request = NightRequest(ticker, request.settings, calendar_name, force)
        state = past_night(
            ticker, session, past_request, has_bar=session not in missing, return_state=True
        )
        rows.append(row_of(ticker, session, state))
        on_night()
    show_nights(rows, f"backfill-{as_key(ticker)}", f"{ticker} {first} to {last}")
    show_status()
    return final_state(rows)


@flow(name="past night", flow_run_name="{ticker} {session}")
@failing_in_words
def past_night(ticker: str, session: date, tonight: NightRequest, *, has_bar: bool) -> State:
    """Run one night from what the store has, as `nightly` does once its bars have been fetched.

    ticker: that of `tonight`, by which a run that was killed is found among Prefect's and ended.
    """
    if not has_bar:
        missing = SessionStatus(
            session, "the store has no bar of this session that is believed", states.NO_BAR
        )
        return skipped(tonight, missing)
    with exclusive_run(ticker):
        night = train_and_publish(tonight, as_stored(current_home(), ticker, session))
    show_night(night)
    return Completed(message=message(night), data=night)


def fetch_missing(
    request: NightRequest, sessions: tuple[date, ...], now: datetime
) -> tuple[date, ...]:
    """Fetch missing bars of `sessions`: the newest 100, or all if those do not suffice and the plan
    allows it.

    For a new ticker, fetch all, as its first night does. Returns those still without a bar. Raises
    QuotaSpent.
    """
    ticker, calendar, force = request.ticker, request.calendar, request.force
    if not without_bar(current_home(), ticker, sessions, calendar):
        return ()
    store = BarStore.of(current_home(), calendar)
    is_new = store.last_session(ticker) is None
    if not (is_new and bring_history(request, sessions[-1])):
        payload = with_home_storage(fetch_daily, force=force)(ticker, sessions[-1], calendar, now)
        bars = with_home_storage(append_bars, force=force)(payload, calendar, now)
        get_run_logger().info("%s", bars.counted)
        if without_bar(current_home(), ticker, sessions, calendar):
            bring_history(request, sessions[-1])
    ask_about_jumps(request, as_stored(current_home(), ticker, sessions[-1]))
    if is_new and history_is_elsewhere():
        get_run_logger().info("%s", import_history(ticker, calendar, now))
    return without_bar(current_home(), ticker, sessions, calendar)
