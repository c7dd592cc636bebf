"""While MLflow is out of reach, nights wait to be logged, and nothing that is said of it shows a password."""

import json
import os
import sqlite3
import traceback
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository as artifacts

from stockml.errors import TrackingUnavailable
from stockml.home import current_home
from stockml.nights.record import Night
from stockml.tracking.client import Tracking
from stockml.tracking.connection import host_and_port, reason, without_password
from tests.stockml.tracking.logged import changed, runs
from tests.support.loopback import Loopback, silent, whole


@pytest.fixture(params=["refused", "error", "an hour", "silent", "another program", "login refused"])
def address(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An address where no MLflow answers: nothing listens, it fails (for an hour), is silent, another, or no login."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    answers = {"error": whole(b"", 503), "another program": whole(b"<p>no such page</p>", 404)}
    answers["login refused"] = whole(b'{"error_code": "UNAUTHENTICATED", "message": "expired"}', 401)
    answers["an hour"] = lambda exchange: exchange.send(b"", 503, **{"Retry-After": "3600"})
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
        ("INVALID_PARAMETER_VALUE", 400, "Missing value for required parameter 'run_id'.", True),
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
    tracking: Tracking, night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver alone waits for 130, and would be told after 45 that the server has hung up; here, 2 are enough."""
    connect = psycopg.connect

    def impatient(*at: str, **more: Any) -> Any:
        assert int(os.environ["PGCONNECT_TIMEOUT"]) <= 10
        return connect(*at, **more, connect_timeout=2)

    monkeypatch.delenv("PGCONNECT_TIMEOUT", raising=False)
    monkeypatch.setattr(psycopg, "connect", impatient)
    with Loopback(silent) as server:
        database = changed(tracking, tracking_uri=server.address.replace("http:", "postgresql+psycopg:") + "/mlflow")
        with pytest.raises(TrackingUnavailable, match="timeout"):
            database.keep_and_log(night)
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
    assert "secret" not in repr(Tracking(current_home({"STOCKML_HOME": "/home", "MLFLOW_TRACKING_URI": uri})))


@pytest.mark.parametrize(
    ("address", "port"),
    [
        ("https://me:hidden@x/path", 443),
        ("postgresql+psycopg://x/m", 5432),
        ("mysql+pymysql://x/m", 3306),
        ("http://x:9", 9),
    ],
)
def test_an_address_without_a_port_has_its_schemes_own(address: str, port: int) -> None:
    assert host_and_port(address) == ("x", port)
