"""A real Prefect server for a whole test session: a few seconds once, then fast flows."""

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deployments.servers.prefect_schema import create_database


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[None]:
    """A temporary Prefect server with an SQLite database of its own; flows started under it are really recorded."""
    with temporary_prefect():
        yield


@contextmanager
def temporary_prefect() -> Iterator[None]:
    """The same for what is no test."""
    from prefect.settings import (
        PREFECT_API_BLOCKS_REGISTER_ON_START,
        PREFECT_CLIENT_MAX_RETRIES,
        PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
        PREFECT_LOGGING_TO_API_ENABLED,
        PREFECT_SERVER_ANALYTICS_ENABLED,
        PREFECT_SERVER_DATABASE_MIGRATE_ON_START,
        PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE,
        PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL,
        temporary_settings,
    )
    from prefect.testing import utilities

    folder = tempfile.mkdtemp()  # which Prefect's harness removes in the end
    database = Path(folder) / "prefect-test.db"
    create_database(database)
    quiet = {
        PREFECT_API_BLOCKS_REGISTER_ON_START: False,
        PREFECT_CLIENT_MAX_RETRIES: 7,
        PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None,
        PREFECT_LOGGING_TO_API_ENABLED: False,
        PREFECT_SERVER_ANALYTICS_ENABLED: False,
        PREFECT_SERVER_DATABASE_MIGRATE_ON_START: not database.exists(),
        PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE: 100,
        PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL: 1,
    }
    with pytest.MonkeyPatch.context() as patch, temporary_settings(quiet):
        patch.setattr(utilities, "mkdtemp", lambda: folder)
        with utilities.prefect_test_harness(server_startup_timeout=600):
            logging.getLogger("prefect").setLevel(logging.WARNING)
            yield
