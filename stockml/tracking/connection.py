"""Connecting to MLflow, a database or a server: a client, or TrackingUnavailable with the reason."""

import os
import re
import socket
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from stockml.errors import TrackingUnavailable
from stockml.home import HomePaths
from stockml.tracking import database

if TYPE_CHECKING:
    from mlflow import MlflowClient

CONNECT_TIMEOUT_S = 3.0
PORTS = {"https": 443, "http": 80, "mysql": 3306, "mssql": 1433}  # by scheme; any other is PostgreSQL's
SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # a dead server is noticed in 4 s instead of 200
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false",  # a gateway may name an hour, for which a night would wait
    "PGCONNECT_TIMEOUT": "10",  # a database that takes connections and never answers: instead of 130 s
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
REFUSALS = {"UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED", "PERMISSION_DENIED", "ENDPOINT_NOT_FOUND"}  # whatever is asked
# not MLflow's answer, but another program's or a proxy's; or a database of another MLflow version
FOREIGN_ANSWERS = ("API request to endpoint", "Detected out-of-date database schema")
MISSING_ID = "Missing value for required parameter"  # an earlier answer came empty, without the id that is missing
LOGIN = re.compile(r"(?<=//)[^/\s]*@")  # of an address within a text
MAX_RESULTS = 50_000  # runs or experiments asked of MLflow at once (its default: 1,000): more than a century of nights


@contextmanager
def client(home: HomePaths) -> "Iterator[MlflowClient]":
    """MLflow's client for the home's database or server; a database is made first if it is missing.

    Raises TrackingUnavailable if either is away or refuses, also from within the block; other errors pass.
    """
    uri = home.tracking_uri
    is_server = urlsplit(uri).scheme in {"http", "https"}
    # shows in milliseconds, before mlflow is imported, whether a server is away
    if is_server and (fault := connection_fault(uri)):
        raise TrackingUnavailable(without_password(uri), str(fault)) from fault
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    try:
        with nullcontext() if is_server else database.exclusive_access(uri, home.locks):
            database.create_or_update(uri, home.artifacts)
            mlflow_client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        yield mlflow_client
    except _outages(MlflowException) as error:
        repeats_login = without_login(uri, str(error)) != str(error)  # which tracebacks would carry into logs
        if not repeats_login and not _is_outage(error):
            raise
        raise TrackingUnavailable(without_password(uri), reason(uri, error)) from (None if repeats_login else error)


@contextmanager
def without_retries() -> Iterator[None]:
    """Send each of the block's requests once: repeated after a lost answer, it would create a second thing.

    Whoever asks again must first look for what was created.
    """
    name = "MLFLOW_HTTP_REQUEST_MAX_RETRIES"
    before, os.environ[name] = os.environ[name], "0"
    try:
        yield
    finally:
        os.environ[name] = before


def _outages(*also: type[Exception]) -> tuple[type[Exception], ...]:
    """Exceptions of a failed network, disk or database (S3's once imported), and `also`."""
    from sqlalchemy.exc import SQLAlchemyError

    errors = [*also, SQLAlchemyError, sqlite3.Error, OSError]
    if "boto3" in sys.modules:
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError

        errors += [Boto3Error, BotoCoreError, ClientError]
    return tuple(errors)


def files_at(client: "MlflowClient", address: str) -> Any:
    """MLflow's access to the folder at an artifact address, which has methods to list and delete what is there."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    return get_artifact_repository(address, tracking_uri=client.tracking_uri)


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
    return without_login(uri, line)[:300] or type(error).__name__


def without_login(uri: str, text: str) -> str:
    """The text without the user and password of `uri`, which the library requests escapes in another way."""
    return LOGIN.sub("", text.replace(_login(uri), ""))


def _login(uri: str) -> str:
    """The address's user and password with the `@` after them; empty without them."""
    return "".join(urlsplit(uri).netloc.rpartition("@")[:2])


def host_and_port(url: str) -> tuple[str, int]:
    address = urlsplit(url)
    return address.hostname or "", address.port or PORTS.get(address.scheme.partition("+")[0], 5432)


def connection_fault(url: str) -> OSError | None:
    """Why a connection to the address fails; None where something listens."""
    try:
        socket.create_connection(host_and_port(url), timeout=CONNECT_TIMEOUT_S).close()
    except OSError as error:
        return error
    return None


def _is_outage(error: BaseException | None) -> bool:
    """Whether the network, a disk or a database failed, rather than the request being wrong."""
    from mlflow.exceptions import MlflowException, RestException

    outages = _outages()
    while error is not None:
        code = getattr(error, "error_code", "")
        if isinstance(error, outages) or code in {"TEMPORARILY_UNAVAILABLE", *REFUSALS}:
            return True
        if type(error) is MlflowException and str(error).startswith(FOREIGN_ANSWERS):
            return True
        # from a server that failed, or whose own database did, which MLflow calls a bad request
        is_bad_request = any(marker in str(error) for marker in ("sqlalche.me", MISSING_ID))
        if isinstance(error, RestException) and (code == "INTERNAL_ERROR" or is_bad_request):
            return True
        error = error.__cause__ or error.__context__
    return False
