"""Which requests of MLflow's pages ask for plots, and how they are answered."""

import asyncio
import json
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from mlflow import MlflowClient
from starlette.responses import PlainTextResponse

from deployments.cli.app import run
from deployments.servers.mlflow_program import PlotsOnDemand, requested_run
from stockml.home import HomePaths
from stockml.nights.record import night_path, write_night
from tests.support.commands import Captured, store_of
from tests.support.nights import recorded_night, with_files

LIST, GET = "/ajax-api/2.0/mlflow/artifacts/list", "/get-artifact"


@pytest.mark.parametrize(
    ("path", "query", "run"),
    [
        (LIST, b"run_uuid=0f&path=plots", "0f"),
        (LIST, b"run_id=0f&path=plots", "0f"),
        (GET, b"path=plots%2Fhistory.png&run_uuid=0f", "0f"),
        (GET, b"path=plots%2Fleads.png&run_uuid=0f", "0f"),
        (GET, b"path=plots%2Fforecast.png&run_uuid=0f", None),  # the night itself draws it
        (LIST, b"run_uuid=0f", None),
        (LIST, b"run_uuid=0f&path=model", None),
        (GET, b"path=night.json&run_uuid=0f", None),
        (LIST, b"path=plots", None),
        ("/ajax-api/2.0/mlflow/runs/get", b"run_id=0f&path=plots", None),
    ],
)
def test_requests_for_the_plots_folder_ask_for_a_runs_plots(path: str, query: bytes, run: str | None) -> None:
    assert requested_run({"path": path, "query_string": query}) == run


@pytest.mark.slow
def test_plots_that_could_not_be_drawn_are_drawn_at_a_later_request(home: HomePaths, empty_database: Path) -> None:
    night = with_files(recorded_night(day=date(2013, 2, 28), plots_folder=str(home.plots / "IBM" / "0f")), home.root)
    write_night(replace(night, figures=("leads",)), night_path(home.nights, "IBM", night.key))
    database = f"sqlite:///{shutil.copy(empty_database, home.root / 'mlflow.db')}"
    client = MlflowClient(database)
    experiment = client.create_experiment("plots", artifact_location=home.artifacts)
    run = client.create_run(experiment, tags={"stockml.ticker": "IBM", "stockml.key": night.key}).info.run_id
    pages = PlotsOnDemand(PlainTextResponse("the list"), database)

    def ask() -> None:
        scope = {"type": "http", "path": LIST, "query_string": f"run_id={run}&path=plots".encode()}
        asyncio.run(pages(scope, _nothing, _nothing))

    def open_page() -> list[str]:
        ask()
        return [each.path for each in client.list_artifacts(run, "plots")]

    with closing(sqlite3.connect(home.root / "mlflow.db")) as tables:
        tables.execute("ALTER TABLE runs RENAME TO away")
        ask()  # as of a database that is away
        tables.execute("ALTER TABLE away RENAME TO runs")
    pages.pause_s = 0
    series = Path(night.dataset_path or "")
    series.rename(series.with_suffix(".away"))
    assert open_page() == []
    pages.pause_s = 60
    series.with_suffix(".away").rename(series)
    assert open_page() == [], "not at once, or every request would try again what cannot be drawn"
    pages.pause_s = 0
    kept = Path(client.get_run(run).info.artifact_uri.removeprefix("file://")) / "plots"
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.touch()  # as on a full disk, what is drawn cannot be kept
    open_page()
    kept.unlink()
    assert open_page() == ["plots/leads.png"]


async def _nothing(*_: object) -> None:
    """Receive and send nothing."""


def test_a_nights_plots_that_an_earlier_versions_record_does_not_name_are_named(
    home: HomePaths, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And shown while MLflow is away."""
    store_of(home)
    night = recorded_night(plots_folder=str(home.plots / "IBM" / "0f"))
    write_night(night, night_path(home.nights, "IBM", night.key))
    (home.plots / "IBM" / "0f").mkdir(parents=True)
    (home.plots / "IBM" / "0f" / "fan.png").touch()
    assert run(["plots", "IBM", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"folder": night.plots_folder, "plots": ["fan"]}
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert run(["plots", "IBM"]) == 0
    away = capsys.readouterr()
    assert away.out.splitlines() == [f"{night.run_name}: 1 plots in {night.plots_folder}", "  fan.png"]
    assert away.err.startswith("not in MLflow: MLflow at http://127.0.0.1:9 cannot be reached")
