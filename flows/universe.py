"""Many tickers in one run: each night in a warm worker process; one failure stops no other."""

import os
from contextlib import closing
from typing import Annotated, Any
from uuid import UUID

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from prefect.states import Failed, State
from pydantic import Field

from flows import form
from flows.nightly import nightly
from stockml.errors import quantity
from stockml.home import current_home
from stockml.nights.universe import NightRow, write_csv
from stockml.settings import FailWhen, Mode, Profile
from stockml.tickers import validated_ticker
from tasks.artifacts import (
    final_state,
    night_callback,
    row_of,
    show_nights,
    show_status,
    warned_if_refused,
)
from tasks.provider import stalest_of
from tasks.run_records import MAY_COME, end_children, failing_in_words, run_again
from tasks.task_pool import at_dask, ends_of, in_processes, one_of_many

Tickers = Annotated[list[str], Field(min_length=1, max_length=2_000)]


def run_name() -> str:
    return f"universe of {flow_run.parameters.get('session') or 'the newest session'}"


@flow(name="universe", flow_run_name=run_name)
@failing_in_words
def universe(
    tickers: Tickers = Field(description="The symbols as Alpha Vantage writes them"),
    session: form.Day = form.SESSION,
    mode: Mode = form.MODE,
    profile: Profile = Field(
        "nightly", description="tutorial for all; nightly leaves each ticker its own choice"
    ),
    calendar: form.CalendarName = form.CALENDAR_OF_ALL,
    force: bool = form.FORCE,
    late_retries: form.Retries = form.LATE_RETRIES,
    processes: form.AtATime = form.PROCESSES,
    dask_address: str = form.DASK_ADDRESS,
    fail_when: FailWhen = Field("all fail", description="When the whole run counts as failed"),
    settings: form.Changes = form.SETTINGS_OF_ALL,
    choices: dict[str, dict[str, Any]] = form.CHOICES,
) -> State:
    """Bring every ticker up to date, those that waited longest first, as far as the day's quota
    allows.

    What is late or unanswered is asked again by another run of the deployment, of these tickers
    only. Ends Failed if all failed (or as `fail_when` says), else Completed with the failures
    listed. All nights are in one table on the run's page and in STOCKML_HOME/universe/SESSION.csv.
    The state carries a NightRow per ticker.
    """
    form.chosen(profile, mode, settings)
    asked = form.day_or_none(session)
    # a wait is this run's, which then holds no process
    common: dict[str, Any] = {"session": asked or "", "mode": mode, "force": force}
    common["late_retries"] = 0
    changes = (profile if profile != "nightly" else None, calendar, settings)
    own_choices = {validated_ticker(ticker): choice for ticker, choice in choices.items()}
    parameters = {
        ticker: common | form.of_ticker(own_choices.get(ticker, {}), *changes)
        for ticker in map(validated_ticker, tickers)
    }
    home = current_home()
    nights = {
        ticker: {"ticker": ticker, "parameters": parameters[ticker], "home": str(home.root)}
        for ticker in stalest_of({ticker: each["calendar"] for ticker, each in parameters.items()})
    }
    address = dask_address or os.environ.get("STOCKML_DASK_ADDRESS", "")
    workers = at_dask(address) if address else in_processes()
    rows, on_night = list[NightRow](), night_callback("universe", len(nights))
    try:
        with closing(ends_of(night_of, nights, workers, min(processes, len(nights)))) as ends:
            for ticker, state in ends:
                on_night()
                rows.append(row_of(ticker, asked, state))
                get_run_logger().info("%s", rows[-1])
    finally:
        with warned_if_refused():
            end_children(UUID(flow_run.id))
    title = f"{quantity(len(rows), 'ticker')}, {asked or 'the newest session'}"
    show_nights(rows, "universe", title)
    show_status()
    waiting = [row.ticker for row in rows if row.outcome in MAY_COME]
    when = run_again(late_retries, tickers=waiting) if waiting else None
    write_csv(home, rows)
    asked_again = f"; {quantity(len(waiting), 'ticker')} {when}" if when else ""
    return final_state(rows, fail_when, asked_again)


@task(name="night", task_run_name="night {ticker}", cache_policy=NO_CACHE, persist_result=False)
def night_of(ticker: str, parameters: dict[str, Any], home: str) -> NightRow | State:
    """One ticker's nightly run, within a worker: its row, in a state Failed if it failed. Raises no
    error.

    An error that cannot be unpickled, such as httpx's, would look like a worker that died.  home:
    the run's.
    """
    try:
        with one_of_many(home):
            state: State = nightly(ticker, **parameters, return_state=True)
    except Exception as error:  # noqa: BLE001 - it is in the row
        state = Failed(data=error)
    row = row_of(ticker, parameters["session"] or None, state)
    return Failed(message=row.why, data=row) if row.status == "failed" else row
