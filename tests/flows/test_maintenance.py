"""The weekly maintenance on a real Prefect server and a real MLflow store: what it ends, resumes and removes."""

import os
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from mlflow import MlflowClient
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import ArtifactCreate
from prefect.client.schemas.filters import ArtifactFilter, FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import FlowRun
from prefect.settings import (
    PREFECT_SERVER_DATABASE_CONNECTION_URL,
    PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD,
    temporary_settings,
)
from prefect.states import Cancelling, Completed, Running

from deployments.servers.databases import vacuum
from deployments.servers.environment import RUN_DAYS, settings_of
from flows.maintenance import cause_of, maintenance
from stockml.home import HomePaths
from stockml.maintenance.report import StepReport
from stockml.models.registry import Promotion, Registry
from stockml.nights.record import Night, night_path, write_night
from stockml.storage.process_marks import mark
from stockml.tracking.client import Tracking
from stockml.tracking.retention import empty_trash
from stockml.training import checkpoint
from tasks.lost_runs import why_dead
from tests.support.nights import recorded_night, with_files
from tests.support.patience import until

HOST = socket.gethostname()
pytestmark = pytest.mark.usefixtures("with_tables")

NOW = datetime(2016, 11, 24, 12, tzinfo=UTC)  # this process began later, and only has the id of an earlier one
SILENCE = timedelta(minutes=30)


@flow(name="backtest")
def nothing() -> int:
    """A run to make a record of."""
    return 1


@pytest.fixture
def prefect_client(prefect_server: None) -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as client:
        yield client


@pytest.fixture
def dead_pid() -> int:
    """The id of a process that has just ended."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    return ended.pid


def running(client: SyncPrefectClient, name: str, pid: int, **more: Any) -> FlowRun:
    run = client.create_flow_run(nothing, name=name, state=Running(), **more)
    client.update_flow_run(run.id, infrastructure_pid=f"{HOST}:{pid}")
    return run


def steps(**arguments: Any) -> dict[str, StepReport]:
    return {step.name: step for step in maintenance(**arguments, return_state=True).result()}


@pytest.mark.slow
def test_a_run_whose_process_is_gone_is_ended_and_one_that_lives_is_not(
    home: HomePaths, prefect_client: SyncPrefectClient, dead_pid: int
) -> None:
    dead, alive = running(prefect_client, "dead", dead_pid), running(prefect_client, "alive", os.getpid())
    stuck = running(prefect_client, "stuck", dead_pid)
    prefect_client.set_flow_run_state(stuck.id, Cancelling(), force=True)
    for run in (dead, stuck, alive):
        silent_for(run, minutes=2)
    found = steps(dry_run=True)["dead runs ended"]
    assert {thing.split(":")[0] for thing in found.things} == {"dead", "stuck"}
    assert prefect_client.read_flow_run(dead.id).state_name == "Running"
    assert steps()["dead runs ended"].count == 2
    ended = prefect_client.read_flow_run(dead.id).state
    why = f"nothing works on this run any more, its process {dead_pid} is gone; run it again"
    assert (ended.name, ended.message) == ("Crashed", why)
    assert prefect_client.read_flow_run(stuck.id).state_name == "Cancelled", "as somebody wanted"
    assert prefect_client.read_flow_run(alive.id).state_name == "Running"
    prefect_client.delete_flow_run(alive.id)


def dated(run: FlowRun, change: str, ago: timedelta) -> FlowRun:
    """Backdate the run's record in Prefect's database: the API stamps its own time."""
    database = str(PREFECT_SERVER_DATABASE_CONNECTION_URL.value()).partition("///")[2]
    moment = f"{datetime.now(UTC) - ago:%Y-%m-%d %H:%M:%S.%f}"
    with closing(sqlite3.connect(database)) as tables, tables:
        assert tables.execute(f"UPDATE {change} = ?)", (moment, str(run.id))).rowcount == 1
    return run


def silent_for(run: FlowRun, minutes: float) -> FlowRun:
    return dated(
        run,
        "flow_run_state SET timestamp = ? WHERE id = (SELECT state_id FROM flow_run WHERE id",
        timedelta(minutes=minutes),
    )


def ended(client: SyncPrefectClient, days_ago: float) -> FlowRun:
    """The record of a run that ended some days ago."""
    run = client.create_flow_run(nothing, name=f"{days_ago} days ago", state=Completed())
    return dated(run, "flow_run SET end_time = ? WHERE (id", timedelta(days=days_ago))


@pytest.mark.slow
def test_prefects_vacuum_removes_old_runs_with_their_artifacts_and_leaves_those_under_way(
    home: HomePaths, prefect_client: SyncPrefectClient
) -> None:
    """Old by the number of days that the servers are started with."""
    old, newer = ended(prefect_client, RUN_DAYS + 1), ended(prefect_client, RUN_DAYS - 1)
    under_way = running(prefect_client, "under way", os.getpid())
    prefect_client.create_artifact(ArtifactCreate(key="of-old", type="markdown", data="old", flow_run_id=old.id))
    kept_for = float(settings_of(home, {})[PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD.name])
    with temporary_settings({PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD: timedelta(seconds=kept_for)}):
        vacuum()
    kept = {run.id for run in prefect_client.read_flow_runs()}
    assert old.id not in kept
    assert {newer.id, under_way.id} <= kept
    of_old = ArtifactFilter.model_validate({"flow_run_id": {"any_": [old.id]}})
    assert prefect_client.read_artifacts(artifact_filter=of_old) == []
    prefect_client.delete_flow_run(under_way.id)


@pytest.mark.slow
@pytest.mark.parametrize("replayed", ["2013-03-01T23:00:00-05:00", "2100-01-01T00:00:00+00:00"])
def test_a_replayed_day_makes_nothing_older_or_younger(
    home: HomePaths, prefect_client: SyncPrefectClient, monkeypatch: pytest.MonkeyPatch, replayed: str
) -> None:
    """Runs and files carry the machine's time: STOCKML_CLOCK, years before or after it, is for sessions only."""
    monkeypatch.setenv("STOCKML_CLOCK", replayed)
    silent, recent = (
        silent_for(prefect_client.create_flow_run(nothing, name=name, state=Running()), minutes)
        for name, minutes in (("silent", 13 * 60), ("recent", 0))
    )
    given_up, unfinished = (home.models / "IBM" / name / "_held_out" for name in ("old", "new"))
    for folder, days in ((given_up, 100), (unfinished, 1)):
        folder.mkdir(parents=True)
        (folder / checkpoint.NAME).touch()
        written = (datetime.now(UTC) - timedelta(days=days)).timestamp()
        os.utime(folder / checkpoint.NAME, (written, written))
    found = steps()
    assert found["dead runs ended"].things[0].startswith("silent: no sign of life since ")
    assert found["dead runs ended"].count == 1
    assert (given_up.exists(), unfinished.exists()) == (False, True)
    assert prefect_client.read_flow_run(recent.id).state_name == "Running"
    for run in (silent, recent):
        prefect_client.delete_flow_run(run.id)


def log(home: HomePaths, tmp_path: Path, day: date) -> Night:
    night, plots = with_files(recorded_night(day=day), tmp_path / str(day)), tmp_path / str(day) / "plots"
    plots.mkdir()
    (plots / "forecast.png").write_bytes(b"\x89PNG of a forecast")
    return Tracking(home).keep_and_log(replace(night, plots_folder=str(plots)))


@pytest.fixture
def three_nights(home: HomePaths, tmp_path: Path) -> list[Night]:
    """The first is champion; no version is the challenger."""
    logged = [log(home, tmp_path, date(2013, 2, day)) for day in (26, 27, 28)]
    first = logged[0]
    line = ("IBM", "promote", first.key, first.model_folder, "", None, first.session, "", first.finished_at)
    Registry(home.models).promote(Promotion(*line))
    MlflowClient(home.tracking_uri).delete_registered_model_alias("lstm-IBM", "challenger")
    return logged


def runs(home: HomePaths) -> set[str]:
    client = MlflowClient(home.tracking_uri)
    ids = [each.experiment_id for each in client.search_experiments(filter_string="name LIKE 'stockml/%'")]
    return {run.info.run_name for run in client.search_runs(ids)}


@pytest.mark.slow
def test_old_mlflow_runs_go_but_never_a_champions_or_the_newest(
    home: HomePaths, three_nights: list[Night], prefect_client: SyncPrefectClient
) -> None:
    champion, other, newest = three_nights
    promised = steps(dry_run=True)["MLflow runs"]
    assert promised.things == (other.run_name,)
    assert len(runs(home)) == 3
    assert steps()["MLflow runs"] == promised
    assert runs(home) == {champion.run_name, newest.run_name}
    versions = MlflowClient(home.tracking_uri).search_model_versions("name = 'lstm-IBM'")
    assert {version.run_id for version in versions} == {champion.mlflow_run_id, newest.mlflow_run_id}
    files = set(Path(home.root / "artifacts").rglob("night.json"))
    empty_trash(home, 0)
    assert len(files - set(Path(home.root / "artifacts").rglob("night.json"))) == 1


@pytest.mark.slow
def test_only_champions_and_the_newest_nights_keep_models_in_mlflow(
    home: HomePaths, three_nights: list[Night], prefect_client: SyncPrefectClient
) -> None:
    champion, other, newest = three_nights
    client, keep = MlflowClient(home.tracking_uri), {"mlflow_nights": 1, "mlflow_days": 36_500}
    before = client.get_run(other.mlflow_run_id)
    promised = steps(dry_run=True, keep=keep)["models in MLflow"]
    assert promised.things == (other.run_name,)
    assert steps(keep=keep)["models in MLflow"] == promised
    assert steps(keep=keep)["models in MLflow"].count == 0
    after = client.get_run(other.mlflow_run_id)
    assert (after.data.metrics, after.data.params) == (before.data.metrics, before.data.params)
    versions = client.search_model_versions("name = 'lstm-IBM'")
    assert {version.run_id for version in versions} == {champion.mlflow_run_id, newest.mlflow_run_id}
    empty_trash(home, 0)
    assert len(list(Path(home.root / "artifacts").rglob("MLmodel"))) == 2


@pytest.mark.slow
def test_a_night_that_mlflow_missed_is_logged(home: HomePaths, prefect_client: SyncPrefectClient) -> None:
    night = recorded_night()
    path = night_path(home.nights, night.ticker, night.key)
    write_night(night, path)
    path.with_name("waiting").touch()
    assert steps(dry_run=True)["nights waiting for MLflow"].things == (night.run_name,)
    assert steps()["nights logged to MLflow"].count == 1
    assert runs(home) == {night.run_name}


@pytest.mark.slow
def test_a_step_that_cannot_be_done_is_reported_and_stops_no_other(
    home: HomePaths, prefect_client: SyncPrefectClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        free = server.getsockname()[1]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free}")
    (damaged := Registry(home.models).file("IBM")).parent.mkdir(parents=True)
    damaged.write_text("not JSON\n")
    state = maintenance(return_state=True)
    assert state.name == "Completed with failures"
    failed = {step.name: step.failed for step in state.result() if step.failed}
    assert set(failed) == {"clear MLflow"}
    assert "expected a readable record" in failed["clear MLflow"]
    [unreadable] = [step for step in state.result() if step.name == "left alone because unreadable"]
    assert str(damaged) in unreadable.things[0]
    of_run = FlowRunFilter(id=FlowRunFilterId(any_=[state.state_details.flow_run_id]))
    until(lambda: {*failed} <= {run.name for run in prefect_client.read_task_runs(flow_run_filter=of_run)}, 0.2)


@pytest.mark.parametrize(
    ("process", "heartbeat_minutes", "parent_ended", "why"),
    [
        (f"{HOST}:this one", 1, False, None),
        (f"{HOST}:this one", 1, True, "the run that it belongs to has ended"),
        (f"{HOST}:this one", None, False, "no sign of life since 2016-11-24 11:00 UTC"),
        (f"{HOST}:this one", 31, False, "no sign of life since 2016-11-24 11:29 UTC"),
        (f"elsewhere:{2**22 + 1}", 1, False, None),
        (f"elsewhere:{2**22 + 1}", 31, False, "no sign of life since 2016-11-24 11:29 UTC"),
        (f"{HOST}:{2**22 + 1}", 1, False, f"its process {2**22 + 1} is gone"),
        (f"{HOST}:{2**22 + 1}", 0, False, None),  # from another machine of this one's name
        (None, 1, False, None),
        (None, None, False, "no sign of life since 2016-11-24 11:00 UTC"),
    ],
)
def test_a_run_counts_as_dead_when_nothing_shows_that_it_is_alive(
    process: str | None, heartbeat_minutes: int | None, parent_ended: bool, why: str | None
) -> None:
    heartbeat = None if heartbeat_minutes is None else NOW - timedelta(minutes=heartbeat_minutes)
    living = process.replace("this one", str(os.getpid())) if process else None
    run = FlowRun(flow_id=uuid4(), state=Running(timestamp=NOW - timedelta(hours=1)), infrastructure_pid=living)
    assert why_dead(run, NOW, SILENCE, parent_ended=parent_ended, heartbeat=heartbeat) == why


def test_a_run_whose_process_is_at_work_is_alive_however_long_its_machine_slept() -> None:
    """It sends its next heartbeat soon after the machine wakes, and maintenance may have been due meanwhile."""
    began = datetime.now(UTC)
    run = FlowRun(flow_id=uuid4(), state=Running(timestamp=began), infrastructure_pid=mark())
    assert why_dead(run, began + timedelta(hours=9), SILENCE, parent_ended=False, heartbeat=began) is None


def test_a_step_that_could_not_be_done_says_what_to_do() -> None:
    fault = PermissionError(13, "Permission denied", "/home/nights")
    assert cause_of(fault).startswith("/home/nights: Permission denied; see that")
