"""Connecting to MLflow, a database or a server: its client, or TrackingUnavailable with the
reason."""

import os
import re
import socket
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import url2pathname
from uuid import uuid4

from filelock import FileLock

from stockml.errors import TrackingOutdated, TrackingUnavailable
from stockml.home import HomePaths
from stockml.storage.files import write_atomically

if TYPE_CHECKING:
    from mlflow import MlflowClient

CONNECT_TIMEOUT_S = 3.0
PORTS = {"https": 443, "http": 80, "mysql": 3306, "mssql": 1433}  # any other is PostgreSQL's
SQLITE = "sqlite:///"
SETTINGS = {
    # a dead server is noticed in 4 s instead of 200
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    # a gateway may name an hour, for which a night would wait
    "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false",
    # for a database that takes connections and never answers: instead of 130 s
    "PGCONNECT_TIMEOUT": "10",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
# what MLflow answers to a request that is wrong; all else is a server, database or disk that fails
MISTAKES = {
    "INVALID_PARAMETER_VALUE",
    "INVALID_STATE",
    "RESOURCE_ALREADY_EXISTS",
    "RESOURCE_DOES_NOT_EXIST",
}
LOGIN = re.compile(r"(?<=//)[^/\s]*@")  # of an address within a text
MAX_RESULTS = 50_000  # asked of MLflow at once: more than a century of nights
WRITTEN_BY = "mlflow-version.txt"  # in the home: the newest MLflow that opened its database


def is_server(uri: str) -> bool:
    return urlsplit(uri).scheme in {"http", "https"}


@contextmanager
def client(home: HomePaths) -> "Iterator[MlflowClient]":
    """MLflow's client for the home's database or server; a missing SQLite file is made first.

    Raises TrackingUnavailable if either is away or refuses, also from within the block, and
    TrackingOutdated for a database of a newer MLflow; other errors pass.
    """
    uri = home.tracking_uri
    # shows in milliseconds, before mlflow is imported, whether a server is away
    if is_server(uri) and (fault := connection_fault(uri)):
        raise TrackingUnavailable(without_password(uri), str(fault)) from fault
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        if not is_server(uri):
            _open_database(home)
        yield MlflowClient(tracking_uri=uri, registry_uri=uri)
    except (MlflowException, SQLAlchemyError, OSError) as error:
        repeats_login = without_login(uri, str(error)) != str(error)  # as its traceback would
        if getattr(error, "error_code", None) in MISTAKES and not repeats_login:
            raise
        cause = None if repeats_login else error
        raise TrackingUnavailable(without_password(uri), reason(uri, error)) from cause


def _open_database(home: HomePaths) -> None:
    """Make the tables if there are none, and see that this MLflow reads them; one process at once.

    MLflow makes an SQLite file in sixty steps, and cannot go on from a killed attempt: so beside
    it, then moved.
    """
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    uri, note, installed = home.tracking_uri, home.root / WRITTEN_BY, metadata.version("mlflow")
    with FileLock(home.locks / "mlflow-database.lock", timeout=120):
        path = Path(uri.removeprefix(SQLITE))
        if uri.startswith(SQLITE) and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            for killed in path.parent.glob(f".{path.name}.*"):
                killed.unlink()
            beside = path.with_name(f".{path.name}.{uuid4().hex}")
            MlflowClient(f"{SQLITE}{beside}").search_experiments(max_results=1)
            os.replace(beside, path)
        elif uri.startswith(SQLITE) and not path.stat().st_size:
            raise OSError("an empty file where its database was")
        newest = note.read_text().strip() if note.exists() else ""
        try:
            MlflowClient(uri).search_experiments(max_results=1)
        except MlflowException as refused:
            if refused.error_code == "INTERNAL_ERROR" and _numbers(newest) > _numbers(installed):
                shown, why = without_password(uri), reason(uri, refused)
                raise TrackingOutdated(shown, why, newest, installed) from None
            raise
        if _numbers(newest) < _numbers(installed):
            write_atomically(note, installed.encode())


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])


@contextmanager
def without_retries() -> Iterator[None]:
    """Send each of the block's requests once: again after a lost answer, it would create a second
    thing.

    Whoever asks again must first look for what was created.
    """
    name = "MLFLOW_HTTP_REQUEST_MAX_RETRIES"
    before, os.environ[name] = os.environ[name], "0"
    try:
        yield
    finally:
        os.environ[name] = before


class Suppressed(AbstractContextManager[None]):
    """Like `contextlib.suppress`, for MLflow's errors with one of these codes."""

    def __init__(self, *codes: str) -> None:
        self._codes = codes

    def __exit__(self, kind: object, error: object, trace: object) -> bool:
        return getattr(error, "error_code", None) in self._codes


def folder_at(address: str | None) -> Path | None:
    """The folder of this machine at an artifact address; None where MLflow's files are
    elsewhere."""
    parts = urlsplit(address or "")
    is_local = parts.path and parts.scheme in ("", "file")
    return Path(url2pathname(parts.path)) if is_local else None


def without_password(uri: str) -> str:
    """The address without user and password, fit for a message."""
    if "://" not in uri:  # user:password@host, say
        return f"…{uri[uri.rindex('@') :]}" if "@" in uri else uri
    return uri.replace(_login(uri), "", 1)


def reason(uri: str, error: BaseException) -> str:
    """The first line of what MLflow or its database says, without user and password of `uri`."""
    line = str(error).strip().partition("\n")[0]
    return without_login(uri, line)[:300] or type(error).__name__


def without_login(uri: str, text: str) -> str:
    """The text without user and password of `uri`, which the library requests escapes otherwise."""
    return LOGIN.sub("", text.replace(_login(uri), ""))


def _login(uri: str) -> str:
    """The address's user and password with the `@` after them; empty without them."""
    return "".join(urlsplit(uri).netloc.rpartition("@")[:2])


def host_and_port(url: str) -> tuple[str, int]:
    address = urlsplit(url)
    port = address.port or PORTS.get(address.scheme.partition("+")[0], 5432)
    return address.hostname or "", port


def connection_fault(url: str) -> OSError | None:
    """Why a connection to the address fails; None where something listens."""
    try:
        socket.create_connection(host_and_port(url), timeout=CONNECT_TIMEOUT_S).close()
    except OSError as error:
        return error
    return None


def postgres_fault(uri: str) -> str | None:
    """Why a PostgreSQL database refuses us, or gives no answer; None if it takes us in."""
    import psycopg

    plain = uri.replace("postgresql+psycopg://", "postgresql://")
    try:
        psycopg.connect(plain, connect_timeout=int(CONNECT_TIMEOUT_S)).close()
    except psycopg.Error as refused:
        return reason(uri, refused)
    return None
