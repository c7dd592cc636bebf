"""The weekly maintenance on a real Prefect server and a real MLflow store: what it resumes and
removes."""

import os
from datetime import UTC, datetime, timedelta

import pytest

from flows.maintenance import maintenance
from stockml.models.registry import Registry
from stockml.nights.record import night_path, write_night
from stockml.tracking.client import Tracking
from stockml.training import checkpoint
from tests.pages.mlflow_pages import runs_of
from tests.support.nights import recorded_night

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("with_tables", "prefect_server")]


def steps(**arguments):
    return {step.name: step for step in maintenance(**arguments, return_state=True).result()}


def test_a_replayed_day_makes_nothing_older_or_younger(home, monkeypatch):
    """Files carry the machine's time: STOCKML_CLOCK, years before or after it, is for sessions
    only."""
    monkeypatch.setenv("STOCKML_CLOCK", "2100-01-01T00:00:00+00:00")
    given_up, unfinished = (home.models / "IBM" / name / "_held_out" for name in ("old", "new"))
    for folder, days in ((given_up, 100), (unfinished, 1)):
        folder.mkdir(parents=True)
        (folder / checkpoint.NAME).touch()
        written = (datetime.now(UTC) - timedelta(days=days)).timestamp()
        os.utime(folder / checkpoint.NAME, (written, written))
    steps()
    assert (given_up.exists(), unfinished.exists()) == (False, True)


def test_a_night_that_mlflow_missed_is_logged(home):
    night = recorded_night()
    path = night_path(home.nights, night.ticker, night.key)
    write_night(night, path)
    path.with_name("waiting").touch()
    assert steps(dry_run=True)["nights waiting for MLflow"].things == (night.run_name,)
    assert steps()["nights logged to MLflow"].count == 1
    tracking = Tracking(home)
    assert (tracking.pending(), [*runs_of(tracking, "IBM")[1]]) == ((), [night.run_name])


def test_a_step_that_cannot_be_done_is_reported_and_stops_no_other(home, monkeypatch):
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
