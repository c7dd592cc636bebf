"""Many tickers in one run: each night in a warm worker process; one failure stops no other."""

import gc
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import date
from typing import Annotated, Any
from uuid import UUID

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.exceptions import TerminationSignal
from prefect.futures import as_completed
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from prefect.states import Cancelled, Crashed, Failed, State
from prefect.transactions import CommitMode, transaction
from pydantic import Field

from flows import form
from flows.nightly import nightly
from stockml.errors import StoreError, quantity
from stockml.home import current_home
from stockml.nights.universe import NightRow, write_csv
from stockml.prices.store import BarStore
from stockml.provider.turns import stalest_first
from stockml.settings import FailWhen, Mode, Profile
from stockml.tickers import validated_ticker
from tasks.artifacts import final_state, night_callback, row_of, show_nights, warned_if_refused
from tasks.provider import join_turns
from tasks.run_records import end_children, run_on_page
from tasks.status_page import show_status

Tickers = Annotated[list[form.TickerName], Field(min_length=1, max_length=2_000)]
Gibibytes = Annotated[float, Field(ge=1, le=256)]


def run_name() -> str:
    return f"universe of {flow_run.parameters.get('session') or 'the newest session'}"


@flow(name="universe", flow_run_name=run_name)
def universe(
    tickers: Tickers = Field(description="The symbols as Alpha Vantage writes them"),
    session: form.Day = form.SESSION,
    mode: Mode = form.MODE,
    profile: Profile = Field("nightly", description="tutorial for all; nightly leaves each ticker its own choice"),
    calendar: form.CalendarName = Field(
        "", description="Exchange calendar of all; empty goes by choices, then the suffix"
    ),
    force: bool = form.FORCE,
    late_retries: form.Retries = form.LATE_RETRIES,
    late_wait_s: form.WaitSeconds = form.LATE_WAIT_S,
    processes: Annotated[int, Field(ge=1, le=64)] = Field(2, description="Worker processes on this machine (1 to 64)"),
    memory_gb: Gibibytes = Field(3.0, description="A worker process above this many GiB is replaced (1 to 256)"),
    dask_address: str = Field(
        "", description="A running Dask scheduler, tcp://host:8786; empty for STOCKML_DASK_ADDRESS or local processes"
    ),
    fail_when: FailWhen = Field("all fail", description="When the whole run counts as failed"),
    settings: form.Changes = Field(
        form.NO_CHANGES, description="What to change for all; empty fields keep each ticker's values"
    ),
    choices: dict[str, form.Choices] = Field(
        {}, description="Per ticker: the profile, calendar and settings of its own nights; fields filled in above win"
    ),
) -> State:
    """Bring every ticker up to date, those that waited longest first, as far as the day's quota allows.

    Ends Failed if all failed (or as `fail_when` says), else Completed with the failures listed. All nights are in one
    table on the run's page and in STOCKML_HOME/universe/SESSION.csv. The state carries a NightRow per ticker.
    """
    names = tuple(dict.fromkeys(validated_ticker(ticker) for ticker in tickers))
    form.chosen(profile, mode, settings)
    common: dict[str, Any] = {"session": session, "mode": mode, "force": force}
    common |= {"late_retries": late_retries, "late_wait_s": late_wait_s}
    changes = (profile if profile != "nightly" else None, calendar, settings.model_dump(exclude_none=True))
    own_choices = {validated_ticker(ticker): choice.model_dump(exclude_none=True) for ticker, choice in choices.items()}
    parameters = {ticker: common | form.of_ticker(own_choices.get(ticker, {}), *changes) for ticker in names}
    address = dask_address or os.environ.get("STOCKML_DASK_ADDRESS")
    end_state: State = Crashed(message="Its worker process has ended")
    rows, on_night = list[NightRow](), night_callback("universe", len(names))
    by_turn = {ticker: parameters[ticker] for ticker in stalest_of(parameters)}
    try:
        for row in nights(by_turn, address, min(processes, len(names)), memory_gb):
            on_night()
            get_run_logger().info("%s", row)
            rows.append(row)
    except TerminationSignal:
        end_state = Cancelled(message="Ended with the run that it belongs to")
        raise
    finally:
        with warned_if_refused():
            end_children(UUID(flow_run.id), end_state)
    try:
        write_csv(current_home(), rows)
    except StoreError as refused:  # by a full disk; the run's page and the command show the same table
        get_run_logger().warning("%s", refused)
    show_nights(rows, "universe", f"{quantity(len(rows), 'ticker')}, {session or 'the newest session'}")
    show_status()
    return final_state(rows, fail_when)


def stalest_of(nights: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The tickers by their newest session, the stalest first; each night then asks whether its turn has come."""
    lasts: dict[str, date | None] = {}
    for ticker, parameters in nights.items():
        with suppress(StoreError):  # its own night reports the fault
            lasts[ticker] = BarStore.of(current_home(), parameters["calendar"]).last_session(ticker)
    return [*stalest_first(join_turns(lasts)), *(ticker for ticker in nights if ticker not in lasts)]


def nights(
    parameters: Mapping[str, dict[str, Any]], address: str | None, processes: int, memory_gb: float
) -> Iterator[NightRow]:
    """Run each ticker's night, with its parameters, on the workers; yields each row as soon as its night has ended."""
    from flows.cluster import workers

    with workers(address, processes, memory_gb) as runner:
        pending = {
            runner.submit(night_of, {"ticker": ticker, "parameters": night}): (ticker, night["session"])
            for ticker, night in parameters.items()
        }
        futures: Any = as_completed(list(pending))  # yields the very ones that it is given
        for future in futures:
            future.wait()
            yield row_of(*pending.pop(future), future.state)
            future.wrapped_future.release()  # else it is computed again when the process that holds it dies


@task(name="night", task_run_name="night {ticker}", cache_policy=NO_CACHE, persist_result=False)
def night_of(ticker: str, parameters: dict[str, Any]) -> NightRow | State:
    """One ticker's nightly run, within a worker: its row, in a state Failed if it failed. Raises no error.

    An error that cannot be unpickled, such as httpx's, would make Dask think that the worker is dead.
    """
    try:
        # else, within this task, a step's result would be kept only with the whole night
        with transaction(commit_mode=CommitMode.EAGER):
            state = run_on_page(nightly, ticker, ticker, **parameters)
    except Exception as error:  # noqa: BLE001 - it is in the row
        state = Failed(data=error)
    gc.collect()  # a night leaves reference cycles: without this, a worker grows from night to night
    if not gc.get_freeze_count():  # collections after later nights skip what the first imported
        gc.freeze()
    row = row_of(ticker, parameters["session"], state)
    return Failed(message=row.why, data=row) if row.status == "failed" else row
