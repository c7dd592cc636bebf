"""A registered model predicts from bars alone, in another folder, without this repository; directly
and by a server."""

import ast
import json
import os
import subprocess
import sys
import urllib.parse
import urllib.request
import zipfile
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.models import Model

from stockml.evaluation.assessment import assess, write_assessment
from stockml.evaluation.candidates import Candidate, ScoringData
from stockml.forecasts.proper_scores import band
from stockml.home import HomePaths
from stockml.models.trained_model import save, vintage_files
from stockml.nights.record import Night
from stockml.prices.calendar import sessions_for
from stockml.settings import settings_for
from stockml.tracking.client import Tracking
from stockml.tracking.models import PINNED
from stockml.tracking.served_forecast import Forecaster
from stockml.training.ticker_training import split_after_vintages
from tests.stockml.tracking.logged import changed, client
from tests.support.nights import recorded_night, series_until, tutorial_model, with_files
from tests.support.own_servers import mlflow_server
from tests.support.patience import PATIENCE_S

pytestmark = pytest.mark.slow

DAY = date(2013, 2, 28)
ABROAD = "24/5"  # a calendar by which Good Friday is a session
PREDICT = """
import json, sys
import mlflow, pandas as pd
import stockml
all_found = []
for uri, name, ticker in zip(sys.argv[1::3], sys.argv[2::3], sys.argv[3::3]):
    mlflow.set_tracking_uri(uri)
    model = mlflow.pyfunc.load_model(name)
    found = model.predict(pd.read_csv(f"{ticker}.csv")).astype({"session": str}).to_dict("list")
    code = type(model.unwrap_python_model().forecaster).predict.__code__.co_filename
    all_found.append({"code": code, "tensorflow": "tensorflow" in sys.modules, **found})
    try:
        model.predict(pd.read_csv(f"{ticker}.csv").assign(session=0))
    except mlflow.MlflowException as error:
        all_found[-1]["refused"] = error.message
    assert [name for name in sys.modules if name.startswith("stockml")] == ["stockml"]
    assert sys.modules["stockml"] is stockml
json.dump(all_found, open("found.json", "w"))
"""


@pytest.fixture(scope="module")
def night(installation: HomePaths) -> Night:
    root = installation.root
    (root / "plots").mkdir()
    (root / "plots" / "forecast.png").write_bytes(b"\x89PNG of a forecast")
    return replace(with_files(recorded_night(), root), plots_folder=str(root / "plots"))


@pytest.fixture(scope="module")
def champion(installation: HomePaths, night: Night) -> Tracking:
    """The night is logged straight to the database, and its model is champion."""
    tracking = Tracking(installation)
    tracking.log_night(night)
    tracking.follow_champion("IBM", night.key)
    return tracking


def bars_of(ticker: str) -> pd.DataFrame:
    series = series_until(ticker, DAY)
    names = ("open", "high", "low", "close", "volume")
    frame = {name: getattr(series, name) for name in names}
    return pd.DataFrame({"session": pd.to_datetime(series.sessions), **frame}).tail(1_500)


def predicted(folder: Path, *models: tuple[str, str, str]) -> list[dict[str, Any]]:
    """What models predict in a process that has imported another stockml. models: address, name,
    ticker of each"""
    (folder / "stockml.py").touch()
    for ticker in {ticker for _, _, ticker in models}:
        # as vendors write it
        bars_of(ticker).astype({"volume": int}).to_csv(folder / f"{ticker}.csv", index=False)
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-c", PREDICT, *(word for each in models for word in each)]
    ended = subprocess.run(
        command,
        cwd=folder,
        env=environ,
        check=False,
        timeout=PATIENCE_S,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    return list(json.loads((folder / "found.json").read_text()))


def test_models_predict_elsewhere_by_the_code_they_were_logged_with(
    champion: Tracking, night: Night, installation: HomePaths, tmp_path: Path
) -> None:
    """The champion's, and a tutorial's network of random weights, which needs no TensorFlow then."""
    settings, series = (
        settings_for("tutorial", {"network.units": [8], "network.look_back": 10}),
        series_until("MSFT", DAY),
    )
    model = tutorial_model(series, settings)
    save(model, tmp_path / "model")
    upcoming = sessions_for("MSFT", ABROAD).after(DAY, settings.evaluation.horizon)
    split = split_after_vintages(series, settings.evaluation)
    found = assess(series, model, None, settings.evaluation, upcoming, split)
    write_assessment(found, tmp_path / "evaluation")
    series.write(tmp_path / "series.parquet")
    tutorial = recorded_night(
        "MSFT",
        key="d" * 64,
        dataset_path=str(tmp_path / "series.parquet"),
        calendar=ABROAD,
        model_folder=str(tmp_path / "model"),
        evaluation_folder=str(tmp_path / "evaluation"),
    )
    version = champion.log_night(tutorial).model_version
    uri = champion.home.tracking_uri
    ibm, msft = predicted(
        tmp_path,
        (uri, "models:/lstm-IBM@champion", "IBM"),
        (uri, f"models:/lstm-MSFT/{version}", "MSFT"),
    )
    expected = Forecaster.read(Path(night.model_folder or ""), "IBM", None).predict(bars_of("IBM"))
    for name in [*expected.columns.drop("session")]:
        assert ibm[name] == pytest.approx(expected[name].tolist(), rel=1e-6), name
    assert ibm["session"] == [str(day.date()) for day in expected["session"]]
    assert ibm["code"].startswith(str(installation.root / "artifacts"))
    assert ibm["refused"].startswith("expected each session as a date")
    unseen = ScoringData.of(series, model.parts, settings.evaluation, model)
    low, high = band(Candidate.of(unseen, model).tonight[0], 0.8)
    assert not msft["tensorflow"]
    assert msft["session"] == [str(day) for day in upcoming]
    assert msft["low_80"] == pytest.approx(series.close[-1] * np.exp(low), rel=1e-3)
    assert msft["high_80"] == pytest.approx(series.close[-1] * np.exp(high), rel=1e-3)


def test_a_models_code_is_one_small_file_of_what_it_imports_and_the_same_every_night(
    champion: Tracking, night: Night
) -> None:
    version = champion.log_night(replace(night, key="f" * 64)).model_version
    first, second = (
        _folder(champion, each) / "artifacts" / "stockml.zip" for each in ("1", version)
    )
    assert first.read_bytes() == second.read_bytes()
    assert first.stat().st_size < 100_000
    with zipfile.ZipFile(first) as code:
        names = set(code.namelist())
        imported = {name for each in names for name in _imported(code.read(each))} - set(
            sys.stdlib_module_names
        )
    assert {"stockml/__init__.py", "stockml/errors.py", "stockml/models/trained_model.py"} < names
    assert not [
        name
        for name in names
        if name.startswith(("stockml/provider", "stockml/nights", "stockml/plots"))
    ]
    assert imported - {"stockml", "sklearn"} == set(PINNED), (
        "scikit-learn is needed only where something is fitted"
    )


def _imported(source: bytes) -> set[str]:
    """The packages that a source imports anywhere."""
    nodes = [*ast.walk(ast.parse(source))]
    names = [each.name for node in nodes if isinstance(node, ast.Import) for each in node.names]
    names += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    return {name.split(".")[0] for name in names}


def _folder(tracking: Tracking, version: str | None) -> Path:
    """The files of one of IBM's versions."""
    source = client(tracking).get_model_version("lstm-IBM", version or "").source
    return Path(urllib.parse.urlsplit(source).path)


def test_a_models_artifact_holds_the_vintages_it_names(champion: Tracking, night: Night) -> None:
    kept = {path.name for path in _folder(champion, "1").rglob("*")}
    named = {path.name for path in vintage_files(Path(night.model_folder or ""))}
    assert len(named) == 6, (
        "two regressions and a pretrained network from before the scored origins, and three from "
        "before tonight"
    )
    assert named < kept


def test_a_model_names_its_inputs_and_pins_what_it_needs(champion: Tracking) -> None:
    folder = _folder(champion, "1")
    model = Model.load(str(folder))
    assert model.signature.inputs.input_names()[0] == "session"
    assert model.saved_input_example_info is not None
    pinned = (folder / "requirements.txt").read_text().split()
    assert f"mlflow=={mlflow.__version__}" in pinned
    assert all("==" in requirement for requirement in pinned)


@pytest.mark.campaign
def test_the_server_shows_what_was_logged_without_it_and_vice_versa(
    champion: Tracking, installation: HomePaths, night: Night, tmp_path: Path
) -> None:
    direct = champion.log_night(night)
    with mlflow_server(installation) as address:
        served = changed(champion, tracking_uri=address)
        assert served.log_night(night) == direct
        assert (
            _artifact(address, direct.mlflow_run_id, "plots/forecast.png")
            == b"\x89PNG of a forecast"
        )
        second = served.log_night(replace(night, key="e" * 64))
        assert second.model_version not in (None, direct.model_version)
        assert (
            _artifact(address, second.mlflow_run_id, "plots/forecast.png")
            == b"\x89PNG of a forecast"
        )
        champion.follow_champion("IBM", "e" * 64)
        both = (
            (address, f"models:/lstm-IBM/{direct.model_version}", "IBM"),
            (champion.home.tracking_uri, "models:/lstm-IBM@champion", "IBM"),
        )
        assert [len(found["path"]) for found in predicted(tmp_path, *both)] == [50, 50]
    assert champion.log_night(replace(night, key="e" * 64)) == second


def _artifact(address: str, run_id: str, path: str) -> bytes:
    query = urllib.parse.urlencode({"path": path, "run_uuid": run_id})
    with urllib.request.urlopen(f"{address}/get-artifact?{query}", timeout=PATIENCE_S) as answer:
        return bytes(answer.read())
