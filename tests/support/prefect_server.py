"""Real Prefect servers for tests; one for the whole session costs a few seconds, after which flows
are fast."""

import logging
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from deployments.servers.prefect_api import prefect_api, prefect_database
from stockml.home import HomePaths, current_home
from tests.support.own_servers import OwnServer

EVERY_SECOND = {  # instead of five
    "PREFECT_SERVER_EVENTS_PROACTIVE_GRANULARITY": "PT1S",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_FLUSH_INTERVAL": "1",
    "PREFECT_SERVER_SERVICES_LATE_RUNS_LOOP_SECONDS": "1",
}


@pytest.fixture(scope="session")
def _sessions_server() -> Iterator[None]:
    with temporary_prefect():
        yield


@pytest.fixture(scope="module")
def prefect_server(_sessions_server: None) -> Iterator[None]:
    """A server as commands start one, on its own database; it really records flow runs.

    A file leaves no unfinished run on it: the sweeps and counts of the next file's tests would find
    that.
    """
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.objects import StateType

    from tasks.run_records import UNFINISHED, in_state, runs_of

    yield
    with get_client(sync_client=True) as client:
        for run in list(runs_of(client, in_state([StateType.SCHEDULED, *UNFINISHED]))):
            client.delete_flow_run(run.id)


@pytest.fixture(scope="module")
def lasting_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A server as `stockml up` starts one, with the scheduler and automations, which it looks after
    every second."""
    place = current_home({"STOCKML_HOME": str(tmp_path_factory.mktemp("lasting"))})
    with (
        OwnServer.prefect(place, **EVERY_SECOND).start() as server,
        prefect_at(place, f"{server.wait().address}/api"),
    ):
        yield


@contextmanager
def temporary_prefect() -> Iterator[None]:
    """The server of `prefect_server`, for use outside tests."""
    with (
        tempfile.TemporaryDirectory() as folder,
        prefect_at(current_home({"STOCKML_HOME": folder})),
    ):
        yield


@contextmanager
def prefect_at(place: HomePaths, server: str = "") -> Iterator[None]:
    """Point all threads of this process to `server`, which serves the home's database; start one if
    empty."""
    from prefect.context import _temporary_global_settings_context, get_settings_context
    from prefect.events.worker import EventsWorker
    from prefect.settings import (
        PREFECT_CLIENT_MAX_RETRIES,
        PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
        PREFECT_LOGGING_TO_API_ENABLED,
        PREFECT_SERVER_DATABASE_CONNECTION_URL,
        temporary_settings,
    )

    # a worker keeps sending to the server that it was started with
    EventsWorker.drain_all()
    with prefect_api(place, {**os.environ, "PREFECT_API_URL": server}):
        quiet = {
            PREFECT_CLIENT_MAX_RETRIES: 7,
            PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None,
            PREFECT_LOGGING_TO_API_ENABLED: False,
            PREFECT_SERVER_DATABASE_CONNECTION_URL: prefect_database(place),
        }
        with temporary_settings(quiet), _temporary_global_settings_context(get_settings_context()):
            logging.getLogger("prefect").setLevel(logging.WARNING)
            try:
                yield
            finally:
                EventsWorker.drain_all()


@contextmanager
def artifacts_refused() -> Iterator[None]:
    """Let the server of `prefect_server` fail at every artifact."""
    from prefect.settings import PREFECT_SERVER_DATABASE_CONNECTION_URL

    database = str(PREFECT_SERVER_DATABASE_CONNECTION_URL.value()).partition("///")[2]
    with closing(sqlite3.connect(database, timeout=30, isolation_level=None)) as prefects:
        prefects.execute(
            "CREATE TRIGGER refusing BEFORE INSERT ON artifact BEGIN SELECT RAISE(ABORT, 'no'); END"
        )
        try:
            yield
        finally:
            prefects.execute("DROP TRIGGER refusing")
