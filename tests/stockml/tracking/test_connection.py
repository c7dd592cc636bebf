"""While MLflow is out of reach, nights wait to be logged, and nothing that is said of it shows a
password."""

import json
import multiprocessing
import os
import shutil
import sqlite3
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import psycopg
import pytest
from mlflow.exceptions import MlflowException

from stockml.errors import TrackingOutdated, TrackingUnavailable
from stockml.home import current_home
from stockml.nights.record import Night
from stockml.tracking.client import Tracking
from stockml.tracking.connection import WRITTEN_BY, reason, without_password
from tests.stockml.tracking.logged import changed, runs
from tests.support.loopback import Loopback, silent, whole


@pytest.fixture(
    params=["refused", "error", "an hour", "silent", "another program", "login refused"]
)
def address(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An address where no MLflow answers: nothing listens, it fails (for an hour), is silent,
    another, or no login."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    answers = {"error": whole(b"", 503), "another program": whole(b"<p>no such page</p>", 404)}
    answers["login refused"] = whole(
        b'{"error_code": "UNAUTHENTICATED", "message": "expired"}', 401
    )
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
    away = replace(changed(tracking, tracking_uri=address), retry_for_s=0)
    with pytest.raises(
        TrackingUnavailable, match=r"cannot be reached or written to \(.+\); see `stockml doctor`"
    ):
        away.keep_and_log(night)
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
        ("BAD_REQUEST", 400, "its own database refused", True),
        ("INVALID_PARAMETER_VALUE", 400, "expected a number", False),
    ],
)
def test_a_server_that_refuses_or_failed_itself_is_unavailable_and_one_asked_wrongly_is_not(
    code: str,
    status: int,
    said: str,
    is_away: bool,
    tracking: Tracking,
    monkeypatch: pytest.MonkeyPatch,
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


@pytest.mark.campaign
@pytest.mark.slow
def test_a_database_that_takes_connections_and_never_answers_is_given_up_after_seconds(
    tracking: Tracking, night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver alone waits for 130, and would be told after 45 that the server has hung up; here,
    2 are enough."""
    connect = psycopg.connect

    def impatient(*at: str, **more: Any) -> Any:
        assert int(os.environ["PGCONNECT_TIMEOUT"]) <= 10
        return connect(*at, **more, connect_timeout=2)

    monkeypatch.delenv("PGCONNECT_TIMEOUT", raising=False)
    monkeypatch.setattr(psycopg, "connect", impatient)
    with Loopback(silent) as server:
        database = changed(
            tracking,
            tracking_uri=server.address.replace("http:", "postgresql+psycopg:") + "/mlflow",
        )
        with pytest.raises(TrackingUnavailable, match="timeout"):
            database.keep_and_log(night)
    assert [kept.key for kept in tracking.pending()] == [night.key]


def test_a_database_that_cannot_be_opened_is_reported_as_unavailable(
    tracking: Tracking, night: Night, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(TrackingUnavailable):
        changed(tracking, tracking_uri=f"sqlite:///{tmp_path}/file/mlflow.db").log_night(night)


def test_a_database_that_a_newer_mlflow_made_is_said_with_the_release_to_install(
    tracking: Tracking, night: Night
) -> None:
    """As by one with other tables; then as by an older one, for which MLflow's own advice is
    right."""
    tracking.prepare()
    note = tracking.home.root / WRITTEN_BY
    assert note.read_text() == mlflow.__version__
    with (
        closing(sqlite3.connect(tracking.home.tracking_uri.removeprefix("sqlite:///"))) as database,
        database,
    ):
        database.execute("UPDATE alembic_version SET version_num = 'another'")
    note.write_text("99.1.0")
    with pytest.raises(
        TrackingOutdated, match=r"made by MLflow 99\.1\.0, .*`pip install 'mlflow>=99\.1\.0'`"
    ):
        in_a_process_of_its_own(tracking.keep_and_log, night)
    assert [kept.key for kept in tracking.pending()] == [night.key]
    note.write_text("3.0.0")
    with pytest.raises(TrackingUnavailable, match="'mlflow db upgrade"):
        in_a_process_of_its_own(tracking.prepare)


def in_a_process_of_its_own(call: Callable[..., object], *arguments: object) -> None:
    """MLflow looks at a database's tables once a process."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        pool.submit(call, *arguments).result()


@pytest.mark.parametrize("content", [b"", b"no database at all", None])
def test_a_damaged_database_is_named_and_left_as_it_is(
    tracking: Tracking, night: Night, content: bytes | None
) -> None:
    path = tracking.home.root / "mlflow.db"
    damaged = path.read_bytes()[:4000] + b"\xff" * 5000 if content is None else content
    path.write_bytes(damaged)
    with pytest.raises(TrackingUnavailable, match=r"mlflow\.db") as damage:
        tracking.keep_and_log(night)
    assert str(damage.value).count("`stockml doctor`") == 1
    assert [waiting.key for waiting in tracking.pending()] == [night.key]
    assert path.read_bytes() == damaged


def test_a_home_that_was_moved_says_where_a_link_has_to_lead(
    tracking: Tracking, night: Night, tmp_path: Path
) -> None:
    """MLflow keeps full addresses of files; with the link, old and new ones lie in the moved
    home."""
    before, root = tracking.keep_and_log(night), tracking.home.root
    moved = Tracking(current_home({"STOCKML_HOME": str(tmp_path / "moved")}))
    shutil.move(root, moved.home.root)
    another = replace(night, key="e" * 64)
    with pytest.raises(TrackingUnavailable, match=f"`ln -s {moved.home.root} {root}`"):
        moved.keep_and_log(another)
    assert not root.exists()
    root.symlink_to(moved.home.root)
    moved.log_pending()
    moved.check()
    for kept in (before, another):
        run = runs_find(moved, kept)
        assert (moved.home.root / "artifacts" / "IBM" / run / "artifacts" / "night.json").exists()


def runs_find(tracking: Tracking, night: Night) -> str:
    [found] = [run for run in runs(tracking) if run.data.tags["stockml.key"] == night.key]
    return str(found.info.run_id)


def test_an_error_that_repeats_the_address_is_told_without_its_password(
    address: str, tracking: Tracking
) -> None:
    """Neither in its text nor in a traceback, which Prefect keeps with the run's logs."""
    with_password = address.replace("//", "//me:hidden@")
    # a scheme that MLflow does not know
    for uri in (
        with_password,
        "postgres://me:hidden@db.example/mlflow",
    ):
        with pytest.raises(TrackingUnavailable) as told:
            changed(tracking, tracking_uri=uri).prepare()
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
    assert (reason(uri, TimeoutError()), len(reason(uri, OSError("?" * 999)))) == (
        "TimeoutError",
        300,
    )
    assert "secret" not in repr(
        Tracking(current_home({"STOCKML_HOME": "/home", "MLFLOW_TRACKING_URI": uri}))
    )
