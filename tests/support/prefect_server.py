"""A real Prefect server for a whole test session: a few seconds once, then fast flows."""

import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from deployments.servers.environment import prefect_database
from deployments.servers.prefect_api import prefect_api
from stockml.home import Home, home
from tests.support.own_servers import OwnServer


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[None]:
    """The server that a command has of its own, over a database of its own; flows under it are really recorded."""
    with temporary_prefect():
        yield


@pytest.fixture(scope="module")
def lasting_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One that schedules runs and looks after automations, as `stockml up` has it."""
    place = home({"STOCKML_HOME": str(tmp_path_factory.mktemp("lasting"))})
    with OwnServer.prefect(place).start() as server, prefect_at(place, f"{server.wait().address}/api"):
        yield


@contextmanager
def temporary_prefect() -> Iterator[None]:
    """The same for what is no test."""
    with tempfile.TemporaryDirectory() as folder, prefect_at(home({"STOCKML_HOME": folder})):
        yield


@contextmanager
def prefect_at(place: Home, server: str = "") -> Iterator[None]:
    """This process, all of its threads, asks this server of the home's database; without one, one of its own."""
    from prefect.context import _temporary_global_settings_context, get_settings_context
    from prefect.events.worker import EventsWorker
    from prefect.settings import (
        PREFECT_CLIENT_MAX_RETRIES,
        PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
        PREFECT_LOGGING_TO_API_ENABLED,
        PREFECT_SERVER_DATABASE_CONNECTION_URL,
        temporary_settings,
    )

    EventsWorker.drain_all()  # the one that is there goes on telling the server that it began with
    with prefect_api(place, {**os.environ, "PREFECT_API_URL": server}):
        quiet = {
            PREFECT_CLIENT_MAX_RETRIES: 7,
            PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None,
            PREFECT_LOGGING_TO_API_ENABLED: False,
            PREFECT_SERVER_DATABASE_CONNECTION_URL: prefect_database(place),
        }
        with temporary_settings(quiet), _temporary_global_settings_context(get_settings_context()):
            logging.getLogger("prefect").setLevel(logging.WARNING)
            yield
