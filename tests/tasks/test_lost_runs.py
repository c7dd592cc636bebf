"""A worker ends runs that no process works on any more, as a power cut leaves them, and none that may be at work."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pkgutil import iter_modules
from uuid import UUID

import pytest
from prefect import Flow, flow
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Cancelling, Failed, Pending, Running

import flows
from stockml.home import HomePaths
from stockml.nights.key_figures import keep_newest
from stockml.nights.status import LastRun, last_run, record_run, rows
from stockml.storage.process_marks import mark
from tasks.lost_runs import GONE_AFTER, LOST_AFTER, MAX_SILENCE, OUR_FILTER, end_killed, reap_lost
from tasks.run_records import keep_end, record_process
from tests.support.loopback import Loopback, whole
from tests.support.nights import recorded_night

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]


@flow(name="backtest")
def by_hand(ticker: str) -> str:
    """A run to make a record of."""
    return ticker


@flow(name="nightly")
def night(ticker: str, session: str = "") -> str:
    """A night to make a record of."""
    return ticker


@pytest.fixture
def runs() -> Iterator[dict[str, str]]:
    """Runs recorded as Running, by who works on them: a process that is gone, this one, or an unknown one."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    made = {}
    with get_client(sync_client=True) as client:
        for name, pid in {"gone": gone.pid, "here": os.getpid(), "unknown": None}.items():
            ticker = "rescued" if name == "gone" else "RESCUED"  # as somebody types it
            run = client.create_flow_run(by_hand, parameters={"ticker": ticker}, name=name, state=Running())
            if pid:
                client.update_flow_run(run.id, infrastructure_pid=f"{socket.gethostname()}:{pid}")
            made[name] = run.id
        yield made
        for run_id in made.values():
            client.delete_flow_run(run_id)


def states(runs: dict[str, str]) -> dict[str, str]:
    with get_client(sync_client=True) as client:
        return {name: client.read_flow_run(run).state_name for name, run in runs.items()}


def test_a_run_is_ended_once_its_process_is_gone_or_it_is_silent_for_half_a_day(runs: dict[str, str]) -> None:
    """A search of many trials in a terminal may take a day."""
    reap_lost()
    assert states(runs) == dict.fromkeys(runs, "Running"), "one that is gone here may be another machine's of this name"
    reap_lost(datetime.now(UTC) + GONE_AFTER)
    assert states(runs) == {"gone": "Crashed", "here": "Running", "unknown": "Running"}
    reap_lost(datetime.now(UTC) + MAX_SILENCE)
    assert states(runs) == {"gone": "Crashed", "here": "Running", "unknown": "Crashed"}


def test_our_flows_are_all_those_of_this_project_and_no_other_flows_run_is_ended() -> None:
    modules = [import_module(f"flows.{each.name}") for each in iter_modules(flows.__path__)]
    named = {each.name for module in modules for each in vars(module).values() if isinstance(each, Flow)}
    assert OUR_FILTER.name
    assert {*(OUR_FILTER.name.any_ or ())} == named
    with get_client(sync_client=True) as client:
        foreign = client.create_flow_run(Flow(fn=by_hand.fn, name="another program's"), state=Running()).id
        reap_lost(datetime.now(UTC) + 2 * MAX_SILENCE)
        assert client.read_flow_run(foreign).state_name == "Running"
        client.delete_flow_run(foreign)


def test_a_deployments_run_in_a_terminal_or_on_another_machine_is_left_alone_and_one_of_nothing_is_ended() -> None:
    """`stockml up`, started anew, ended what other machines' workers were at work on."""
    works_on = {"TERMINAL": mark(), "ELSEWHERE": "elsewhere:1", "NOTHING": None}
    with get_client(sync_client=True) as client:
        deployment = client.create_deployment(client.create_flow(by_hand), "RESCUED")
        made = {}
        for name, process in works_on.items():
            run = client.create_flow_run_from_deployment(deployment, name=name, state=Running())
            if process:
                client.update_flow_run(run.id, infrastructure_pid=process)
            made[name] = str(run.id)
    reap_lost(datetime.now(UTC) + MAX_SILENCE - timedelta(minutes=1))
    assert states(made) == dict.fromkeys(made, "Running")
    reap_lost(datetime.now(UTC) + MAX_SILENCE)
    assert states(made) == {"TERMINAL": "Running", "ELSEWHERE": "Crashed", "NOTHING": "Crashed"}
    with get_client(sync_client=True) as client:
        client.delete_flow_run(UUID(made["TERMINAL"]))


def test_the_status_says_that_a_night_was_killed_unless_another_came_after_it(home: HomePaths) -> None:
    began, runs = datetime.now(UTC), {}
    for ticker, ended in {"KILLED": began - timedelta(days=1), "AFTER": began + timedelta(hours=1)}.items():
        record_run(home.nights, ticker, LastRun("Completed", "", ended))
        with get_client(sync_client=True) as client:
            runs[ticker] = client.create_flow_run(night, parameters={"ticker": ticker}, state=Running())
    reap_lost(datetime.now(UTC) + LOST_AFTER)
    why = f"no sign of life since {runs['KILLED'].state.timestamp:%Y-%m-%d %H:%M} UTC"
    told = f"crashed: nothing works on this run any more, {why}; run it again"
    assert [row.state for row in rows(home, ["AFTER", "KILLED"], began)] == ["completed: ", told]


def test_the_status_says_why_a_night_failed_in_its_own_words(home: HomePaths) -> None:
    record_run(home.nights, "FAILED", LastRun("Completed", "", began := datetime.now(UTC)))
    with get_client(sync_client=True) as client:
        run = client.create_flow_run(night, parameters={"ticker": "FAILED"}, state=Running())
    said = "Flow run encountered an exception: NoBars: no bars of FAILED"
    keep_end(run, Failed(message=said), began + timedelta(minutes=1))
    assert [row.state for row in rows(home, ["FAILED"], began)] == ["failed: NoBars: no bars of FAILED"]


def test_the_end_of_a_past_session_or_of_one_to_come_leaves_that_of_the_newest_night(home: HomePaths) -> None:
    keep_newest(home.nights, newest_night := recorded_night())
    shown = {}
    days = (
        newest_night.session - timedelta(days=3),
        datetime.now(UTC).date() + timedelta(days=9),
        newest_night.session,
    )
    for session in days:
        with get_client(sync_client=True) as client:
            chosen = {"ticker": "IBM", "session": str(session)}
            keep_end(client.create_flow_run(night, parameters=chosen), Failed(message="no room"), datetime.now(UTC))
        shown[session] = last_run(home.nights, "IBM") is not None
    assert [*shown.values()] == [False, False, True], "the status is about the newest"


def test_an_end_kept_while_the_clock_was_ahead_gives_way_to_the_next(home: HomePaths) -> None:
    ahead = datetime.now(UTC) + timedelta(days=1_000)
    record_run(home.nights, "AHEAD", LastRun("Stale", "the feed is stale", ahead))
    with get_client(sync_client=True) as client:
        run = client.create_flow_run(night, parameters={"ticker": "AHEAD"}, state=Running())
    keep_end(run, Failed(message="the disk is full"), datetime.now(UTC))
    assert [row.state for row in rows(home, ["AHEAD"], datetime.now(UTC))] == ["failed: the disk is full"]


def test_a_tickers_next_night_ends_only_that_tickers_dead_runs(runs: dict[str, str]) -> None:
    end_killed("ANOTHER")
    assert states(runs)["gone"] == "Running"
    end_killed("RESCUED")
    assert states(runs) == {"gone": "Crashed", "here": "Running", "unknown": "Running"}


def test_it_leaves_one_that_a_worker_is_about_to_retry_and_one_that_was_being_cancelled_is_cancelled(
    runs: dict[str, str],
) -> None:
    """A retried run bears the process of its last attempt until the worker has started another."""
    for state, after in ((Pending(), "Pending"), (Cancelling(), "Cancelled")):
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(UUID(str(runs["gone"])), state, force=True)
        end_killed("RESCUED")
        assert states(runs)["gone"] == after


def test_a_dead_run_that_is_resumed_is_signed_again_and_so_is_not_ended(runs: dict[str, str]) -> None:
    for run in runs.values():
        record_process(UUID(str(run)))
    end_killed("RESCUED")
    assert states(runs) == {"gone": "Running", "here": "Running", "unknown": "Running"}


@pytest.mark.parametrize("answer", [b"", b"{"])
def test_a_server_that_answers_with_no_json_fails_no_night_that_looks_for_dead_runs(answer: bytes) -> None:
    with Loopback(whole(answer)) as server, temporary_settings({PREFECT_API_URL: server.address}):
        end_killed("RESCUED")
        reap_lost()
        record_process(UUID(int=1))
        assert server.asked
