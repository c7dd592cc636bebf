"""Connecting to MLflow, a database or a server: a client, or TrackingUnavailable with the reason.

An SQLite database is created whole or not at all: MLflow creates its tables in some sixty migrations, which take
seconds and are no transaction; a kill among them leaves a database that it can never open again.
"""

import os
import socket
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit
from urllib.request import url2pathname

from filelock import FileLock

from stockml.errors import TrackingUnavailable
from stockml.storage.sqlite_files import fault_of

if TYPE_CHECKING:
    from mlflow import MlflowClient

LOOPBACK = {"127.0.0.1", "localhost", "::1"}
CONNECT_TIMEOUT_S = 3.0
PORTS = defaultdict(lambda: 5432, https=443, http=80)  # by scheme; any other is PostgreSQL's
SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # a dead server is noticed in 4 s instead of 200
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
PREFIX = "sqlite:///"
ALL_TICKERS = "all-tickers"  # the folder of the experiment `stockml`, which has the track records
MOST = 50_000  # runs or experiments asked of MLflow at once (its default: 1,000): more than a century of nights
TRIES = count()  # MLflow caches connections by address: a try must not get those of a failed one

ADDRESSES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
LOCATIONS = "SELECT name, artifact_location FROM experiments WHERE name || '/' LIKE 'stockml/%'"
WITH_FILES = """
SELECT DISTINCT experiments.name FROM experiments JOIN runs USING (experiment_id)
JOIN tags ON tags.run_uuid = runs.run_uuid AND tags.key = 'stockml.key'
WHERE runs.status = 'FINISHED' AND runs.lifecycle_stage = 'active'
AND runs.run_uuid NOT IN (SELECT run_uuid FROM tags WHERE key = 'stockml.cleared')
"""
LOGGED = """
SELECT DISTINCT tags.value FROM tags JOIN runs USING (run_uuid)
WHERE tags.key = 'stockml.key' AND runs.lifecycle_stage = 'active'
"""


@contextmanager
def client(uri: str, artifacts: str, locks: Path) -> "Iterator[MlflowClient]":
    is_server = urlsplit(uri).scheme in {"http", "https"}
    # shows in milliseconds, before mlflow is imported, whether a server is away
    if is_server and (fault := connection_fault(uri)):
        raise TrackingUnavailable(without_password(uri), str(fault)) from fault
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient

    try:
        # two processes that create a database at once would spoil it for each other
        with nullcontext() if is_server else FileLock(locks / "mlflow-database.lock", timeout=120):
            ensure_database(uri, artifacts)
            reached = MlflowClient(tracking_uri=uri, registry_uri=uri)
        yield reached
    except _failures() as error:
        repeats_login = bool(login := _login(uri)) and login in str(error)  # which tracebacks would carry into logs
        if not repeats_login and not _is_outage(error):
            raise
        raise TrackingUnavailable(without_password(uri), reason(uri, error)) from (None if repeats_login else error)


def _failures() -> tuple[type[Exception], ...]:
    """The exception types raised, among other causes, when MLflow's server, database or file store is away."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    found = (MlflowException, SQLAlchemyError, sqlite3.Error, OSError)
    try:
        from botocore.exceptions import BotoCoreError
    except ImportError:  # no S3
        return found
    return (*found, BotoCoreError)


class Suppressed(AbstractContextManager[None]):
    """Like `contextlib.suppress`, for MLflow's errors with one of these codes."""

    def __init__(self, *codes: str) -> None:
        self._codes = codes

    def __exit__(self, kind: object, error: object, trace: object) -> bool:
        return getattr(error, "error_code", None) in self._codes


def without_password(uri: str) -> str:
    """The address without user and password, fit for a message."""
    if "://" not in uri:  # user:password@host, say
        return f"…{uri[uri.rindex('@') :]}" if "@" in uri else uri
    return uri.replace(_login(uri), "", 1)


def reason(uri: str, error: BaseException) -> str:
    """The first line of what MLflow or its database says, without the user and password of `uri`, fit for a message."""
    line = str(error).strip().partition("\n")[0]
    return line.replace(_login(uri), "")[:300] or type(error).__name__


def _login(uri: str) -> str:
    """User and password in the address with the `@` after them; empty where it has none."""
    return "".join(urlsplit(uri).netloc.rpartition("@")[:2])


def host_and_port(url: str) -> tuple[str, int]:
    address = urlsplit(url)
    return address.hostname or "", address.port or PORTS[address.scheme]


def connection_fault(url: str) -> OSError | None:
    """Why a connection to the address fails; None where something listens."""
    try:
        socket.create_connection(host_and_port(url), timeout=CONNECT_TIMEOUT_S).close()
    except OSError as error:
        return error
    return None


def _is_outage(error: BaseException | None) -> bool:
    """Whether the network, a disk or a database failed underneath, rather than the request being wrong."""
    from mlflow.exceptions import MlflowException, RestException
    from sqlalchemy.exc import SQLAlchemyError

    while error is not None:
        code = getattr(error, "error_code", "")
        if isinstance(error, SQLAlchemyError | sqlite3.Error | OSError) or code == "TEMPORARILY_UNAVAILABLE":
            return True
        # not MLflow's answer: another program listens there, or a proxy answers for it
        if type(error) is MlflowException and str(error).startswith("API request to endpoint"):
            return True
        # from a server that failed, or whose own database did, which MLflow calls a bad request
        if isinstance(error, RestException) and (code == "INTERNAL_ERROR" or "sqlalche.me" in str(error)):
            return True
        error = error.__cause__ or error.__context__
    return False


def ensure_database(uri: str, artifacts: str) -> None:
    """Create the database that `uri` names, if it is a missing SQLite file: beside its place, then moved there whole.

    An existing one is updated if its home has moved; a damaged one raises sqlite3.DatabaseError. One process at a time.
    """
    path = Path(uri.removeprefix(PREFIX))
    if not uri.startswith(PREFIX):
        return
    if path.exists():
        if fault := fault_of(path, "experiments"):
            raise sqlite3.DatabaseError(f"{fault} where its database was; `stockml doctor` says what to do")
        _repoint_artifacts(path, artifacts.rstrip("/"))
        return
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    path.parent.mkdir(parents=True, exist_ok=True)
    _clear_beside(path)
    beside = path.with_name(f".{path.name}.making{next(TRIES) or ''}")
    try:
        SqlAlchemyStore(f"{PREFIX}{beside}", artifacts).engine.dispose()  # type: ignore[no-untyped-call]
        with beside.open("rb") as made:
            os.fsync(made.fileno())
        os.replace(beside, path)
    finally:
        _clear_beside(path)


def _repoint_artifacts(path: Path, artifacts: str) -> None:
    """Point runs and models at a moved home's artifacts: MLflow keeps full addresses, and would write to the old."""
    if not artifacts.startswith("file:"):
        return
    with closing(sqlite3.connect(path, timeout=60)) as database, database:
        for before, now in _moved(_on_this_machine(database.execute(LOCATIONS).fetchall()), artifacts):
            if _folder(now).is_dir() or not _folder(before).exists():
                for table, column in ADDRESSES:
                    database.execute(
                        f"UPDATE {table} SET {column} = :now || substr({column}, length(:before) + 1) "
                        f"WHERE {column} = :before OR substr({column}, 1, length(:before) + 1) = :before || '/'",
                        {"now": now, "before": before},
                    )


def missing_folders(uri: str, artifacts: str) -> list[Path]:
    """The folders where MLflow expects files of nights that exist neither there nor below the home's `artifacts`.

    The latter counts only for an SQLite file, whose addresses follow a moved home. Reads only. Raises SQLAlchemyError.
    """
    locations = _on_this_machine((name, place) for name, place in _selected(uri, LOCATIONS))
    with_files = {name for (name,) in _selected(uri, WITH_FILES)}
    moved = dict(_moved(locations, artifacts.rstrip("/"))) if uri.startswith(PREFIX) else {}
    looked = {name: [before, moved.get(before, before)] for name, before in locations.items() if name in with_files}
    return [_folder(each[0]) for each in looked.values() if not any(_folder(place).is_dir() for place in each)]


def logged_keys(uri: str) -> set[str]:
    """The keys of the nights that have a run in MLflow's database. Changes nothing. Raises SQLAlchemyError."""
    return {key for (key,) in _selected(uri, LOGGED)}


def _selected(uri: str, query: str) -> list[tuple[Any, ...]]:
    from sqlalchemy import create_engine, text

    file = quote(uri.removeprefix(PREFIX)) if uri.startswith(PREFIX) else None
    engine = create_engine(f"{PREFIX}file:{file}?mode=ro&uri=true" if file else uri)
    try:
        with engine.connect() as database:
            return [tuple(row) for row in database.execute(text(query))]
    finally:
        engine.dispose()


def _on_this_machine(experiments: Iterable[tuple[str, str]]) -> dict[str, str]:
    return {name: place for name, place in experiments if folder_at(place)}


def _moved(locations: Mapping[str, str], artifacts: str) -> Iterator[tuple[str, str]]:
    """Each address outside `artifacts`, with the one it has there; a renamed share keeps its old folder's name."""
    ends = {name: f"/{name.removeprefix('stockml/')}" for name in locations} | {"stockml": f"/{ALL_TICKERS}"}
    roots = {place.removesuffix(ends[name]) for name, place in locations.items() if place.endswith(ends[name])}
    for before in locations.values():
        root = max((each for each in roots if before.startswith(f"{each}/")), key=len, default=artifacts)
        if root != artifacts:
            yield before, artifacts + before.removeprefix(root)


def folder_at(address: str | None) -> Path | None:
    """The folder at an artifact address; None where MLflow's files are not in a folder of this machine."""
    parts = urlsplit(address or "")
    return _folder(str(address)) if parts.path and parts.scheme in ("", "file") else None


def _folder(address: str) -> Path:
    return Path(url2pathname(urlsplit(address).path))


def _clear_beside(path: Path) -> None:
    for left in path.parent.glob(f".{path.name}.making*"):
        left.unlink(missing_ok=True)
