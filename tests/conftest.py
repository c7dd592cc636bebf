"""What many tests start from: a running replay feed and an empty home."""

import os
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import settings

from deployments.process import restored
from deployments.servers.prefect_api import settings_of
from stockml.home import HomePaths
from stockml.home import current_home as home_of
from tests.support.scripted_feed import ScriptedFeed

settings.register_profile("short", deadline=None, max_examples=25)
settings.register_profile("long", deadline=None, max_examples=2_000)  # of `make campaign`
settings.load_profile("short")
pytest_plugins = (
    "tests.support.chromium",
    "tests.support.postgres_server",
    "tests.support.prefect_server",
    "tests.support.ready_home",
)


@contextmanager
def unchanged(*names: str) -> Iterator[None]:
    """Check that the block leaves these environment variables as they were."""
    before = [os.environ.get(name) for name in names]
    yield
    assert [os.environ.get(name) for name in names] == before


@pytest.fixture(autouse=True)
def _no_address_left_to_the_next_test() -> Iterator[None]:
    """A server run in the test's own process sets MLflow's addresses, and the models of later tests
    would go there."""
    with unchanged("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        yield


@pytest.fixture(autouse=True, scope="module")
def _no_database_left_to_the_next_file() -> Iterator[None]:
    """A command run in the test's own process sets Prefect's; a server that a later file starts
    would take it."""
    with unchanged("PREFECT_HOME", "PREFECT_API_DATABASE_CONNECTION_URL"):
        yield


@pytest.fixture
def feed() -> Iterator[ScriptedFeed]:
    """A replay feed on a free loopback port, its clock at the end of the recording."""
    with ScriptedFeed() as running:
        yield running


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HomePaths]:
    """An empty STOCKML_HOME of the test's own; nothing else in the environment points elsewhere,
    during or after it."""
    for name in (
        "STOCKML_STORE",
        "STOCKML_ARTIFACTS",
        "MLFLOW_TRACKING_URI",
        "PREFECT_API_URL",
        "ALPHAVANTAGE_URL",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("STOCKML_HOME", str(tmp_path / "home"))
    place = home_of()
    # what a command sets for its process
    with restored(os.environ, settings_of(replace(place, database="any"))):
        yield place


def pytest_configure(config: pytest.Config) -> None:
    """Undo what a process inherits from where it was started, and leave the user's own home alone.

    A script's `&` has Ctrl-C ignored; and where the environment says that nothing compiled is kept,
    hundreds of processes would each compile it.
    """
    nobodys = tempfile.TemporaryDirectory(prefix="stockml-", ignore_cleanup_errors=True)
    config.add_cleanup(nobodys.cleanup)
    os.environ["STOCKML_HOME"] = nobodys.name
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = (
        "127.0.0.1,localhost"  # servers of tests are here
    )
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False


SERVERS = {"_sessions_server", "lasting_server", "empty_database", "browser"}


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what has a server, MLflow's tables or a browser as slow; begin with the files that have
    most slow tests.

    Otherwise one process would be left with the longest file while the others have nothing to do.
    """
    for item in items:
        if SERVERS & {*getattr(item, "fixturenames", ())}:
            item.add_marker("slow")
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(
        key=lambda item: (item.path.parent.name != "pages", -slow[item.path], str(item.path))
    )
