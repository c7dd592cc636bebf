"""A night is one run that holds all of it, even if it is killed or logged twice at once."""

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pandas as pd
import pytest
import requests
from mlflow import MlflowClient

from stockml.nights.record import night_path, read_night
from stockml.tracking import run_content
from stockml.tracking.runs import log_points
from tests.stockml.tracking.logged import (
    aliased,
    changed,
    client,
    experiment,
    promote,
    runs,
    versions,
)
from tests.support.loopback import Loopback
from tests.support.own_servers import mlflow_server
from tests.support.patience import PATIENCE_S

STEPS = (
    "create_experiment",
    "create_run",
    "log_batch",
    "log_inputs",
    "create_logged_model",
    "log_outputs",
    "log_model_artifacts",
    "finalize_logged_model",
    "create_registered_model",
    "create_model_version",
    "set_registered_model_alias",
    "set_terminated",
)


class Killed(BaseException):
    """Stands in for the end of the process: none of our code catches it."""


@pytest.mark.parametrize("step", STEPS)
def test_a_night_killed_after_any_request_ends_as_one_run_and_one_version(
    step, tracking, night, monkeypatch
):
    with monkeypatch.context() as dying:
        real = getattr(MlflowClient, step)

        def die(*arguments, **named):
            real(*arguments, **named)
            raise Killed

        dying.setattr(MlflowClient, step, die)
        with pytest.raises(Killed):
            tracking.keep_and_log(night)
    tracking.resume()
    kept = read_night(night_path(tracking.home.nights, "IBM", night.key))
    once = tracking.log_night(night)
    assert kept.model_version == once.model_version
    [run], [version] = runs(tracking), versions(tracking)
    assert (run.info.run_id, run.info.status) == (once.mlflow_run_id, "FINISHED")
    assert str(version.version) == once.model_version
    assert aliased(tracking, "challenger").version == version.version
    assert len(run.outputs.model_outputs) == 1
    assert len(client(tracking).search_logged_models([experiment(tracking).experiment_id])) == 1
    steps = sum(row["network"] == "held_out" for row in night.history)
    for name, points in (("loss", steps), ("skill", 1)):
        assert len(client(tracking).get_metric_history(once.mlflow_run_id, name)) == points


def test_two_loggers_at_once_make_one_run(tracking, night):
    with ThreadPoolExecutor(2) as at_once:
        one, other = at_once.map(tracking.log_night, [night, night])
    assert one == other
    assert len(runs(tracking)) == len(versions(tracking)) == 1


def test_a_run_holds_the_whole_night_its_scores_in_a_table(tracking, night, tmp_path):
    logged = tracking.log_night(night)
    run = client(tracking).get_run(logged.mlflow_run_id)
    assert (run.info.run_name, run.info.status) == ("IBM 2013-02-28 fine-tune", "FINISHED")
    assert run.info.end_time - run.info.start_time == int(night.seconds * 1000)
    assert run.data.params == run_content.params(night)
    assert run_content.tags(night).items() <= run.data.tags.items()
    # of a curve, the last
    assert run.data.metrics == {name: value for name, value, *_ in run_content.points(night, 0)}
    assert [entry.dataset.digest for entry in run.inputs.dataset_inputs] == [night.data_hash[:16]]
    files = {file.path for file in client(tracking).list_artifacts(logged.mlflow_run_id)}
    assert files == {"plots", "night.json", "scores.csv"}
    scores = client(tracking).download_artifacts(logged.mlflow_run_id, "scores.csv", str(tmp_path))
    found = pd.read_csv(scores, index_col="figure")["value"]
    assert dict(found) == pytest.approx(night.metrics, rel=1e-5)


def test_metrics_that_are_not_finite_are_left_out(tracking, night):
    broken = {"answer/volatility_20_pct": math.nan, "answer/coverage_80_pct": math.inf}
    run = client(tracking).get_run(tracking.log_night(replace(night, metrics=broken)).mlflow_run_id)
    assert not {"vol_20", "band80"} & set(run.data.metrics)
    assert "close" in run.data.metrics


def test_however_many_points_and_parameters_there_are_mlflow_has_them_all_once(tracking):
    reached = client(tracking)
    run_id = reached.create_run(reached.create_experiment("many")).info.run_id
    points = [("loss", 1.0, 0, step) for step in range(250)]
    points += [(f"m{at}", 1.0, 0, 0) for at in range(250)]
    for _ in range(2):
        log_points(reached, run_id, points, {"a": "b"}, {f"p{at}": at for at in range(90)})
    assert [each.step for each in reached.get_metric_history(run_id, "loss")] == list(range(250))
    run = reached.get_run(run_id)
    assert (len(run.data.metrics), len(run.data.params), run.data.tags["a"]) == (251, 90, "b")


def test_a_night_that_kept_the_champion_scores_the_champions_model_again(tracking, night):
    tracking.log_night(night)
    promote(tracking, night)
    kept = replace(night, key="f" * 64, mode="keep", champion_kept=True, data_hash="9" * 64)
    tracking.log_night(kept)
    [model] = client(tracking).search_logged_models([experiment(tracking).experiment_id])
    scores = [metric for metric in model.metrics if metric.key == "band80"]
    assert {metric.dataset_digest for metric in scores} == {night.data_hash[:16], "9" * 16}
    assert {metric.dataset_name for metric in scores} == {"IBM bars"}


def test_the_summarys_links_open_the_run_and_the_tickers_nights_as_arranged(tracking, night):
    known = replace(tracking, pages="http://127.0.0.1:5000").keep_and_log(night)
    found, layout = experiment(tracking), "workflowType=machine_learning"
    page = f"http://127.0.0.1:5000/#/experiments/{found.experiment_id}/runs"
    assert "mlflow.sharedViewState.stockml" in found.tags
    assert known.mlflow_nights_url == f"{page}?viewStateShareKey=stockml&{layout}"
    assert known.mlflow_run_url == f"{page}/{known.mlflow_run_id}?{layout}"
    assert tracking.keep_and_log(night).mlflow_nights_url is None, "no page is up"


@pytest.mark.campaign
def test_what_is_created_by_a_request_whose_answer_is_lost_is_there_once(tracking, night):
    """MLflow's client asked again by itself: a night's model and its version stood there twice."""
    tracking.log_night(night)
    lost = ["runs/create", "logged-models", "model-versions/create"]
    with mlflow_server(tracking.home) as real:

        def pass_on(exchange):
            body, kind = getattr(exchange, "posted", None), {"Content-Type": "application/json"}
            request = exchange.command, real + exchange.path
            got = requests.request(*request, data=body, headers=kind, timeout=PATIENCE_S)
            name = exchange.path.split("/mlflow/")[-1]
            is_lost = exchange.command == "POST" and name in lost
            if is_lost:
                lost.remove(name)
            exchange.send(got.content, 504 if is_lost else got.status_code, **kind)

        with Loopback(pass_on) as proxy:
            served = replace(changed(tracking, tracking_uri=proxy.address), retry_for_s=PATIENCE_S)
            logged = served.keep_and_log(replace(night, key="e" * 64))
    assert not lost
    assert {str(each.version) for each in versions(tracking)} == {"1", logged.model_version}
    assert len(runs(tracking)) == 2
    models = client(tracking).search_logged_models([experiment(tracking).experiment_id])
    assert [str(model.status) for model in models] == ["READY"] * 2
