"""The weekly maintenance on a real Prefect server and a real MLflow store: what it resumes and
removes."""

import os
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from flows.maintenance import maintenance
from stockml.home import HomePaths
from stockml.models.registry import Promotion, Registry
from stockml.nights.record import Night, night_path, write_night
from stockml.tracking.client import Tracking
from stockml.tracking.runs import empty_trash
from stockml.training import checkpoint
from tasks.maintenance import StepReport
from tests.support.nights import recorded_night, with_files

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("with_tables", "prefect_server")]


def steps(**arguments: Any) -> dict[str, StepReport]:
    return {step.name: step for step in maintenance(**arguments, return_state=True).result()}


@pytest.mark.parametrize("replayed", ["2013-03-01T23:00:00-05:00", "2100-01-01T00:00:00+00:00"])
def test_a_replayed_day_makes_nothing_older_or_younger(
    home: HomePaths, monkeypatch: pytest.MonkeyPatch, replayed: str
) -> None:
    """Files carry the machine's time: STOCKML_CLOCK, years before or after it, is for sessions
    only."""
    monkeypatch.setenv("STOCKML_CLOCK", replayed)
    given_up, unfinished = (home.models / "IBM" / name / "_held_out" for name in ("old", "new"))
    for folder, days in ((given_up, 100), (unfinished, 1)):
        folder.mkdir(parents=True)
        (folder / checkpoint.NAME).touch()
        written = (datetime.now(UTC) - timedelta(days=days)).timestamp()
        os.utime(folder / checkpoint.NAME, (written, written))
    steps()
    assert (given_up.exists(), unfinished.exists()) == (False, True)


def log(home: HomePaths, tmp_path: Path, day: date) -> Night:
    night, plots = (
        with_files(recorded_night(day=day), tmp_path / str(day)),
        tmp_path / str(day) / "plots",
    )
    plots.mkdir()
    (plots / "forecast.png").write_bytes(b"\x89PNG of a forecast")
    return Tracking(home).keep_and_log(replace(night, plots_folder=str(plots)))


@pytest.fixture
def three_nights(home: HomePaths, tmp_path: Path) -> list[Night]:
    """The first is champion; no version is the challenger."""
    logged = [log(home, tmp_path, date(2013, 2, day)) for day in (26, 27, 28)]
    first = logged[0]
    made = first.key, first.model_folder, "", None, first.session, "", first.finished_at
    Registry(home.models).promote(Promotion("IBM", "promote", *made))
    MlflowClient(home.tracking_uri).delete_registered_model_alias("lstm-IBM", "challenger")
    return logged


def runs(home: HomePaths) -> set[str]:
    client = MlflowClient(home.tracking_uri)
    found = client.search_experiments(filter_string="name LIKE 'stockml/%'")
    return {run.info.run_name for run in client.search_runs([each.experiment_id for each in found])}


@pytest.mark.campaign
def test_only_champions_and_the_newest_nights_keep_models_in_mlflow(
    home: HomePaths, three_nights: list[Night]
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
    assert {version.run_id for version in versions} == {
        champion.mlflow_run_id,
        newest.mlflow_run_id,
    }
    empty_trash(home, 0)
    assert len(list(Path(home.root / "artifacts").rglob("MLmodel"))) == 2


def test_a_night_that_mlflow_missed_is_logged(home: HomePaths) -> None:
    night = recorded_night()
    path = night_path(home.nights, night.ticker, night.key)
    write_night(night, path)
    path.with_name("waiting").touch()
    assert steps(dry_run=True)["nights waiting for MLflow"].things == (night.run_name,)
    assert steps()["nights logged to MLflow"].count == 1
    assert runs(home) == {night.run_name}


def test_a_step_that_cannot_be_done_is_reported_and_stops_no_other(
    home: HomePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    (damaged := Registry(home.models).file("IBM")).parent.mkdir(parents=True)
    damaged.write_text("not JSON\n")
    state = maintenance(return_state=True)
    assert state.name == "Completed with failures"
    failed = {step.name: step.failed for step in state.result() if step.failed}
    assert set(failed) == {"clear MLflow"}
    assert "expected a readable record" in failed["clear MLflow"]
    [unreadable] = [step for step in state.result() if step.name == "left alone because unreadable"]
    assert str(damaged) in unreadable.things[0]
