"""Servers that go away during a night: Prefect's is restarted while it works, MLflow's while it
logs.

The night completes once, and leaves what it would have left if its servers had been up all the
time.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from deployments.replay.feed import Asked, Feed
from stockml.home import HomePaths
from stockml.home import current_home as home_of
from tests.support import replaying
from tests.support.night_process import Standing, copied, nights, standing, start_night
from tests.support.own_servers import OwnServer
from tests.support.patience import PATIENCE_S, until

pytestmark = pytest.mark.campaign

ASKED: dict[str, Any] = {
    "ticker": "IBM",
    "session": date(2013, 2, 28),
    "settings": replaying.SMALL,
    "late_retries": 0,
    "quiet": False,
}
AWAY_S = 10.0


class Stopper:
    """Calls `stop`, if set, once: when the feed is asked, before it answers."""

    def __init__(self) -> None:
        self.stop: Any = None

    def __call__(self, asked: Asked) -> None:
        if stop := self.stop:
            self.stop = None
            stop()


@pytest.fixture(scope="module")
def stopper() -> Stopper:
    return Stopper()


@pytest.fixture(scope="module")
def empty(empty_database: Path) -> HomePaths:
    """A home with nothing but MLflow's tables."""
    return home_of({"STOCKML_HOME": str(empty_database.parent)})


@pytest.fixture(scope="module")
def replay(stopper: Stopper) -> Iterator[Feed]:
    with Feed(on_request=stopper) as feed, pytest.MonkeyPatch.context() as environment:
        replaying.use(feed, environment)
        feed.set_clock(ASKED["session"])
        environment.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield feed


@pytest.fixture(scope="module")
def prefect(tmp_path_factory: pytest.TempPathFactory, replay: Feed) -> Iterator[OwnServer]:
    """A Prefect server over an SQLite database of its own; nights of this module are recorded
    there."""
    with OwnServer.prefect(
        home_of({"STOCKML_HOME": str(tmp_path_factory.mktemp("prefect"))})
    ) as server:
        server.start().wait()
        with temporary_settings({PREFECT_API_URL: f"{server.address}/api"}):
            yield server


@pytest.fixture(scope="module")
def undisturbed(
    prefect: OwnServer, empty: HomePaths, tmp_path_factory: pytest.TempPathFactory
) -> Standing:
    """What the same night leaves on servers that stay up."""
    home = copied(empty, tmp_path_factory.mktemp("undisturbed") / "home")
    night = start_night(home, **ASKED)
    night.join(PATIENCE_S)
    assert night.exitcode == 0
    return standing(home)


def states_of_runs() -> list[str | None]:
    """The states of all runs on the module's Prefect server."""
    with get_client(sync_client=True) as client:
        return [run.state_name for run in client.read_flow_runs()]


def decided(home: HomePaths) -> bool:
    """Whether the night has decided; training comes next."""
    return any(home.root.rglob("decision*.json"))


@pytest.mark.parametrize("when", ["the feed is asked", "it trains"])
def test_a_night_survives_a_restart_of_prefect(
    when: str,
    prefect: OwnServer,
    undisturbed: Standing,
    empty: HomePaths,
    stopper: Stopper,
    tmp_path: Path,
) -> None:
    """Stopped in order before a step that waits its turn at the server, or killed before the first
    artifact."""
    home, earlier = copied(empty, tmp_path / "home"), len(states_of_runs())
    if when == "the feed is asked":
        stopper.stop = prefect.stop
    # without which it does not end, however late it is killed
    with FileLock(home.locks / "mlflow-IBM.lock"):
        night = start_night(home, **ASKED)
        if when == "it trains":
            until(lambda: decided(home))
            prefect.kill()
        else:
            until(lambda: prefect.child is None)
    assert night.is_alive()
    prefect.start().wait()
    night.join(PATIENCE_S)
    assert night.exitcode == 0
    assert standing(home) == undisturbed
    until(lambda: states_of_runs() == ["Completed"] * (earlier + 1), every_s=0.2)


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnServer]:
    """An MLflow server over an SQLite database of its own, not started yet."""
    with OwnServer.mlflow(
        home_of({"STOCKML_HOME": str(tmp_path_factory.mktemp("mlflow"))})
    ) as server:
        yield server


def test_a_night_survives_a_restart_of_mlflow(
    mlflow: OwnServer, undisturbed: Standing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server goes away once the night's run has begun there, and is back ten seconds later."""
    mlflow.start().wait()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow.address)
    night = start_night(mlflow.home, **ASKED)
    until(lambda: run_begun(mlflow.home))
    mlflow.stop()
    night.join(AWAY_S)
    assert night.is_alive(), "it waits for the server"
    mlflow.start().wait()
    night.join(PATIENCE_S)
    assert night.exitcode == 0
    assert standing(mlflow.home) == undisturbed
    assert nights(mlflow.home)[0].mlflow_run_id


def run_begun(home: HomePaths) -> bool:
    with closing(sqlite3.connect(f"file:{home.root}/mlflow.db?mode=ro", uri=True)) as database:
        return bool(database.execute("SELECT 1 FROM runs").fetchone())
