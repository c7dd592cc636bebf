"""Homes just before Thursday's night, for tests that interfere with that night."""

import shutil
from pathlib import Path

import pytest

from deployments.replay import Feed
from stockml.home import HomePaths
from stockml.home import current_home as home_of
from stockml.tracking.client import Tracking
from tests.support import replaying


@pytest.fixture(scope="session")
def before_the_night(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> HomePaths:
    """IBM's bars up to a week before Thursday, and an empty MLflow."""
    home = home_of({"STOCKML_HOME": str(tmp_path_factory.mktemp("before"))})
    replaying.fill(home, ["IBM"])
    shutil.copy(empty_database, home.root / "mlflow.db")
    return home


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's empty tables: creating them takes seconds, copying them no time."""
    folder = tmp_path_factory.mktemp("mlflow")
    with Tracking(home_of({"STOCKML_HOME": str(folder)})).client():  # makes them
        pass
    return folder / "mlflow.db"


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> HomePaths:
    """A module's home, with MLflow's tables."""
    root = tmp_path_factory.mktemp("home")
    shutil.copy(empty_database, root / "mlflow.db")
    return home_of({"STOCKML_HOME": str(root)})


@pytest.fixture
def with_tables(home: HomePaths, empty_database: Path) -> HomePaths:
    """The test's home, with MLflow's tables."""
    home.root.mkdir()
    shutil.copy(empty_database, home.root / "mlflow.db")
    return home


@pytest.fixture
def ready(
    before_the_night: HomePaths, home: HomePaths, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> HomePaths:
    """A home of the test's own before Thursday's night, with the feed's clock set to it."""
    from tests.support.night_process import copied  # imports MLflow, which few tests need

    replaying.use(feed, monkeypatch)
    feed.set_clock(replaying.THURSDAY)
    return copied(before_the_night, home.root)
