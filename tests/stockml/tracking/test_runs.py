"""A night is one run that holds all of it, even if it is killed, logged twice at once or left by a lost answer."""

import json
import math
import os
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.tracking._model_registry.client import ModelRegistryClient
from tenacity import Retrying, retry_if_exception_type, wait_random

from stockml.errors import TrackingUnavailable
from stockml.nights.record import Night, night_path, read_night, write_night
from stockml.settings import ONLY_NIGHTLY, ONLY_TUTORIAL, settings_for
from stockml.tracking import run_content
from stockml.tracking.client import Tracking
from stockml.tracking.runs import log_points
from tests.stockml.tracking.logged import NOW, changed, client, experiment, runs, versions
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
    (ModelRegistryClient, "set_registered_model_alias"),
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


def _log_until_killed(tracking: Tracking, night: Night) -> None:
    MlflowClient.log_model_artifacts = lambda *_, **__: os.kill(os.getpid(), 9)  # type: ignore[method-assign]
    tracking.log_night(night)


@pytest.fixture
def killed(tracking: Tracking, night: Night) -> Night:
    """A night whose process was killed while it uploaded the model: its run is RUNNING."""
    process = forked(_log_until_killed, tracking, night)
    process.join(PATIENCE_S)
    assert process.exitcode == KILLED
    assert [run.info.status for run in runs(tracking)] == ["RUNNING"]
    return night


@pytest.mark.slow
def test_an_orphan_is_resumed_from_its_record(tracking: Tracking, killed: Night) -> None:
    path = night_path(tracking.home.nights, killed.ticker, killed.key)
    write_night(killed, path)
    assert list(tracking.sweep_orphans(now=NOW).values()) == ["resumed"]
    assert [run.info.status for run in runs(tracking)] == ["FINISHED"]
    assert read_night(path).model_version == "1"


@pytest.mark.slow
def test_an_orphan_without_a_record_is_marked_failed_and_its_key_can_still_be_logged(
    tracking: Tracking, killed: Night
) -> None:
    assert list(tracking.sweep_orphans(now=NOW).values()) == ["failed"]
    assert [run.info.status for run in runs(tracking)] == ["FAILED"]
    tracking.log_night(killed)
    assert [run.info.status for run in runs(tracking)] == ["FINISHED"]
    assert len(versions(tracking)) == 1


def test_a_home_gives_way_where_another_begins_the_nights_run_at_the_same_moment(
    tracking: Tracking, night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as at_once:
        real, made = MlflowClient.create_run, list[Run]()

        def create_run(*arguments: Any, **named: Any) -> Run:
            made.extend(real(*arguments, **named) for _ in ("another's", "this one's"))
            return made[-1]

        at_once.setattr(MlflowClient, "create_run", create_run)
        with pytest.raises(TrackingUnavailable, match="another home logs this very night"):
            tracking.log_night(night)
    assert [run.info.run_id for run in runs(tracking)] == [made[0].info.run_id]
    assert tracking.log_night(night).mlflow_run_id == made[0].info.run_id


@pytest.mark.parametrize(("host", "swept"), [("here", 0), ("elsewhere", 0), ("elsewhere long ago", 1)])
def test_a_run_is_left_alone_while_its_process_may_be_alive(
    host: str, swept: int, tracking: Tracking, night: Night
) -> None:
    """However long ago the night was: one that waited for MLflow, or is logged again, is logged only now."""
    run_id = tracking.log_night(night).mlflow_run_id
    mlflow = client(tracking)
    if host != "here":
        mlflow.set_tag(run_id, "stockml.process", "another-host:1")
    mlflow.update_run(run_id, status="RUNNING")
    mine = mlflow.create_run(experiment(tracking).experiment_id, start_time=1, run_name="a person's")
    now = datetime.now(UTC) + timedelta(hours=3 if host == "elsewhere long ago" else 0)
    assert list(tracking.sweep_orphans(now=now)) == [run_id] * swept
    assert mlflow.get_run(mine.info.run_id).info.status == "RUNNING"


def test_there_is_nothing_to_sweep_in_an_empty_mlflow(tracking: Tracking) -> None:
    assert tracking.sweep_orphans(now=NOW) == {}


@pytest.mark.parametrize("homes", [1, 2])
def test_two_loggers_at_once_make_one_run(homes: int, tracking: Tracking, night: Night, tmp_path: Path) -> None:
    """In one home, or in two that log the same night to one MLflow; the one that gives way catches up later."""
    tracking.log_night(replace(night, ticker="HPQ"))
    elsewhere = changed(tracking, root=tmp_path)
    patient = Retrying(retry=retry_if_exception_type(TrackingUnavailable), wait=wait_random(0, 1))
    loggers = (tracking, elsewhere if homes == 2 else tracking)
    with ThreadPoolExecutor(2) as at_once:
        one, other = at_once.map(lambda by: patient(by.log_night, night), loggers)
    assert one == other
    assert len(runs(tracking)) == len(versions(tracking)) == 1


def test_two_runs_left_by_a_lost_answer_become_one(tracking: Tracking, night: Night) -> None:
    """MLflow's client repeats a request whose answer was lost, and the first may already have created a run."""
    tags = {"stockml.key": night.key, "stockml.process": f"{socket.gethostname()}:{os.getpid()}"}
    experiment_id = client(tracking).create_experiment("stockml/IBM", tracking.home.artifacts)
    begun, ended = (client(tracking).create_run(experiment_id, start_time=1, tags=tags) for _ in range(2))
    at_work = ({"stockml.process": "elsewhere:1"}, {"stockml.installation": "another home on this machine"})
    others = [client(tracking).create_run(experiment_id, tags={**tags, **theirs}) for theirs in at_work]
    client(tracking).set_terminated(ended.info.run_id)
    assert tracking.log_night(night).mlflow_run_id == ended.info.run_id
    assert {run.info.run_id for run in runs(tracking)} == {run.info.run_id for run in (ended, *others)}
    assert client(tracking).get_run(begun.info.run_id).info.lifecycle_stage == "deleted"


@pytest.mark.parametrize("found", [b"", b"\xb9", b"another"])
def test_a_damaged_installation_id_is_replaced(found: bytes, tracking: Tracking, night: Night) -> None:
    tracking.home.nights.mkdir(parents=True, exist_ok=True)
    (tracking.home.nights / ".installation").write_bytes(found)
    tracking.log_night(night)
    [run] = runs(tracking)
    assert len(run.data.tags["stockml.installation"]) == 32
    assert (tracking.home.nights / ".installation").read_text() == run.data.tags["stockml.installation"]


def test_another_homes_run_is_waited_for_until_nobody_can_be_working_on_it(tracking: Tracking, night: Night) -> None:
    """It is on another host, whose processes cannot be seen from here: after two hours it is taken for dead."""
    tags = {"stockml.key": night.key, "stockml.process": "elsewhere:1", "stockml.installation": "another"}
    experiment_id = client(tracking).create_experiment("stockml/IBM", tracking.home.artifacts)
    begun = client(tracking).create_run(experiment_id, tags=tags)
    with pytest.raises(TrackingUnavailable, match="another home logs this"):
        tracking.log_night(night)
    assert client(tracking).get_run(begun.info.run_id).data.tags == {**tags, "mlflow.runName": begun.info.run_name}
    client(tracking).delete_run(begun.info.run_id)
    long_ago = int((datetime.now(UTC) - timedelta(hours=3)).timestamp() * 1000)
    dead = client(tracking).create_run(experiment_id, start_time=long_ago, tags=tags)
    assert tracking.log_night(night).mlflow_run_id == dead.info.run_id
    assert client(tracking).get_run(dead.info.run_id).data.tags["stockml.installation"] == tracking.installation


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


def test_metrics_that_are_not_finite_are_left_out(tracking: Tracking, night: Night) -> None:
    broken = {"live/skill": math.nan, "published/mase": math.inf, "published/mse": 0.5}
    run = client(tracking).get_run(tracking.log_night(replace(night, metrics=broken)).mlflow_run_id)
    assert "live/skill" not in run.data.metrics
    assert "published/mase" not in run.data.metrics
    assert run.data.metrics["published/mse"] == 0.5


def test_however_many_points_and_parameters_there_are_mlflow_gets_them_all_in_batches_that_it_accepts() -> None:
    batches: list[tuple[Any, ...]] = []

    class Received(MlflowClient):
        def log_batch(self, _: str, metrics: Any = (), params: Any = (), tags: Any = (), *more: Any) -> None:
            batches.append((metrics, params, tags))

    known = [("loss", float(step), 0, step) for step in range(2500)]
    log_points(Received("sqlite://"), "1", known, {"a": "b"}, {"c": 1, "d": 2})
    assert [tuple(map(len, batch)) for batch in batches] == [(997, 2, 1), (1000, 0, 0), (503, 0, 0)]
    assert [each.step for metrics, *_ in batches for each in metrics] == list(range(2500))
