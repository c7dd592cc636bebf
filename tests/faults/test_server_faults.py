"""Servers that go away during a night: Prefect's is restarted while it works, MLflow's while it
logs. The night completes once. For kills under `stockml up` see test_up_kills.py."""

import sqlite3
from contextlib import closing

import pytest
from filelock import FileLock
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from stockml.home import current_home as home_of
from tests.faults.test_night_faults import ASKED
from tests.support import replaying
from tests.support.night_process import nights, standing, start_night
from tests.support.own_servers import OwnServer
from tests.support.patience import PATIENCE_S, until

AWAY_S = 10.0


@pytest.mark.campaign
@pytest.mark.slow
def test_a_night_survives_a_restart_of_either_server(home, feed, tmp_path, monkeypatch):
    replaying.use(feed, monkeypatch)
    feed.set_clock(ASKED["session"])
    elsewhere = home_of({"STOCKML_HOME": str(tmp_path / "prefect")})
    with OwnServer.prefect(elsewhere) as prefect, OwnServer.mlflow(home) as mlflow:
        prefect.start(), mlflow.start()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow.wait().address)
        with temporary_settings({PREFECT_API_URL: f"{prefect.wait().address}/api"}):
            # without which it logs, however late Prefect is killed
            with FileLock(home.locks / "mlflow-IBM.lock"):
                night = start_night(home, quiet=False, **ASKED)
                until(lambda: any(home.root.rglob("decision*.json")))
                prefect.kill()
                prefect.start().wait()
            until(lambda: run_begun(home))
            mlflow.stop()
            night.join(AWAY_S)
            assert night.is_alive(), "it waits for the server"
            mlflow.start().wait()
            night.join(PATIENCE_S)
            assert night.exitcode == 0
            found, [kept] = standing(home), nights(home)
            until(lambda: states_of_runs() == ["Completed"], every_s=0.2)
    assert found.runs == ((kept.key, "FINISHED"),)
    assert found.versions == found.entries == found.promotions == (kept.key,)
    assert found.waiting == 0


def states_of_runs():
    with get_client(sync_client=True) as client:
        return [run.state_name for run in client.read_flow_runs()]


def run_begun(home):
    with closing(sqlite3.connect(f"file:{home.root}/mlflow.db?mode=ro", uri=True)) as database:
        return bool(database.execute("SELECT 1 FROM runs").fetchone())
