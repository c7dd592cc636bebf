"""A night is one run that holds all of it, even if it is killed or logged twice at once."""

import json
import math
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from stockml.models.registry import Promotion, Registry
from stockml.nights.record import Night, night_path, read_night
from stockml.settings import ONLY_NIGHTLY, ONLY_TUTORIAL, settings_for
from stockml.tracking import run_content
from stockml.tracking.client import Tracking
from stockml.tracking.runs import log_points
from tests.stockml.tracking.logged import NOW, client, experiment, runs, versions
from tests.support.night_process import KILLED, forked
from tests.support.nights import SETTINGS
from tests.support.patience import PATIENCE_S

STEPS = (
    *(
        (MlflowClient, name)
        for name in ("create_experiment", "create_run", "log_batch", "log_inputs", "create_logged_model", "log_outputs")
    ),
    (MlflowClient, "log_model_artifacts"),
    (MlflowClient, "finalize_logged_model"),
    (MlflowClient, "create_registered_model"),
    (MlflowClient, "create_model_version"),
    (MlflowClient, "set_registered_model_alias"),
    (MlflowClient, "set_terminated"),
)


class Killed(BaseException):
    """Stands in for the end of the process: none of our code catches it."""


@pytest.mark.parametrize(
    ("when", "owner", "step"), [("before", *STEPS[0]), *(("after", owner, step) for owner, step in STEPS)]
)
def test_a_night_killed_anywhere_ends_as_one_run_and_one_version(
    when: str, owner: Any, step: str, tracking: Tracking, night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as dying:
        real = getattr(owner, step)

        def die(*arguments: Any, **named: Any) -> None:
            if when == "after":
                real(*arguments, **named)
            raise Killed

        dying.setattr(owner, step, die)
        with pytest.raises(Killed):
            tracking.log_night(night)
    once = tracking.log_night(night)
    [run], [version] = runs(tracking), versions(tracking)
    assert (run.info.run_id, run.info.status) == (once.mlflow_run_id, "FINISHED")
    assert str(version.version) == once.model_version
    assert str(client(tracking).get_model_version_by_alias("lstm-IBM", "challenger").version) == once.model_version
    assert len(run.outputs.model_outputs) == 1
    assert len(client(tracking).search_logged_models([experiment(tracking).experiment_id])) == 1
    # every lead of the first two weeks, then the last lead of each week
    assert len(client(tracking).get_metric_history(once.mlflow_run_id, "answer/forecast")) == 18
    assert len(client(tracking).get_metric_history(once.mlflow_run_id, "published/skill")) == 1


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
    assert read_night(night_path(tracking.home.nights, night.ticker, night.key)).model_version == "1"


def test_two_loggers_at_once_make_one_run(tracking: Tracking, night: Night) -> None:
    with ThreadPoolExecutor(2) as at_once:
        one, other = at_once.map(tracking.log_night, [night, night])
    assert one == other
    assert len(runs(tracking)) == len(versions(tracking)) == 1


IDLE = ONLY_TUTORIAL  # in the nightly profile


def test_a_run_holds_the_whole_night_and_the_decision_with_its_numbers(
    tracking: Tracking, night: Night, tmp_path: Path
) -> None:
    logged = tracking.log_night(night)
    run = client(tracking).get_run(logged.mlflow_run_id)
    assert run.info.run_name == "IBM 2013-02-28 fine-tune"
    assert run.info.status == "FINISHED"
    assert run.info.end_time - run.info.start_time == int(night.seconds * 1000)
    assert set(run.data.params) == {name for name in SETTINGS.flat() if name not in IDLE}
    of_tutorial = settings_for("tutorial")
    params = run_content.params(replace(night, settings=of_tutorial.flat()))
    assert set(params) == set(of_tutorial.flat()) - set(ONLY_NIGHTLY)
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
    assert (decided["publisher"], decided["width_by"]) == (night.publisher, night.forecast.width_by)


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
        "pretrained_width_crps_skill_pct": table.widths["pretrained network"].skill,
        "over_champion_pct": table.against_champion.skill,
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


def test_metrics_that_are_not_finite_are_left_out(tracking: Tracking, night: Night) -> None:
    broken = {"live/skill": math.nan, "published/mase": math.inf, "published/mse": 0.5}
    run = client(tracking).get_run(tracking.log_night(replace(night, metrics=broken)).mlflow_run_id)
    assert "live/skill" not in run.data.metrics
    assert "published/mase" not in run.data.metrics
    assert run.data.metrics["published/mse"] == 0.5


def test_however_many_points_and_parameters_there_are_mlflow_has_them_all_once(tracking: Tracking) -> None:
    reached = client(tracking)
    run_id = reached.create_run(reached.create_experiment("many")).info.run_id
    points = [("loss", float(step), 0, step) for step in range(250)] + [(f"m{at}", 1.0, 0, 0) for at in range(250)]
    for _ in range(2):
        log_points(reached, run_id, points, {"a": "b"}, {f"p{at}": at for at in range(90)})
    assert [each.step for each in reached.get_metric_history(run_id, "loss")] == list(range(250))
    run = reached.get_run(run_id)
    assert (len(run.data.metrics), len(run.data.params), run.data.tags["a"]) == (251, 90, "b")


def test_mlflow_ranks_a_tickers_models_by_a_metric_and_opens_its_comparison_with_one_that_says_something(
    tracking: Tracking, night: Night
) -> None:
    for key, coverage in (("a", 0.7), ("b", 0.9), ("c", 0.8)):
        figures = {**night.metrics, "answer/coverage_80_pct": 100 * coverage}
        tracking.log_night(replace(night, key=key * 64, metrics=figures))
    bars = {"dataset_name": "IBM bars", "dataset_digest": night.data_hash[:16]}
    best_first = {"field_name": "metrics.answer/coverage_80_pct", "ascending": False, **bars}
    ids = [experiment(tracking).experiment_id]
    ranked = client(tracking).search_logged_models(ids, order_by=[best_first])
    assert [model.tags["stockml.key"][0] for model in ranked] == ["b", "c", "a"]
    above = client(tracking).search_logged_models(ids, "metrics.`answer/coverage_80_pct` > 75", datasets=[bars])
    assert {model.tags["stockml.key"][0] for model in above} == {"b", "c"}
    [run, *_] = runs(tracking)
    assert min(run.data.metrics) == "answer/coverage_80_pct"


def test_a_night_that_kept_the_champion_scores_the_champions_model_again(tracking: Tracking, night: Night) -> None:
    tracking.log_night(night)
    line = (night.key, str(night.model_folder), str(night.model_sha256), None, night.session, "better", NOW)
    Registry(tracking.home.models).promote(Promotion("IBM", "promote", *line))
    kept = replace(night, key="f" * 64, mode="keep", champion_kept=True, data_hash="9" * 64)
    tracking.log_night(kept)
    [model] = client(tracking).search_logged_models([experiment(tracking).experiment_id])
    digests = {metric.dataset_digest for metric in model.metrics if metric.key == "answer/coverage_80_pct"}
    assert digests == {night.data_hash[:16], "9" * 16}
