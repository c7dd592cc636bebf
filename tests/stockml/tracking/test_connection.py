"""While MLflow is out of reach, nights wait to be logged, and nothing that is said of it shows a
password."""

import json
import multiprocessing
import shutil
import sqlite3
import traceback
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import replace

import mlflow
import pytest
from mlflow.exceptions import RestException

from stockml.errors import TrackingOutdated, TrackingUnavailable
from stockml.home import current_home
from stockml.tracking.client import Tracking
from stockml.tracking.connection import WRITTEN_BY, reason, without_password
from tests.stockml.tracking.logged import changed, runs
from tests.support.loopback import Loopback, silent, whole

ANSWERS = {
    "refused": silent,
    "silent": silent,
    "error": whole(b"", 503),
    "an hour": lambda exchange: exchange.send(b"", 503, **{"Retry-After": "3600"}),
    "another program": whole(b"<p>no such page</p>", 404),
    "login refused": whole(b'{"error_code": "UNAUTHENTICATED", "message": "expired"}', 401),
}


@pytest.fixture(params=ANSWERS)
def address(request, monkeypatch):
    """An address where no MLflow answers: nothing listens, or another server."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    with Loopback(ANSWERS[request.param]) as server:
        yield "http://127.0.0.1:9" if request.param == "refused" else server.address


def test_a_night_that_cannot_reach_mlflow_is_kept_for_the_next_run_and_shows_no_password(
    address, tracking, night
):
    """Neither in the error's text nor in its traceback, which Prefect keeps with the run's logs."""
    with_password = address.replace("//", "//me:hidden@")
    unknown_scheme = "postgres://me:hidden@db.example/mlflow"
    advice = r"cannot be reached or written to \(.+\); see `stockml doctor`"
    for uri in (with_password, unknown_scheme):
        away = replace(changed(tracking, tracking_uri=uri), retry_for_s=0)
        with pytest.raises(TrackingUnavailable, match=advice) as told:
            away.keep_and_log(night)
        assert "hidden" not in "".join(traceback.format_exception(told.value))
    assert [kept.key for kept in tracking.pending()] == [night.key]
    [logged] = tracking.log_pending()
    assert logged.mlflow_run_id == runs(tracking)[0].info.run_id
    assert tracking.pending() == ()


@pytest.mark.parametrize(
    ("code", "status", "is_away"),
    [
        ("PERMISSION_DENIED", 403, True),
        ("ENDPOINT_NOT_FOUND", 404, True),
        ("INTERNAL_ERROR", 500, True),
        ("TEMPORARILY_UNAVAILABLE", 503, True),
        ("BAD_REQUEST", 400, True),  # its own database refused
        ("INVALID_PARAMETER_VALUE", 400, False),
    ],
)
def test_a_server_that_refuses_or_failed_itself_is_unavailable_and_one_asked_wrongly_is_not(
    code, status, is_away, tracking, monkeypatch
):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    answer = whole(json.dumps({"error_code": code, "message": ""}).encode(), status)
    with (
        Loopback(answer) as server,
        pytest.raises((RestException, TrackingUnavailable)) as told,
        changed(tracking, tracking_uri=server.address).client() as reached,
    ):
        reached.search_experiments()
    assert type(told.value) is (TrackingUnavailable if is_away else RestException)


def test_a_database_that_a_newer_mlflow_made_is_said_with_the_release_to_install(tracking, night):
    """As by one with other tables; then as by an older one, for which MLflow's own advice is
    right."""
    tracking.prepare()
    note = tracking.home.root / WRITTEN_BY
    assert note.read_text() == mlflow.__version__
    path = tracking.home.root / "mlflow.db"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE alembic_version SET version_num = 'another'")
    note.write_text("99.1.0")
    told = r"made by MLflow 99\.1\.0, .*`pip install 'mlflow>=99\.1\.0'`"
    with pytest.raises(TrackingOutdated, match=told):
        in_a_process_of_its_own(tracking.keep_and_log, night)
    assert [kept.key for kept in tracking.pending()] == [night.key]
    note.write_text("3.0.0")
    with pytest.raises(TrackingUnavailable, match="'mlflow db upgrade"):
        in_a_process_of_its_own(tracking.prepare)


def in_a_process_of_its_own(call, *arguments):
    """MLflow looks at a database's tables once a process."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        pool.submit(call, *arguments).result()


@pytest.mark.parametrize("content", [b"", b"no database at all", None])
def test_a_damaged_database_is_named_and_left_as_it_is(tracking, night, content):
    path = tracking.home.root / "mlflow.db"
    damaged = path.read_bytes()[:4000] + b"\xff" * 5000 if content is None else content
    path.write_bytes(damaged)
    with pytest.raises(TrackingUnavailable, match=r"mlflow\.db") as damage:
        tracking.keep_and_log(night)
    assert str(damage.value).count("`stockml doctor`") == 1
    assert [waiting.key for waiting in tracking.pending()] == [night.key]
    assert path.read_bytes() == damaged


def test_a_home_that_was_moved_says_where_a_link_has_to_lead(tracking, night, tmp_path):
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
    kept = {run.data.tags["stockml.key"]: run.info.run_id for run in runs(moved)}
    assert kept.keys() == {before.key, another.key}
    for run_id in kept.values():
        assert (moved.home.root / "artifacts/IBM" / run_id / "artifacts/night.json").exists()


def test_a_message_never_shows_a_password():
    shown = "postgresql+psycopg://db.example:5432/mlflow"
    for password in ("secret", "sec@ret"):
        uri = shown.replace("db.", f"me:{password}@db.")
        assert without_password(uri) == shown
        assert without_password(uri.partition("//")[2]) == "…@db.example:5432/mlflow"
        said = OSError(f"\nno answer from {uri}\nmore of it")
        assert reason(uri, said) == f"no answer from {shown}"
    assert without_password("sqlite:////home/mlflow.db") == "sqlite:////home/mlflow.db"
    assert reason(uri, TimeoutError()) == "TimeoutError"
    assert len(reason(uri, OSError("?" * 999))) == 300
    environ = {
        "STOCKML_HOME": "/home",
        "MLFLOW_TRACKING_URI": shown.replace("db.", "me:secret@db."),
    }
    assert "secret" not in repr(Tracking(current_home(environ)))
