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
from itertools import chain
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.models import Model

from stockml.evaluation.assessment import assess, write_assessment
from stockml.evaluation.candidates import Candidate, ScoringData
from stockml.forecasts.proper_scores import band
from stockml.models.trained_model import save, vintage_files
from stockml.prices.bars import COLUMNS
from stockml.prices.calendar import sessions_for
from stockml.settings import settings_for
from stockml.tracking.client import Tracking
from stockml.tracking.models import PINNED
from stockml.tracking.served_forecast import Forecaster
from stockml.training.ticker_training import split_after_vintages
from tests.stockml.tracking.logged import client
from tests.support.nights import recorded_night, series_until, tutorial_model, with_files
from tests.support.patience import PATIENCE_S

pytestmark = pytest.mark.slow

DAY = date(2013, 2, 28)
ABROAD = "24/5"  # a calendar by which Good Friday is a session
PREDICT = """
import json, sys
import mlflow, pandas as pd
import stockml
all_found = []
mlflow.set_tracking_uri(sys.argv[1])
for ticker, name in zip(sys.argv[2::2], sys.argv[3::2]):
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
def night(installation):
    return with_files(recorded_night(), installation.root)


@pytest.fixture(scope="module")
def champion(installation, night):
    """The night is logged straight to the database, and its model is champion."""
    tracking = Tracking(installation)
    tracking.log_night(night)
    tracking.follow_champion("IBM", night.key)
    return tracking


def bars_of(ticker):
    series = series_until(ticker, DAY)
    prices = {name: getattr(series, name) for name in COLUMNS}
    return pd.DataFrame({"session": pd.to_datetime(series.sessions), **prices}).tail(1_500)


def predicted(folder, uri, models):
    """What the models of these tickers predict in a process that has imported another stockml."""
    (folder / "stockml.py").touch()
    for ticker in models:
        # as vendors write it
        bars_of(ticker).astype({"volume": int}).to_csv(folder / f"{ticker}.csv", index=False)
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-c", PREDICT, uri, *chain(*models.items())]
    started = {"cwd": folder, "env": environ, "timeout": PATIENCE_S}
    ended = subprocess.run(command, **started, check=False, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr[-2000:]
    return list(json.loads((folder / "found.json").read_text()))


def test_models_predict_elsewhere_by_the_code_they_were_logged_with(
    champion, night, installation, tmp_path
):
    """The champion's, and a tutorial's network of random weights, which needs no TensorFlow then."""
    settings = settings_for("tutorial", {"network.units": [8], "network.look_back": 10})
    series = series_until("MSFT", DAY)
    model = tutorial_model(series, settings)
    save(model, tmp_path / "model")
    upcoming = sessions_for("MSFT", ABROAD).after(DAY, settings.evaluation.horizon)
    split = split_after_vintages(series, settings.evaluation)
    found = assess(series, model, None, settings.evaluation, upcoming, split)
    places = {
        "model_folder": tmp_path / "model",
        "evaluation_folder": tmp_path / "evaluation",
        "dataset_path": tmp_path / "series.parquet",
    }
    write_assessment(found, places["evaluation_folder"])
    series.write(places["dataset_path"])
    files = {name: str(place) for name, place in places.items()}
    tutorial = recorded_night("MSFT", key="d" * 64, calendar=ABROAD, **files)
    version = champion.log_night(tutorial).model_version
    logged = {"IBM": "models:/lstm-IBM@champion", "MSFT": f"models:/lstm-MSFT/{version}"}
    ibm, msft = predicted(tmp_path, champion.home.tracking_uri, logged)
    expected = Forecaster.read(Path(night.model_folder), "IBM", None).predict(bars_of("IBM"))
    for name in expected.columns.drop("session"):
        assert ibm[name] == pytest.approx(expected[name].tolist(), rel=1e-6), name
    assert ibm["session"] == [str(day.date()) for day in expected["session"]]
    assert ibm["code"].startswith(str(installation.root / "artifacts"))
    assert ibm["refused"].startswith("expected each session as a date")
    unseen = ScoringData.of(series, model.parts, settings.evaluation, model)
    low, high = band(Candidate.of(unseen, model).tonight[0], 0.8)
    assert not msft["tensorflow"]
    assert msft["session"] == [str(day) for day in upcoming]
    for name, move in (("low_80", low), ("high_80", high)):
        assert msft[name] == pytest.approx(series.close[-1] * np.exp(move), rel=1e-3)


def test_a_models_code_is_one_small_file_of_what_it_imports_and_the_same_every_night(
    champion, night
):
    version = champion.log_night(replace(night, key="f" * 64)).model_version
    folders = (_folder(champion, each) for each in ("1", version))
    first, second = (folder / "artifacts" / "stockml.zip" for folder in folders)
    assert first.read_bytes() == second.read_bytes()
    assert first.stat().st_size < 100_000
    with zipfile.ZipFile(first) as code:
        names = set(code.namelist())
        imported = {name for each in names for name in _imported(code.read(each))}
    assert {"stockml/__init__.py", "stockml/errors.py", "stockml/models/trained_model.py"} < names
    assert not {name.split("/")[1] for name in names} & {"provider", "nights", "plots"}
    # scikit-learn is needed only where something is fitted
    assert imported - sys.stdlib_module_names - {"stockml", "sklearn"} == set(PINNED)


def _imported(source):
    """The packages that a source imports anywhere."""
    nodes = [*ast.walk(ast.parse(source))]
    names = [each.name for node in nodes if isinstance(node, ast.Import) for each in node.names]
    names += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    return {name.split(".")[0] for name in names}


def _folder(tracking, version):
    """The files of one of IBM's versions."""
    source = client(tracking).get_model_version("lstm-IBM", version).source
    return Path(urllib.parse.urlsplit(source).path)


def test_a_model_holds_the_vintages_it_names_and_tells_its_inputs_and_what_it_needs(
    champion, night
):
    folder = _folder(champion, "1")
    named = {path.name for path in vintage_files(Path(night.model_folder))}
    assert len(named) == 6, (
        "of two regressions and a network, before the scored origins and tonight"
    )
    assert named < {path.name for path in folder.rglob("*")}
    model = Model.load(str(folder))
    assert model.signature.inputs.input_names()[0] == "session"
    assert model.saved_input_example_info is not None
    pinned = (folder / "requirements.txt").read_text().split()
    assert f"mlflow=={mlflow.__version__}" in pinned
    assert all("==" in requirement for requirement in pinned)
