"""A night is one run that holds all of it, even if it is killed or logged twice at once."""

import json
import math
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from mlflow import MlflowClient

from stockml.nights.record import Night, night_path, read_night
from stockml.tracking import run_content
from stockml.tracking.client import Tracking
from stockml.tracking.runs import log_points
from tests.stockml.tracking.logged import client, experiment, promote, runs, versions
from tests.support.night_process import KILLED, forked
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
    step: str, tracking: Tracking, night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as dying:
        real = getattr(MlflowClient, step)

        def die(*arguments: Any, **named: Any) -> None:
            real(*arguments, **named)
            raise Killed

        dying.setattr(MlflowClient, step, die)
        with pytest.raises(Killed):
            tracking.log_night(night)
    once = tracking.log_night(night)
    [run], [version] = runs(tracking), versions(tracking)
    assert (run.info.run_id, run.info.status) == (once.mlflow_run_id, "FINISHED")
    assert str(version.version) == once.model_version
    challenger = client(tracking).get_model_version_by_alias("lstm-IBM", "challenger")
    assert str(challenger.version) == once.model_version
    assert len(run.outputs.model_outputs) == 1
    assert len(client(tracking).search_logged_models([experiment(tracking).experiment_id])) == 1
    steps = sum(row["network"] == "held_out" for row in night.history)
    for name, points in (("loss", steps), ("skill", 1)):
        assert len(client(tracking).get_metric_history(once.mlflow_run_id, name)) == points


def _keep_until_killed(tracking: Tracking, night: Night) -> None:
    MlflowClient.log_model_artifacts = lambda *_, **__: os.kill(os.getpid(), 9)  # type: ignore[method-assign]
    tracking.keep_and_log(night)


@pytest.mark.slow
def test_a_killed_nights_run_is_resumed_from_its_record(tracking: Tracking, night: Night) -> None:
    process = forked(_keep_until_killed, tracking, night)
    process.join(PATIENCE_S)
    assert process.exitcode == KILLED
    assert [run.info.status for run in runs(tracking)] == ["RUNNING"]
    tracking.resume()
    assert [run.info.status for run in runs(tracking)] == ["FINISHED"]
    assert (
        read_night(night_path(tracking.home.nights, night.ticker, night.key)).model_version == "1"
    )


def test_two_loggers_at_once_make_one_run(tracking: Tracking, night: Night) -> None:
    with ThreadPoolExecutor(2) as at_once:
        one, other = at_once.map(tracking.log_night, [night, night])
    assert one == other
    assert len(runs(tracking)) == len(versions(tracking)) == 1


def test_a_run_holds_the_whole_night_its_scores_in_a_table(
    tracking: Tracking, night: Night, tmp_path: Path
) -> None:
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
    for file in ("night.json", "scores.csv"):
        client(tracking).download_artifacts(logged.mlflow_run_id, file, str(tmp_path))
    scores = pd.read_csv(tmp_path / "scores.csv", index_col="figure")["value"]
    assert dict(scores) == pytest.approx(night.metrics, rel=1e-5)
    kept = json.loads((tmp_path / "night.json").read_text())
    assert night.verdict
    assert kept["verdict"]["numbers"] == night.verdict.numbers


def test_metrics_that_are_not_finite_are_left_out(tracking: Tracking, night: Night) -> None:
    broken = {"answer/volatility_20_pct": math.nan, "answer/coverage_80_pct": math.inf}
    run = client(tracking).get_run(tracking.log_night(replace(night, metrics=broken)).mlflow_run_id)
    assert not {"vol_20", "band80"} & set(run.data.metrics)
    assert "close" in run.data.metrics


def test_however_many_points_and_parameters_there_are_mlflow_has_them_all_once(
    tracking: Tracking,
) -> None:
    reached = client(tracking)
    run_id = reached.create_run(reached.create_experiment("many")).info.run_id
    points = [("loss", float(step), 0, step) for step in range(250)] + [
        (f"m{at}", 1.0, 0, 0) for at in range(250)
    ]
    for _ in range(2):
        log_points(reached, run_id, points, {"a": "b"}, {f"p{at}": at for at in range(90)})
    assert [each.step for each in reached.get_metric_history(run_id, "loss")] == list(range(250))
    run = reached.get_run(run_id)
    assert (len(run.data.metrics), len(run.data.params), run.data.tags["a"]) == (251, 90, "b")


def test_mlflow_ranks_a_tickers_models_by_a_metric_on_the_same_bars(
    tracking: Tracking, night: Night
) -> None:
    for key, coverage in (("a", 0.7), ("b", 0.9), ("c", 0.8)):
        figures = {**night.metrics, "answer/coverage_80_pct": 100 * coverage}
        tracking.log_night(replace(night, key=key * 64, metrics=figures))
    bars = {"dataset_name": "IBM bars", "dataset_digest": night.data_hash[:16]}
    best_first = {"field_name": "metrics.band80", "ascending": False, **bars}
    ids = [experiment(tracking).experiment_id]
    ranked = client(tracking).search_logged_models(ids, order_by=[best_first])
    assert [model.tags["stockml.key"][0] for model in ranked] == ["b", "c", "a"]
    above = client(tracking).search_logged_models(ids, "metrics.band80 > 75", datasets=[bars])
    assert {model.tags["stockml.key"][0] for model in above} == {"b", "c"}


def test_a_night_that_kept_the_champion_scores_the_champions_model_again(
    tracking: Tracking, night: Night
) -> None:
    tracking.log_night(night)
    promote(tracking, night)
    kept = replace(night, key="f" * 64, mode="keep", champion_kept=True, data_hash="9" * 64)
    tracking.log_night(kept)
    [model] = client(tracking).search_logged_models([experiment(tracking).experiment_id])
    digests = {metric.dataset_digest for metric in model.metrics if metric.key == "band80"}
    assert digests == {night.data_hash[:16], "9" * 16}
