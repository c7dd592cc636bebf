"""While MLflow is out of reach, nights wait to be logged and the champion's alias follows later."""

import json
import os
import sqlite3
import traceback
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository as artifacts
from mlflow.tracking._model_registry.client import ModelRegistryClient

from deployments.cli.app import run
from stockml.errors import TrackingUnavailable
from stockml.home import Home, home
from stockml.models.registry import Promotion, Registry
from stockml.nights.record import Night
from stockml.storage.objects import sha256_of
from stockml.tracking.client import Tracking
from stockml.tracking.connection import reason, without_password
from stockml.tracking.retention import empty_trash
from tests.stockml.tracking.logged import NOW, changed, client, runs
from tests.support.loopback import Loopback, silent, whole
from tests.support.models import write_model
from tests.support.night_process import KILLED, forked
from tests.support.object_store import ObjectStore, environment
from tests.support.own_servers import free_port
from tests.support.patience import PATIENCE_S


@pytest.fixture(params=["refused", "error", "silent", "another program", "login refused"])
def address(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An address where no MLflow answers: nothing listens, it fails, is silent, another program, or no login."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    answers = {"error": whole(b"", 503), "another program": whole(b"<p>no such page</p>", 404)}
    answers["login refused"] = whole(b'{"error_code": "UNAUTHENTICATED", "message": "expired"}', 401)
    with Loopback(answers.get(request.param, silent)) as server:
        address = server.address
        if request.param != "refused":
            yield address
    if request.param == "refused":
        yield address


def test_a_night_that_cannot_reach_mlflow_is_kept_for_the_next_run(
    address: str, tracking: Tracking, night: Night
) -> None:
    with pytest.raises(TrackingUnavailable, match=r"cannot be reached or written to \(.+\); see `stockml doctor`"):
        changed(tracking, tracking_uri=address).keep_and_log(night)
    assert [kept.key for kept in tracking.pending()] == [night.key]
    [logged] = tracking.log_pending()
    assert logged.mlflow_run_id == runs(tracking)[0].info.run_id
    assert tracking.pending() == ()


@pytest.mark.parametrize(
    ("code", "status", "said", "is_away"),
    [
        ("PERMISSION_DENIED", 403, "not yours", True),
        ("ENDPOINT_NOT_FOUND", 404, "no such address", True),
        ("INTERNAL_ERROR", 500, "failed within", True),
        ("TEMPORARILY_UNAVAILABLE", 503, "later", True),
        ("BAD_REQUEST", 400, "connection refused (Background on this error at: https://sqlalche.me/e/20/e3q8)", True),
        ("BAD_REQUEST", 400, "expected a number", False),
    ],
)
def test_a_server_that_refuses_or_failed_itself_is_unavailable_and_one_asked_wrongly_is_not(
    code: str, status: int, said: str, is_away: bool, tracking: Tracking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    answer = whole(json.dumps({"error_code": code, "message": said}).encode(), status)
    with (
        Loopback(answer) as server,
        pytest.raises((MlflowException, TrackingUnavailable)) as told,
        changed(tracking, tracking_uri=server.address).client() as reached,
    ):
        reached.search_experiments()
    assert isinstance(told.value, TrackingUnavailable) == is_away


@pytest.mark.slow
def test_a_database_that_takes_connections_and_never_answers_is_given_up_after_seconds(
    tracking: Tracking, night: Night
) -> None:
    """The driver alone waits for 130, and would be told after 45 that the server has hung up."""
    with Loopback(silent) as server:
        database = changed(tracking, tracking_uri=server.address.replace("http:", "postgresql+psycopg:") + "/mlflow")
        with pytest.raises(TrackingUnavailable, match="timeout"):
            database.keep_and_log(night)
    assert [kept.key for kept in tracking.pending()] == [night.key]


def test_an_unreachable_artifact_store_is_reported_as_unavailable(
    tracking: Tracking, night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**environment(free_port()), "AWS_MAX_ATTEMPTS": "1"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(TrackingUnavailable, match="Could not connect to the endpoint"):
        changed(tracking, artifacts="s3://state/mlflow").keep_and_log(night)
    assert [kept.key for kept in tracking.pending()] == [night.key]


def test_an_artifact_store_that_refuses_is_reported_as_unavailable(
    tracking: Tracking, night: Night, s3_server: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its bucket is gone, say, or the credentials have expired: the night goes on, as where the store is away."""
    own = {"MLFLOW_S3_ENDPOINT_URL": s3_server.environ["AWS_ENDPOINT_URL"]}  # or MLflow keeps another test's client
    for name, value in {**s3_server.environ, **own}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(TrackingUnavailable, match="NoSuchBucket"):
        changed(tracking, artifacts="s3://no-such-bucket/mlflow").keep_and_log(night)
    assert [kept.key for kept in tracking.pending()] == [night.key]


def test_a_database_that_cannot_be_opened_is_reported_as_unavailable(
    tracking: Tracking, night: Night, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(TrackingUnavailable):
        changed(tracking, tracking_uri=f"sqlite:///{tmp_path}/file/mlflow.db").log_night(night)


def test_a_database_of_another_mlflow_version_is_reported_as_unavailable_with_the_way_on(
    tracking: Tracking, night: Night
) -> None:
    with closing(sqlite3.connect(tracking.home.tracking_uri.removeprefix("sqlite:///"))) as database, database:
        database.execute("UPDATE alembic_version SET version_num = 'a later one'")
    with pytest.raises(TrackingUnavailable, match=r"found version a later one, .* 'mlflow db upgrade"):
        tracking.keep_and_log(night)
    assert [kept.key for kept in tracking.pending()] == [night.key]


def test_our_own_mistake_is_not_reported_as_unavailable(tracking: Tracking, night: Night) -> None:
    with pytest.raises(MlflowException, match=r"no.*name"):
        tracking.log_night(replace(night, settings={"no\nname": 1}))


def test_the_alias_follows_the_champion_and_stays_where_mlflow_has_no_version_of_it(
    tracking: Tracking, night: Night
) -> None:
    first = tracking.log_night(night)
    tracking.log_night(replace(night, key="f" * 64))
    for key in ("f" * 64, night.key, "0" * 64):
        tracking.follow_champion("IBM", key)
    assert str(client(tracking).get_model_version_by_alias("lstm-IBM", "champion").version) == first.model_version


@pytest.fixture
def promoted(home: Home, tracking: Tracking, night: Night) -> dict[str, str]:
    """The versions of three champions, by key; `c…` is the present one, of the alias too."""
    folder, found = write_model(home.models / "IBM" / "model"), {}
    for key in ("a" * 64, "b" * 64, "c" * 64):
        found[key] = tracking.log_night(replace(night, key=key)).model_version or ""
        line = (key, str(folder), sha256_of(str(folder)) or "", found[key], night.session, "better", NOW)
        Registry(home.models).promote(Promotion("IBM", "promote", *line))
    tracking.follow_champion("IBM", "c" * 64)
    return found


def _rolled_back_until_killed(when: str) -> None:
    real = ModelRegistryClient.set_registered_model_alias

    def die(*arguments: Any) -> None:
        if when == "after":
            real(*arguments)
        os.kill(os.getpid(), 9)

    ModelRegistryClient.set_registered_model_alias = die  # type: ignore[method-assign]
    run(["rollback", "IBM"])


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_rollback_that_is_killed_at_the_alias_is_done_once_by_the_same_command(
    when: str, home: Home, tracking: Tracking, promoted: dict[str, str]
) -> None:
    process = forked(_rolled_back_until_killed, when)
    process.join(PATIENCE_S)
    assert process.exitcode == KILLED
    assert run(["rollback", "IBM"]) == 0
    assert [line.key[0] for line in Registry(home.models).history("IBM")] == ["a", "b", "c", "b"]
    assert champion(tracking) == promoted["b" * 64]


def test_a_rollback_moves_the_alias_at_once_and_says_when_it_cannot(
    tracking: Tracking,
    promoted: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["rollback", "IBM"]) == 0
    assert capsys.readouterr().out.rstrip().endswith(f"MLflow's alias `champion` names version {promoted['b' * 64]}")
    assert champion(tracking) == promoted["b" * 64]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert run(["rollback", "IBM", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["key"], said["mlflow_version"]) == ("a" * 64, None)
    assert "MLflow at http://127.0.0.1:9 cannot be reached" in said["mlflow"]
    assert "follows with the next night" in said["mlflow"]
    assert champion(tracking) == promoted["b" * 64]


def champion(tracking: Tracking) -> str:
    return str(client(tracking).get_model_version_by_alias("lstm-IBM", "champion").version)


def test_an_error_that_repeats_the_address_is_told_without_its_password(address: str, tracking: Tracking) -> None:
    """Neither in its text nor in a traceback, which Prefect keeps with the run's logs."""
    with_password = address.replace("//", "//me:hidden@")
    for uri in (with_password, "postgres://me:hidden@db.example/mlflow"):  # a scheme that MLflow does not know
        with pytest.raises(TrackingUnavailable) as told:
            changed(tracking, tracking_uri=uri).prepare()
        assert "hidden" not in "".join(traceback.format_exception(told.value))


def test_a_password_that_is_escaped_otherwise_is_left_out_too(tracking: Tracking) -> None:
    """As requests does: `%2f` becomes `%2F`, a space `%20`."""
    with Loopback(whole(b"")) as server:
        for password in ("a%2fhidden", "a hidden"):
            uri = server.address.replace("//", f"//me:{password}@")
            away = changed(tracking, tracking_uri=uri)
            with pytest.raises(TrackingUnavailable, match="for url") as told, away.client():
                artifacts("mlflow-artifacts:/1", tracking_uri=uri).log_artifact(__file__)
            assert "hidden" not in "".join(traceback.format_exception(told.value))


def test_a_trash_whose_files_a_server_refuses_to_remove_is_told_without_its_password(
    tracking: Tracking, tmp_path: Path
) -> None:
    database = f"sqlite:///{tmp_path}/mlflow.db"
    with changed(tracking, tracking_uri=database).client() as reached:
        run = reached.create_run(reached.create_experiment("old", artifact_location="mlflow-artifacts:/1"))
        reached.delete_run(run.info.run_id)
    with Loopback(whole(b"", 404)) as server, pytest.raises(TrackingUnavailable, match="`mlflow gc` failed") as told:
        empty_trash(database, server.address.replace("//", "//me:hidden@"), 0)
    assert "hidden" not in str(told.value)


def test_a_trash_that_cannot_be_emptied_says_why(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("no database at all")
    database = f"sqlite:///{tmp_path}/mlflow.db"
    with pytest.raises(TrackingUnavailable, match=r"`mlflow gc` failed: .*file is not a database"):
        empty_trash(database, database, 1)


def test_a_message_never_shows_a_password() -> None:
    uri = "postgresql+psycopg://me:secret@db.example:5432/mlflow"
    assert without_password(uri) == "postgresql+psycopg://db.example:5432/mlflow"
    assert without_password("sqlite:////home/mlflow.db") == "sqlite:////home/mlflow.db"
    assert without_password("user:secret@db.example") == "…@db.example"
    with_mark = uri.replace("secret", "sec@ret")
    assert (without_password(with_mark), without_password(with_mark.partition("//")[2])) == (
        "postgresql+psycopg://db.example:5432/mlflow",
        "…@db.example:5432/mlflow",
    )
    said = reason(with_mark, OSError(f"\nno answer from {with_mark}\nmore of it"))
    assert said == "no answer from postgresql+psycopg://db.example:5432/mlflow"
    assert (reason(uri, TimeoutError()), len(reason(uri, OSError("?" * 999)))) == ("TimeoutError", 300)
    assert "secret" not in repr(Tracking(home({"STOCKML_HOME": "/home", "MLFLOW_TRACKING_URI": uri})))
