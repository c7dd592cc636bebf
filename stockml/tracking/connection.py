"""Reaching MLflow, a database or a server: a client, or TrackingUnavailable with the reason."""

import os
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from filelock import FileLock

from stockml.errors import TrackingUnavailable
from stockml.tracking import database

if TYPE_CHECKING:
    from mlflow import MlflowClient

LOOPBACK = {"127.0.0.1", "localhost", "::1"}
CONNECT_TIMEOUT_S = 3.0
SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


@contextmanager
def client(uri: str, artifacts: str, locks: Path) -> "Iterator[MlflowClient]":
    """An MLflow client; whatever keeps it from answering becomes TrackingUnavailable."""
    _check_listening(uri)
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    locks.mkdir(parents=True, exist_ok=True)
    try:
        # two processes that make one database at the same time spoil it for each other
        with FileLock(locks / "mlflow-database.lock", timeout=120):
            database.make_whole(uri, artifacts)
            reached = MlflowClient(tracking_uri=uri, registry_uri=uri)
        yield reached
    except (MlflowException, SQLAlchemyError, sqlite3.Error, OSError) as error:
        if _is_outage(error):
            first_line = str(error).strip().partition("\n")[0][:300]
            raise TrackingUnavailable(without_password(uri), first_line or type(error).__name__) from error
        raise


def without_password(uri: str) -> str:
    """The address without user and password, fit for a message."""
    parts = urlsplit(uri)
    if "@" not in parts.netloc:
        return uri
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _check_listening(uri: str) -> None:
    """Fail in milliseconds, before mlflow is imported, when nothing listens at a server's address."""
    address = urlsplit(uri)
    if address.scheme not in {"http", "https"}:
        return
    port = address.port or (443 if address.scheme == "https" else 80)
    try:
        socket.create_connection((address.hostname or "", port), timeout=CONNECT_TIMEOUT_S).close()
    except OSError as error:
        raise TrackingUnavailable(without_password(uri), str(error)) from error


def _is_outage(error: BaseException | None) -> bool:
    """Whether the network, a disk or a database failed underneath, rather than something being asked wrongly."""
    from sqlalchemy.exc import SQLAlchemyError

    while error is not None:
        if isinstance(error, SQLAlchemyError | sqlite3.Error | OSError):
            return True
        if getattr(error, "error_code", "") == "TEMPORARILY_UNAVAILABLE" or _failed_within(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def _failed_within(error: BaseException) -> bool:
    """Whether a server answered that its own database, or it itself, failed: MLflow calls the former a bad request."""
    from mlflow.exceptions import RestException

    return isinstance(error, RestException) and (error.error_code == "INTERNAL_ERROR" or "sqlalche.me" in str(error))
