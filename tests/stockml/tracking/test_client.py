"""One night, one run, one model version: whatever is repeated, killed or out of reach."""

import json
import math
import multiprocessing
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from tenacity import Retrying, retry_if_exception_type, wait_random

from deployments.cli.app import run
from stockml.errors import TrackingUnavailable
from stockml.home import Home
from stockml.models.registry import Promotion, Registry
from stockml.nights.glance import WIDTH
from stockml.nights.record import Night, night_path, read_night, write_night
from stockml.storage.files import sha256_of
from stockml.tracking import views
from stockml.tracking.client import Tracking, run_url
from stockml.tracking.connection import without_password
from stockml.tracking.experiments import artifact_location
from stockml.tracking.runs import INSTALLATION
from tests.support.loopback import Loopback, silent, whole
from tests.support.nights import SETTINGS, history, recorded_night, with_files

CLIENT_STEPS = (
    "create_experiment",
    "create_run",
    "log_batch",
    "log_inputs",
    "log_artifacts",
    "log_text",
    "create_logged_model",
    "log_outputs",
    "log_model_artifacts",
    "finalize_logged_model",
    "create_registered_model",
    "create_model_version",
    "set_registered_model_alias",
    "set_terminated",
)


NOW = datetime(2013, 3, 1, 0, 31, tzinfo=UTC)


class Killed(BaseException):
    """Stands for the end of the process: nothing of ours catches it."""


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's tables without a row: making them takes seconds, copying them none."""
    folder = tmp_path_factory.mktemp("mlflow")
    Tracking(f"sqlite:///{folder}/mlflow.db", folder.as_uri(), folder, folder).sweep_orphans(now=NOW)
    return folder / "mlflow.db"


@pytest.fixture
def tracking(home: Home, empty_database: Path) -> Tracking:
    home.root.mkdir()
    shutil.copy(empty_database, home.root / "mlflow.db")
    return Tracking.of(home)


@pytest.fixture
def night(tmp_path: Path) -> Night:
    plots = tmp_path / "plots"
    plots.mkdir()
    (plots / "forecast.png").write_bytes(b"\x89PNG of a forecast")
    return replace(with_files(recorded_night(), tmp_path), plots_folder=str(plots))


def client(tracking: Tracking) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=tracking.uri, registry_uri=tracking.uri)


def runs(tracking: Tracking, ticker: str = "IBM") -> list[Any]:
    found = client(tracking).get_experiment_by_name(f"stockml/{ticker}")
    return list(client(tracking).search_runs([found.experiment_id])) if found else []


def versions(tracking: Tracking, ticker: str = "IBM") -> list[Any]:
    return list(client(tracking).search_model_versions(f"name = 'lstm-{ticker}'"))


def test_a_run_holds_the_whole_night_and_the_decision_with_its_numbers(
    tracking: Tracking, night: Night, tmp_path: Path
) -> None:
    logged = tracking.log_night(night)
    run = client(tracking).get_run(logged.run_id)
    assert run.info.run_name == "IBM 2013-02-28 fine-tune"
    assert run.info.status == "FINISHED"
    assert set(run.data.params) == set(SETTINGS.flat())
    assert run.data.params["network.units"] == " ".join(str(units) for units in SETTINGS.network.units)
    expected = {"ticker": "IBM", "session": "2013-02-28", "mode": "fine-tune", "reason": "1 new session"}
    expected |= {"verdict": "not promoted", "stockml.key": night.key, "stockml.data_hash": night.data_hash}
    expected |= {"git_dirty": "no", "prefect_flow_run": night.flow_run_url or ""}
    assert expected.items() <= run.data.tags.items()
    assert run.data.metrics["published/skill"] == pytest.approx(night.metrics["published/skill"])
    check_headline(night, run.data.metrics)
    assert all(math.isfinite(value) for value in run.data.metrics.values())
    assert [entry.dataset.digest for entry in run.inputs.dataset_inputs] == [night.data_hash[:16]]
    files = {file.path for file in client(tracking).list_artifacts(logged.run_id)}
    assert files == {"plots", "night.json", "decision.json"}
    assert night.verdict
    gate = {name.removeprefix("gate."): value for name, value in run.data.tags.items() if name.startswith("gate.")}
    assert {name: float(value) for name, value in gate.items()} == pytest.approx(night.verdict.numbers, rel=1e-5)
    path = client(tracking).download_artifacts(logged.run_id, "decision.json", str(tmp_path))
    decided = json.loads(Path(path).read_text())
    assert (decided["promoted"], decided["reason"]) == (night.verdict.promoted, night.verdict.reason)
    assert decided["numbers"] == dict(night.verdict.numbers)


def test_experiment_and_model_follow_a_share_to_its_new_symbol(tracking: Tracking, night: Night) -> None:
    logged = tracking.log_night(night)
    tracking.mirror_champion("IBM", logged.model_version or "")
    assert tracking.rename("IBM", "BIM") == ["MLflow's experiment", "MLflow's model"]
    [run] = runs(tracking, "BIM")
    assert (run.info.run_id, run.data.tags["stockml.ticker"]) == (logged.run_id, "BIM")
    assert (runs(tracking), versions(tracking)) == ([], [])
    assert [str(version.version) for version in versions(tracking, "BIM")] == [logged.model_version]
    assert tracking.rename("IBM", "BIM") == []


def check_headline(night: Night, shown: dict[str, float]) -> None:
    """What stands first on the page, in percent: what is published, what of it is the network's, the distribution."""
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
        {name: 100 * (value or 0.0) for name, value in expected.items()}
    )


@pytest.mark.parametrize(
    ("name", "steps"),
    [("training/loss", range(1, 6)), ("answer/skill_by_lead", range(1, 51)), ("answer/forecast", range(1, 51))],
)
def test_curves_have_a_step_an_epoch_or_a_lead(name: str, steps: range, tracking: Tracking, night: Night) -> None:
    logged = tracking.log_night(replace(night, history=history()))
    points = client(tracking).get_metric_history(logged.run_id, name)
    assert sorted(point.step for point in points) == list(steps)


def test_the_description_has_the_verdict_the_table_and_the_plots(tracking: Tracking, night: Night) -> None:
    logged = tracking.log_night(night)
    note = client(tracking).get_run(logged.run_id).data.tags["mlflow.note.content"]
    assert note.startswith("**published: the last close")
    assert "; network adds +" in note
    assert "| tonight's network" in note
    assert "| 20 sessions" in note
    assert f"![forecast](get-artifact?path=plots%2Fforecast.png&run_uuid={logged.run_id})" in note
    assert f"runs/{logged.run_id}/artifacts/plots/forecast.png" in note


def test_the_same_night_again_adds_nothing(tracking: Tracking, night: Night) -> None:
    assert tracking.log_night(night) == tracking.log_night(night)
    assert len(runs(tracking)) == len(versions(tracking)) == 1


def test_another_night_is_another_run_and_version_and_the_new_challenger(tracking: Tracking, night: Night) -> None:
    tracking.log_night(night)
    second = tracking.log_night(replace(night, key="f" * 64))
    assert len(runs(tracking)) == len(versions(tracking)) == 2
    challenger = client(tracking).get_model_version_by_alias("lstm-IBM", "challenger")
    assert str(challenger.version) == second.model_version


def test_metrics_that_are_not_finite_are_left_out(tracking: Tracking, night: Night) -> None:
    broken = {"live/skill": math.nan, "published/mase": math.inf, "published/mse": 0.5}
    run = client(tracking).get_run(tracking.log_night(replace(night, metrics=broken)).run_id)
    assert "live/skill" not in run.data.metrics
    assert "published/mase" not in run.data.metrics
    assert run.data.metrics["published/mse"] == 0.5


def test_a_night_that_kept_the_champion_names_its_version_and_registers_none(tracking: Tracking, night: Night) -> None:
    first = tracking.log_night(night)
    kept = replace(night, key="f" * 64, mode="keep", champion_kept=True)
    assert tracking.log_night(kept).model_version is None
    tracking.mirror_champion("IBM", first.model_version or "")
    assert tracking.log_night(kept).model_version == first.model_version
    assert len(versions(tracking)) == 1


@pytest.mark.parametrize(("when", "step"), [("before", CLIENT_STEPS[0]), *(("after", step) for step in CLIENT_STEPS)])
def test_a_night_killed_anywhere_ends_as_one_run_and_one_version(
    when: str, step: str, tracking: Tracking, night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    with monkeypatch.context() as dying:
        real = getattr(MlflowClient, step)

        def die(*arguments: Any, **named: Any) -> None:
            if when == "after":
                real(*arguments, **named)
            raise Killed

        dying.setattr(MlflowClient, step, die)
        with pytest.raises(Killed):
            tracking.log_night(night)
    once = tracking.log_night(night)
    [run], [version] = runs(tracking), versions(tracking)
    assert (run.info.run_id, run.info.status) == (once.run_id, "FINISHED")
    assert str(version.version) == once.model_version
    assert str(client(tracking).get_model_version_by_alias("lstm-IBM", "challenger").version) == once.model_version
    assert len(run.outputs.model_outputs) == 1
    assert len(client(tracking).search_logged_models([once.experiment_id])) == 1
    assert len(client(tracking).get_metric_history(once.run_id, "answer/forecast")) == 50
    assert len(client(tracking).get_metric_history(once.run_id, "published/skill")) == 1


def _log_until_killed(tracking: Tracking, night: Night) -> None:
    from mlflow import MlflowClient

    MlflowClient.log_model_artifacts = lambda *_, **__: os.kill(os.getpid(), 9)
    tracking.log_night(night)


@pytest.fixture
def killed(tracking: Tracking, night: Night) -> Night:
    """A night whose process was killed while it uploaded the model: its run is RUNNING."""
    process = multiprocessing.get_context("spawn").Process(target=_log_until_killed, args=(tracking, night))
    process.start()
    process.join(60)
    assert process.exitcode == -9
    assert [run.info.status for run in runs(tracking)] == ["RUNNING"]
    return night


@pytest.mark.slow
def test_an_orphan_is_resumed_from_its_record(tracking: Tracking, killed: Night) -> None:
    path = night_path(tracking.nights, killed.ticker, killed.key)
    write_night(killed, path)
    assert list(tracking.sweep_orphans(now=NOW).values()) == ["resumed"]
    assert [run.info.status for run in runs(tracking)] == ["FINISHED"]
    assert read_night(path).model_version == "1"


@pytest.mark.slow
def test_an_orphan_without_a_record_is_failed_and_its_key_can_still_be_logged(
    tracking: Tracking, killed: Night
) -> None:
    assert list(tracking.sweep_orphans(now=NOW).values()) == ["failed"]
    assert [run.info.status for run in runs(tracking)] == ["FAILED"]
    tracking.log_night(killed)
    assert [run.info.status for run in runs(tracking)] == ["FINISHED"]
    assert len(versions(tracking)) == 1


@pytest.mark.parametrize(("host", "swept"), [("here", 0), ("elsewhere", 0), ("elsewhere long ago", 1)])
def test_a_run_of_a_live_process_is_left_alone(host: str, swept: int, tracking: Tracking, night: Night) -> None:
    run_id = tracking.log_night(night).run_id
    mlflow = client(tracking)
    if host != "here":
        mlflow.set_tag(run_id, "stockml.process", "another-host:1")
    mlflow.update_run(run_id, status="RUNNING")
    now = NOW + timedelta(days=1) if host == "elsewhere long ago" else NOW
    assert len(tracking.sweep_orphans(now=now)) == swept


def test_there_is_nothing_to_sweep_in_an_empty_mlflow(tracking: Tracking) -> None:
    assert tracking.sweep_orphans(now=NOW) == {}


@pytest.mark.parametrize("homes", [1, 2])
def test_two_loggers_at_once_make_one_run(homes: int, tracking: Tracking, night: Night, tmp_path: Path) -> None:
    """Of one home, or of two that log the same night to one MLflow; a home that gives way catches up later."""
    tracking.log_night(replace(night, ticker="HPQ"))
    elsewhere = replace(tracking, nights=tmp_path / "nights", locks=tmp_path / "locks")
    patient = Retrying(retry=retry_if_exception_type(TrackingUnavailable), wait=wait_random(0, 1))
    found: list[Any] = []
    threads = [
        threading.Thread(target=lambda by=by: found.append(patient(by.log_night, night)))
        for by in (tracking, elsewhere if homes == 2 else tracking)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found[0] == found[1]
    assert len(runs(tracking)) == len(versions(tracking)) == 1


@pytest.fixture(params=["refused", "error", "silent"])
def address(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An address where no MLflow answers: nothing listens, it breaks, or it says nothing."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    with Loopback(whole(b"", 503) if request.param == "error" else silent) as server:
        address = server.address
        if request.param != "refused":
            yield address
    if request.param == "refused":
        yield address


def test_an_unreachable_mlflow_keeps_the_night_for_the_next_run(address: str, tracking: Tracking, night: Night) -> None:
    with pytest.raises(TrackingUnavailable, match="cannot be reached or written to"):
        replace(tracking, uri=address).keep_and_log(night)
    assert [kept.key for kept in tracking.pending()] == [night.key]
    [logged] = tracking.log_pending(pages="http://127.0.0.1:5000")
    assert logged.mlflow_run_id == runs(tracking)[0].info.run_id
    assert tracking.pending() == ()


def test_a_database_that_cannot_be_opened_is_unavailable(tracking: Tracking, night: Night, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(TrackingUnavailable):
        replace(tracking, uri=f"sqlite:///{tmp_path}/file/mlflow.db").log_night(night)


def test_what_is_our_own_mistake_is_not_called_unavailable(tracking: Tracking, night: Night) -> None:
    from mlflow.exceptions import MlflowException

    with pytest.raises(MlflowException, match=r"no.*name"):
        tracking.log_night(replace(night, settings={"no\nname": 1}))


def test_the_alias_follows_the_champion_that_an_unreachable_mlflow_missed(tracking: Tracking, night: Night) -> None:
    first = tracking.log_night(night)
    tracking.log_night(replace(night, key="f" * 64))
    for key in ("f" * 64, night.key, "0" * 64):
        tracking.follow_champion("IBM", key)
    assert str(client(tracking).get_model_version_by_alias("lstm-IBM", "champion").version) == first.model_version


def test_a_run_that_a_lost_answer_left_twice_is_one_again(tracking: Tracking, night: Night) -> None:
    """MLflow's client asks again when an answer is lost: the first request may have begun a run already."""
    tags = {"stockml.key": night.key, "stockml.process": f"{socket.gethostname()}:{os.getpid()}"}
    experiment_id = client(tracking).create_experiment("stockml/IBM", tracking.artifacts)
    for _ in range(2):
        client(tracking).create_run(experiment_id, tags=tags)
    tracking.log_night(night)
    assert [run.info.status for run in runs(tracking)] == ["FINISHED"]


def test_another_homes_run_is_waited_for_until_nobody_can_be_at_work_on_it(tracking: Tracking, night: Night) -> None:
    """On another host, whose processes nobody sees from here: after two hours it is taken for dead."""
    tags = {"stockml.key": night.key, "stockml.process": "elsewhere:1", "stockml.installation": "another"}
    experiment_id = client(tracking).create_experiment("stockml/IBM", tracking.artifacts)
    begun = client(tracking).create_run(experiment_id, tags=tags)
    with pytest.raises(TrackingUnavailable, match="another home logs this"):
        tracking.log_night(night)
    client(tracking).delete_run(begun.info.run_id)
    long_ago = int((datetime.now(UTC) - timedelta(hours=3)).timestamp() * 1000)
    dead = client(tracking).create_run(experiment_id, start_time=long_ago, tags=tags)
    assert tracking.log_night(night).run_id == dead.info.run_id


def test_a_rollback_moves_the_alias_at_once_and_says_where_it_cannot(
    home: Home, tracking: Tracking, night: Night, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, versions = home.models / "IBM" / "model", {}
    folder.mkdir(parents=True)
    (folder / "weights").write_bytes(b"weights")
    for key in ("a" * 64, "b" * 64, "c" * 64):
        versions[key] = tracking.log_night(replace(night, key=key)).model_version or ""
        line = (key, str(folder), sha256_of(str(folder)) or "", versions[key], night.session, "better", NOW)
        Registry(home.models).promote(Promotion("IBM", "promote", *line))
    tracking.mirror_champion("IBM", versions["c" * 64])
    assert run(["rollback", "IBM"]) == 0
    assert capsys.readouterr().out.rstrip().endswith(f"MLflow's alias `champion` names version {versions['b' * 64]}")
    assert champion(tracking) == versions["b" * 64]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert run(["rollback", "IBM", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["key"], said["mlflow_version"]) == ("a" * 64, None)
    assert "MLflow at http://127.0.0.1:9 cannot be reached" in said["mlflow"]
    assert "follows with the next night" in said["mlflow"]
    assert champion(tracking) == versions["b" * 64]


def champion(tracking: Tracking) -> str:
    return str(client(tracking).get_model_version_by_alias("lstm-IBM", "champion").version)


@pytest.mark.parametrize(
    ("uri", "location"),
    [
        ("sqlite:////home/mlflow.db", "file:///home/artifacts/IBM"),
        ("http://127.0.0.1:5000", "file:///home/artifacts/IBM"),
        ("http://mlflow.example:5000", None),
    ],
)
def test_artifacts_lie_where_both_this_machine_and_its_server_read_them(uri: str, location: str | None) -> None:
    assert artifact_location(uri, "file:///home/artifacts", "IBM") == location


def test_a_message_never_shows_a_password() -> None:
    uri = "postgresql+psycopg://me:secret@db.example:5432/mlflow"
    assert without_password(uri) == "postgresql+psycopg://db.example:5432/mlflow"
    assert without_password("sqlite:////home/mlflow.db") == "sqlite:////home/mlflow.db"


def test_a_runs_link_lands_in_the_model_training_layout() -> None:
    link = run_url("http://127.0.0.1:5000/", "3", "a1")
    assert link == "http://127.0.0.1:5000/#/experiments/3/runs/a1?workflowType=machine_learning"


def test_importing_tracking_loads_no_mlflow() -> None:
    code = "import sys, stockml.tracking.client; print('mlflow' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], check=True, timeout=60, capture_output=True, text=True)
    assert ran.stdout == "False\n"


def test_tickers_with_dots_and_dashes_have_models_too(tracking: Tracking, night: Night) -> None:
    for ticker in ("BRK-B", "TSCO.LON"):
        logged = tracking.log_night(replace(night, ticker=ticker))
        (version,) = versions(tracking, ticker)
        assert (str(version.version), version.run_id) == (logged.model_version, logged.run_id)


def track_record(tracking: Tracking) -> tuple[Any, dict[str, dict[int, float]]]:
    """The one run of IBM in the experiment of all tickers, and its figures by session."""
    overview = client(tracking).get_experiment_by_name("stockml")
    (run,) = client(tracking).search_runs([overview.experiment_id])
    names = run.data.metrics
    points = {name: client(tracking).get_metric_history(run.info.run_id, name) for name in names}
    return run, {name: {point.step: point.value for point in found} for name, found in points.items()}


def test_the_track_record_has_a_step_a_session_in_whatever_order_nights_are_run(
    tracking: Tracking, night: Night
) -> None:
    def other(day: date, skill: float, **changes: Any) -> Night:
        live = {**night.metrics, "live/skill": skill}
        return replace(night, session=day, key=sha256(f"{day} {skill}".encode()).hexdigest(), metrics=live, **changes)

    for each in (night, other(date(2013, 3, 1), 0.03), other(date(2013, 2, 27), 0.01), night):
        tracking.log_night(each)
    run, figures = track_record(tracking)
    assert figures["record/live_skill_pct"] == pytest.approx({20130227: 1.0, 20130228: 2.1, 20130301: 3.0})
    assert (run.data.tags["session"], run.data.tags["verdict"]) == ("2013-03-01", "not promoted")
    tracking.log_night(other(date(2013, 2, 28), 0.05))
    tracking.log_night(other(date(2013, 3, 1), -0.02))
    run, figures = track_record(tracking)
    assert figures["record/live_skill_pct"] == pytest.approx({20130227: 1.0, 20130228: 5.0, 20130301: -2.0})
    assert run.data.metrics["record/live_skill_pct"] == pytest.approx(-2.0)
    assert {len(found) for found in figures.values()} == {3}


def test_a_record_begins_with_what_an_older_home_has_and_a_half_written_one_is_made_again(
    tracking: Tracking, night: Night
) -> None:
    older = replace(night, session=date(2013, 2, 27), key="0" * 64)
    write_night(older, night_path(tracking.nights, "IBM", older.key))
    tracking.prepare()
    overview = client(tracking).get_experiment_by_name("stockml")
    client(tracking).create_run(overview.experiment_id, tags={"ticker": "IBM", INSTALLATION: tracking._installation})
    tracking.log_night(night)
    _, figures = track_record(tracking)
    assert set(figures["record/network_adds_crps_pct"]) == {20130227, 20130228}


def test_what_the_pages_explain_is_what_they_show(tracking: Tracking, night: Night) -> None:
    logged = tracking.log_night(replace(night, metrics={**night.metrics, WIDTH: 80.0}))
    shown = set(client(tracking).get_run(logged.run_id).data.metrics)
    of_a_path = {"answer/network_adds_pct", "answer/lstm_beats_last_close_pct"}
    assert {name for name in views.NIGHTS if "*" not in name} - of_a_path <= shown
    run, _ = track_record(tracking)
    unknown = {WIDTH.replace("answer", "record"), "record/network_adds_pct"}
    assert set(run.data.metrics) | unknown == set(views.RECORD)
    assert max(map(len, (views.nights_view(), views.record_view(), views.nights_note("IBM", "12", "1")))) < 5000
    tracking.show_overview(lambda links: f"[IBM]({links['IBM']})\n" * 200)
    note = client(tracking).get_experiment_by_name("stockml").tags[views.NOTE]
    assert len(note) < 5000
    assert note.startswith(f"[IBM](#/experiments/{logged.experiment_id}/runs?viewStateShareKey=stockml&")
    assert "| record/promoted | 0 or 1 |" in note
    (version,) = versions(tracking)
    assert "2013-02-28 (fine-tune: 1 new session)" in version.description


def test_a_page_that_a_person_rearranged_stays_so(tracking: Tracking, night: Night) -> None:
    logged = tracking.log_night(night)
    client(tracking).set_experiment_tag(logged.experiment_id, views.TAG, "mine")
    tracking.log_night(replace(night, session=date(2013, 3, 1), key="1" * 64))
    assert client(tracking).get_experiment(logged.experiment_id).tags[views.TAG] == "mine"
