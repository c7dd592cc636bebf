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
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stockml.evaluation.assessment import assess, write_assessment
from stockml.evaluation.candidates import Candidate, ScoringData
from stockml.forecasts.forecast import Forecast
from stockml.forecasts.proper_scores import band
from stockml.home import HomePaths
from stockml.models.trained_model import TrainedModel, save, vintage_files
from stockml.nights.record import Night
from stockml.prices.calendar import sessions_for
from stockml.prices.series import PriceSeries
from stockml.settings import Settings, settings_for
from stockml.tracking.client import Tracking
from stockml.tracking.models import PINNED
from stockml.training.ticker_training import split_after_vintages
from tests.stockml.tracking.logged import changed
from tests.support.nights import (
    SETTINGS,
    recorded_night,
    series_until,
    trained,
    tutorial_model,
    with_files,
)
from tests.support.own_servers import mlflow_server
from tests.support.patience import PATIENCE_S

pytestmark = pytest.mark.slow

DAY = date(2013, 2, 28)
COLUMNS = ["lead", "session", "path", "low_50", "high_50", "low_80", "high_80", "low_95", "high_95"]

PREDICT = """
import json, sys
import mlflow, pandas as pd
import stockml
all_found = []
for uri, name, ticker in zip(sys.argv[1::3], sys.argv[2::3], sys.argv[3::3]):
    frames = {"csv": pd.read_csv(f"{ticker}.csv"), "parquet": pd.read_parquet(f"{ticker}.parquet")}
    mlflow.set_tracking_uri(uri)
    model = mlflow.pyfunc.load_model(name)
    found = {kind: model.predict(bars).astype({"session": str}).to_dict("list") for kind, bars in frames.items()}
    bars = frames["parquet"].tail(300)
    def said(bars):
        try:
            return model.predict(bars)["path"].tolist()
        except mlflow.MlflowException as error:
            return error.message
    at = bars.index
    found["changed"] = {
        "as it is": said(bars),
        "Tokyo's midnight": said(bars.assign(session=bars["session"].dt.tz_localize("Asia/Tokyo"))),
        "one of the past is unknown": said(bars.assign(close=bars["close"].where(at != at[100]))),
        "the newest is unknown": said(bars.assign(close=bars["close"].where(at != at[-1]))),
        "the newest is 0": said(bars.assign(low=bars["low"].where(at != at[-1], 0.0))),
        "twice the newest": said(pd.concat([bars, bars.tail(1)])),
        "milliseconds": said(bars.assign(session=bars["session"].astype("datetime64[ms]").astype("int64"))),
    }
    code = type(model.unwrap_python_model().forecaster).predict.__code__.co_filename
    all_found.append({"code": code, "tensorflow": "tensorflow" in sys.modules, **found})
    assert [name for name in sys.modules if name.startswith("stockml")] == ["stockml"]
    assert sys.modules["stockml"] is stockml
json.dump(all_found, open("found.json", "w"))
"""


@pytest.fixture(scope="module")
def forecast() -> Forecast:
    """What the night publishes of its network when there is no champion."""
    series, settings = series_until("IBM", DAY), SETTINGS.evaluation
    upcoming, split = (
        sessions_for("IBM").after(DAY, settings.horizon),
        split_after_vintages(series, settings),
    )
    return assess(series, trained("IBM", DAY), None, settings, upcoming, split).forecast


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


def predicted(folder: Path, *models: tuple[str, str, str]) -> list[dict[str, Any]]:
    """What models predict in a process that has imported another stockml. models: address, name,
    ticker of each"""
    (folder / "stockml.py").touch()
    for ticker in {ticker for _, _, ticker in models}:
        bars = _bars(ticker)
        # as vendors write it
        bars.astype({"volume": int}).to_csv(folder / f"{ticker}.csv", index=False)
        bars.to_parquet(folder / f"{ticker}.parquet")
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


@dataclass(frozen=True)
class Tutorial:
    """A night of the tutorial's network, of random weights. version: MLflow's, of its model."""

    series: PriceSeries
    settings: Settings
    model: TrainedModel
    upcoming: tuple[date, ...]
    version: str


@pytest.fixture(scope="module")
def tutorial(installation: HomePaths, tmp_path_factory: pytest.TempPathFactory) -> Tutorial:
    folder = tmp_path_factory.mktemp("tutorial")
    settings = settings_for("tutorial", {"network.units": [8], "network.look_back": 10})
    series = series_until("MSFT", DAY)
    model = tutorial_model(series, settings)
    save(model, folder / "model")
    # Good Friday is a session there
    upcoming = sessions_for("MSFT", "24/5").after(DAY, settings.evaluation.horizon)
    split = split_after_vintages(series, settings.evaluation)
    write_assessment(
        assess(series, model, None, settings.evaluation, upcoming, split), folder / "evaluation"
    )
    folders = {f"{name}_folder": str(folder / name) for name in ("model", "evaluation")}
    path = str(folder / "series.parquet")
    series.write(folder / "series.parquet")
    night = recorded_night("MSFT", key="d" * 64, dataset_path=path, calendar="24/5", **folders)
    version = Tracking(installation).log_night(night).model_version
    assert version
    return Tutorial(series, settings, model, upcoming, version)


@pytest.fixture(scope="module")
def predictions(
    champion: Tracking, tutorial: Tutorial, tmp_path_factory: pytest.TempPathFactory
) -> list[dict[str, Any]]:
    """Of the champion and of the tutorial's network, in one process; both bring the same code."""
    code = [
        _folder(champion, *of) / "artifacts" / "stockml.zip"
        for of in (("1",), (tutorial.version, "MSFT"))
    ]
    assert code[0].read_bytes() == code[1].read_bytes()
    models = ("models:/lstm-IBM@champion", "IBM"), (f"models:/lstm-MSFT/{tutorial.version}", "MSFT")
    return predicted(
        tmp_path_factory.mktemp("elsewhere"),
        *((champion.home.tracking_uri, *each) for each in models),
    )


@pytest.fixture(scope="module")
def prediction(predictions: list[dict[str, Any]]) -> dict[str, Any]:
    return predictions[0]


def _bars(ticker: str) -> Any:
    import pandas as pd

    series = series_until(ticker, DAY)
    names = ("open", "high", "low", "close", "volume")
    frame = {
        "session": pd.to_datetime(series.sessions),
        **{name: getattr(series, name) for name in names},
    }
    return pd.DataFrame(frame).tail(1_500)


def test_the_champion_predicts_by_the_code_it_was_logged_with_whatever_stockml_is_there(
    prediction: dict[str, Any], installation: HomePaths
) -> None:
    assert prediction["code"].startswith(str(installation.root / "artifacts"))


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


def _imported(source: bytes) -> list[str]:
    """The packages that a source imports anywhere."""
    found = [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    named = [
        [each.name for each in n.names] if isinstance(n, ast.Import) else [n.module or ""]
        for n in found
    ]
    return [name.split(".")[0] for names in named for name in names]


def _folder(tracking: Tracking, version: str | None, ticker: str = "IBM") -> Path:
    """The files of one of the ticker's versions."""
    from mlflow import MlflowClient

    client = MlflowClient(
        tracking_uri=tracking.home.tracking_uri, registry_uri=tracking.home.tracking_uri
    )
    return Path(
        urllib.parse.urlsplit(client.get_model_version(f"lstm-{ticker}", version or "").source).path
    )


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_prediction_has_one_row_per_lead_with_bands_that_widen(
    kind: str, prediction: dict[str, Any]
) -> None:
    frame = prediction[kind]
    assert list(frame) == [*COLUMNS, "probability_of_rise"]
    assert frame["lead"] == list(range(1, 51))
    assert frame["session"][0] == "2013-03-01"
    low_to_high = [
        frame[name] for name in ("low_95", "low_80", "low_50", "high_50", "high_80", "high_95")
    ]
    assert (np.diff(np.array(low_to_high), axis=0) > 0).all()
    assert (np.diff(np.array(frame["high_80"]) / np.array(frame["low_80"])) > 0).all()
    assert all(0 < chance < 1 for chance in frame["probability_of_rise"])


def test_a_prediction_from_the_newest_bars_alone_is_what_a_night_publishes_of_this_network(
    prediction: dict[str, Any], forecast: Forecast
) -> None:
    found = prediction["csv"]
    assert found["path"] == pytest.approx(forecast.path, rel=1e-4)
    for each in forecast.bands:
        assert found[f"low_{each.coverage}"] == pytest.approx(each.low, rel=1e-3)
        assert found[f"high_{each.coverage}"] == pytest.approx(each.high, rel=1e-3)
    rise = found["probability_of_rise"][forecast.direction_step - 1]
    assert rise == pytest.approx(forecast.probability_of_rise, abs=5e-3)


def test_bars_that_no_night_would_believe_are_refused_and_sessions_are_the_exchanges_days(
    prediction: dict[str, Any],
) -> None:
    said = prediction["changed"]
    assert said["Tokyo's midnight"] == said["as it is"]
    assert said["one of the past is unknown"] == pytest.approx(said["as it is"], rel=1e-3)
    assert (
        "2013-02-28: expected finite prices above 0, found open 202.18"
        in said["the newest is unknown"]
    )
    assert (
        "2013-02-28: expected finite prices above 0, found open 202.18" in said["the newest is 0"]
    )
    assert "expected one bar a session, found another of 2013-02-28" in said["twice the newest"]
    assert (
        "expected each session as a date, or as text such as 2013-02-22, found 13"
        in said["milliseconds"]
    )


def test_a_models_artifact_holds_the_vintages_it_names(champion: Tracking, night: Night) -> None:
    kept = {path.name for path in _folder(champion, "1").rglob("*")}
    named = {path.name for path in vintage_files(Path(night.model_folder or ""))}
    assert len(named) == 6, (
        "two regressions and a pretrained network from before the scored origins, and three from "
        "before tonight"
    )
    assert named < kept


def test_the_tutorials_network_is_served_without_tensorflow_with_its_nights_width_and_calendar(
    predictions: list[dict[str, Any]], tutorial: Tutorial
) -> None:
    found, series, model = predictions[1], tutorial.series, tutorial.model
    unseen = ScoringData.of(series, model.parts, tutorial.settings.evaluation, model)
    tonight = Candidate.of(unseen, model).tonight
    low, high = band(tonight[0], 0.8)
    assert not found["tensorflow"]
    assert found["csv"]["session"] == [str(day) for day in tutorial.upcoming]
    assert found["csv"]["low_80"] == pytest.approx(series.close[-1] * np.exp(low), rel=1e-3)
    assert found["csv"]["high_80"] == pytest.approx(series.close[-1] * np.exp(high), rel=1e-3)


def test_a_model_names_its_inputs_and_pins_what_it_needs(champion: Tracking) -> None:
    import mlflow
    from mlflow.models import Model

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
        assert [len(found["csv"]["path"]) for found in predicted(tmp_path, *both)] == [50, 50]
    assert champion.log_night(replace(night, key="e" * 64)) == second


def _artifact(address: str, run_id: str, path: str) -> bytes:
    query = urllib.parse.urlencode({"path": path, "run_uuid": run_id})
    with urllib.request.urlopen(f"{address}/get-artifact?{query}", timeout=PATIENCE_S) as answer:
        return bytes(answer.read())
