"""One night is one run and one model version, with everything it found."""

import json
import math
import subprocess
import sys
from dataclasses import replace
from datetime import date, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from stockml.nights.record import Night
from stockml.settings import settings_for
from stockml.tracking import run_content
from stockml.tracking.client import Tracking, run_url
from stockml.tracking.experiments import artifact_location, renamed
from stockml.tracking.views import NOTE, TAG
from tests.stockml.tracking.logged import client, experiment, runs, versions
from tests.support.nights import SETTINGS
from tests.support.patience import PATIENCE_S

IDLE = ("network.", "training.", "policy.scale_drift", "policy.live_skill_floor")  # in the nightly profile


def test_a_run_holds_the_whole_night_and_the_decision_with_its_numbers(
    tracking: Tracking, night: Night, tmp_path: Path
) -> None:
    logged = tracking.log_night(night)
    run = client(tracking).get_run(logged.mlflow_run_id)
    assert run.info.run_name == "IBM 2013-02-28 fine-tune"
    assert run.info.status == "FINISHED"
    assert run.info.end_time - run.info.start_time == int(night.seconds * 1000)
    assert set(run.data.params) == {name for name in SETTINGS.flat() if not name.startswith(IDLE)}
    of_tutorial = settings_for("tutorial")
    params = run_content.params(replace(night, settings=of_tutorial.flat()))
    assert set(params) == set(of_tutorial.flat())
    assert params["network.units"] == " ".join(str(units) for units in of_tutorial.network.units)
    expected = {"ticker": "IBM", "session": "2013-02-28", "mode": "fine-tune", "reason": "1 new session"}
    expected |= {"verdict": "not promoted", "stockml.key": night.key, "stockml.data_hash": night.data_hash}
    expected |= {"git_dirty": "no", "prefect_flow_run": night.flow_run_url or ""}
    assert expected.items() <= run.data.tags.items()
    assert run.data.metrics["published/skill"] == pytest.approx(night.metrics["published/skill"], rel=1e-5)
    check_headline(night, run.data.metrics)
    assert all(math.isfinite(value) for value in run.data.metrics.values())
    assert [entry.dataset.digest for entry in run.inputs.dataset_inputs] == [night.data_hash[:16]]
    files = {file.path for file in client(tracking).list_artifacts(logged.mlflow_run_id)}
    assert files == {"plots", "night.json", "decision.json"}
    assert night.verdict
    gate = {name.removeprefix("gate."): value for name, value in run.data.tags.items() if name.startswith("gate.")}
    assert {name: float(value) for name, value in gate.items()} == pytest.approx(night.verdict.numbers, rel=1e-5)
    path = client(tracking).download_artifacts(logged.mlflow_run_id, "decision.json", str(tmp_path))
    decided = json.loads(Path(path).read_text())
    assert (decided["promoted"], decided["reason"]) == (night.verdict.promoted, night.verdict.reason)
    assert decided["numbers"] == dict(night.verdict.numbers)
    assert night.forecast
    assert (decided["publisher"], tuple(decided["weights"])) == (night.publisher, night.forecast.weights)


def test_experiment_and_model_follow_a_share_to_its_new_symbol(tracking: Tracking, night: Night) -> None:
    logged = tracking.log_night(night)
    tracking.follow_champion("IBM", night.key)
    assert tracking.rename("IBM", "BIM") == ["MLflow's experiment", "MLflow's model"]
    assert registered_as(tracking, "BIM") == [{"name": "lstm-BIM", "version": logged.model_version}]
    [run] = runs(tracking, "BIM")
    assert (run.info.run_id, run.data.tags["stockml.ticker"]) == (logged.mlflow_run_id, "BIM")
    assert (run.data.tags["ticker"], run.info.run_name) == ("BIM", replace(night, ticker="BIM").run_name)
    assert (runs(tracking), versions(tracking)) == ([], [])
    model = client(tracking).get_registered_model("lstm-BIM")
    assert (model.tags["ticker"], model.description.split(":")[0]) == ("BIM", "Forecasts BIM's mid price")
    assert [str(version.version) for version in versions(tracking, "BIM")] == [logged.model_version]
    client(tracking).create_experiment("stockml/IBM")  # as a night under the old name since would make them
    client(tracking).create_registered_model("lstm-IBM")
    assert tracking.rename("IBM", "BIM") == []
    tracking.log_night(replace(night, ticker="BIM", session=date(2013, 3, 1), key="1" * 64))
    assert experiment(tracking, "BIM").tags[NOTE].startswith("BIM: one run per night")


@pytest.mark.parametrize(
    ("step", "call"),
    [
        *(("set_tag", call) for call in (1, 3, 4)),  # of the night's run, of the track record's
        *((step, 1) for step in ("set_experiment_tag", "rename_experiment")),
        *(("update_run", call) for call in (1, 2)),  # of the night's run, of the track record's
        *((step, 1) for step in ("rename_registered_model", "set_registered_model_tag")),
    ],
)
def test_a_renaming_that_is_killed_anywhere_is_finished_by_the_next(
    step: str, call: int, tracking: Tracking, night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracking.log_night(night)
    with monkeypatch.context() as dying:
        real, calls = getattr(MlflowClient, step), count(1)

        def die(*arguments: Any, **named: Any) -> None:
            real(*arguments, **named)
            if next(calls) == call:
                raise KeyboardInterrupt

        dying.setattr(MlflowClient, step, die)
        with pytest.raises(KeyboardInterrupt):
            tracking.rename("IBM", "BIM")
    tracking.rename("IBM", "BIM")
    assert [(run.data.tags["ticker"], run.info.run_name.split()[0]) for run in runs(tracking, "BIM")] == [("BIM",) * 2]
    overview = client(tracking).get_experiment_by_name("stockml").experiment_id
    [record] = client(tracking).search_runs([overview])
    assert (record.info.run_name, record.data.tags["ticker"]) == ("BIM", "BIM")
    notes = experiment(tracking, "BIM").tags[NOTE], record.data.tags[NOTE]
    assert [note.split(" ")[0] for note in notes] == ["BIM:", "BIM's"], "also of one that has no further night"
    model = client(tracking).get_registered_model("lstm-BIM")
    assert (model.tags["ticker"], model.description.split(":")[0]) == ("BIM", "Forecasts BIM's mid price")


def test_all_nights_follow_a_renamed_share_even_those_beyond_the_first_page(tracking: Tracking, night: Night) -> None:
    """A page of two runs stands in for MLflow's page of a thousand, four years of nights."""

    class SmallPages(MlflowClient):
        def search_runs(self, *asked: Any, max_results: int = 2, **others: Any) -> Any:
            return super().search_runs(*asked, max_results=max_results, **others)

    tracking.log_night(night)
    for key in ("1", "2"):
        client(tracking).create_run(experiment(tracking).experiment_id, tags={"ticker": "IBM", "stockml.key": key})
    renamed(SmallPages(tracking.home.tracking_uri, tracking.home.tracking_uri), "IBM", "BIM")
    assert [run.data.tags["ticker"] for run in runs(tracking, "BIM")] == ["BIM"] * 3
    assert sum("stockml.ticker" in run.data.tags for run in runs(tracking, "BIM")) == 1, "as before"


@pytest.mark.parametrize("name", ["stockml/IBM", "stockml"])
def test_an_experiment_someone_deleted_comes_back_with_the_next_night(
    name: str, tracking: Tracking, night: Night
) -> None:
    logged = tracking.log_night(night)
    client(tracking).delete_experiment(client(tracking).get_experiment_by_name(name).experiment_id)
    tracking.log_night(replace(night, session=date(2013, 3, 1), key="1" * 64))
    assert client(tracking).get_experiment_by_name(name).lifecycle_stage == "active"
    assert logged.mlflow_run_id in {run.info.run_id for run in runs(tracking)}
    client(tracking).delete_experiment(client(tracking).get_experiment_by_name(name).experiment_id)
    assert tracking.rename("IBM", "BIM") == ["MLflow's experiment", "MLflow's model"]


def check_headline(night: Night, shown: dict[str, float]) -> None:
    """The figures at the top of the page, in percent: what is published, what the network adds, the distribution."""
    assert night.evaluation
    assert night.distributions
    assert night.forecast
    table = night.distributions
    assert table.network_adds
    assert table.against_champion
    expected = {
        "network_adds_crps_pct": table.network_adds.skill,
        "base_adds_to_width_crps_pct": table.widths["base network"].skill,
        "beats_champion_pct": table.against_champion.skill,
        "published_beats_last_close_pct": night.evaluation.scores["published"].skill,
        "crps_skill_pct": table.whole["LSTM"].skill,
        "width_crps_skill_pct": table.widths["LSTM"].skill,
        "live_beats_last_close_pct": night.metrics["live/skill"],
        "volatility_20_pct": night.forecast.outlook[1].volatility,
    }
    assert {name: shown[f"answer/{name}"] for name in expected} == pytest.approx(
        {name: 100 * (value or 0.0) for name, value in expected.items()}, rel=1e-5
    )
    assert all(value == float(f"{value:.6g}") for value in shown.values()), "no meaningless digits"


def test_the_description_has_the_verdict_the_table_and_the_plots(tracking: Tracking, night: Night) -> None:
    logged = tracking.log_night(night)
    note = client(tracking).get_run(logged.mlflow_run_id).data.tags["mlflow.note.content"]
    assert note.startswith("**published: the last close")
    assert "; network adds +" in note
    assert "| tonight's network" in note
    assert "| 20 sessions" in note
    assert f"![forecast](get-artifact?path=plots%2Fforecast.png&run_uuid={logged.mlflow_run_id})" in note
    assert f"runs/{logged.mlflow_run_id}/artifacts/plots/forecast.png" in note


def test_the_summarys_links_open_the_run_and_the_tickers_nights_as_arranged(tracking: Tracking, night: Night) -> None:
    known = replace(tracking, pages="http://127.0.0.1:5000").keep_and_log(night)
    found = experiment(tracking)
    key = TAG.rpartition(".")[2]
    assert '"orderByKey":"tags.`session`"' in found.tags[TAG]
    page = f"http://127.0.0.1:5000/#/experiments/{found.experiment_id}/runs"
    assert known.mlflow_nights_url == f"{page}?viewStateShareKey={key}&workflowType=machine_learning"
    assert known.mlflow_run_url == f"{page}/{known.mlflow_run_id}?workflowType=machine_learning"
    assert tracking.keep_and_log(night).mlflow_nights_url is None, "no page is up"


def registered_as(tracking: Tracking, ticker: str) -> list[dict[str, str]]:
    """Which versions the page of the ticker's only logged model names."""
    [model] = client(tracking).search_logged_models([experiment(tracking, ticker).experiment_id])
    return list(json.loads(model.tags["mlflow.modelVersions"]))


def test_logging_the_same_night_again_adds_nothing(tracking: Tracking, night: Night) -> None:
    tracking.log_plots(night)
    logged = tracking.log_night(night)
    assert logged == tracking.log_night(night)
    tracking.log_plots(night)
    plots = client(tracking).list_artifacts(logged.mlflow_run_id, "plots")
    assert [each.path for each in plots] == ["plots/forecast.png"]
    assert len(runs(tracking)) == len(versions(tracking)) == 1
    assert registered_as(tracking, "IBM") == [{"name": "lstm-IBM", "version": "1"}]


def test_another_night_is_a_new_run_and_version_and_the_newest_sessions_is_the_challenger(
    tracking: Tracking, night: Night
) -> None:
    tracking.log_night(night)
    second = tracking.log_night(replace(night, key="f" * 64))
    assert len(runs(tracking)) == len(versions(tracking)) == 2
    # a missed night, caught up on
    tracking.log_night(replace(night, key="e" * 64, session=night.session - timedelta(days=1)))
    challenger = client(tracking).get_model_version_by_alias("lstm-IBM", "challenger")
    assert str(challenger.version) == second.model_version


def test_metrics_that_are_not_finite_are_left_out(tracking: Tracking, night: Night) -> None:
    broken = {"live/skill": math.nan, "published/mase": math.inf, "published/mse": 0.5}
    run = client(tracking).get_run(tracking.log_night(replace(night, metrics=broken)).mlflow_run_id)
    assert "live/skill" not in run.data.metrics
    assert "published/mase" not in run.data.metrics
    assert run.data.metrics["published/mse"] == 0.5


def test_a_night_that_kept_the_champion_names_its_version_and_registers_none(tracking: Tracking, night: Night) -> None:
    first = tracking.log_night(night)
    kept = replace(night, key="f" * 64, mode="keep", champion_kept=True)
    assert tracking.log_night(kept).model_version is None
    tracking.follow_champion("IBM", night.key)
    assert tracking.log_night(kept).model_version == first.model_version
    assert len(versions(tracking)) == 1


@pytest.mark.parametrize(
    ("uri", "artifacts", "location"),
    [
        ("sqlite:////home/mlflow.db", "file:///home/artifacts", "file:///home/artifacts/IBM"),
        ("http://127.0.0.1:5000", "file:///home/artifacts", "file:///home/artifacts/IBM"),
        ("http://mlflow.example:5000", "file:///home/artifacts", None),
        ("http://mlflow.example:5000", "s3://state/mlflow/", "s3://state/mlflow/IBM"),
    ],
)
def test_artifacts_are_kept_where_both_this_machine_and_its_server_can_read_them(
    uri: str, artifacts: str, location: str | None
) -> None:
    assert artifact_location(uri, artifacts, "IBM") == location


def test_a_runs_link_opens_the_model_training_layout() -> None:
    link = run_url("http://127.0.0.1:5000/", "3", "a1")
    assert link == "http://127.0.0.1:5000/#/experiments/3/runs/a1?workflowType=machine_learning"


def test_importing_tracking_loads_no_mlflow() -> None:
    code = "import sys, stockml.tracking.client; print('mlflow' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], check=True, timeout=PATIENCE_S, capture_output=True, text=True)
    assert ran.stdout == "False\n"


def test_tickers_with_dots_and_dashes_have_models_too(tracking: Tracking, night: Night) -> None:
    for ticker in ("BRK-B", "TSCO.LON"):
        logged = tracking.log_night(replace(night, ticker=ticker))
        (version,) = versions(tracking, ticker)
        assert (str(version.version), version.run_id) == (logged.model_version, logged.mlflow_run_id)
