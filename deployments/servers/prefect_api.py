"""The platforms as a command uses them: their environment variables, whether the installed ones are
of the ranges that this project is made for, and the Prefect API: the configured one, the one that
is up, or one of its own.

Variables are set by the command line, never at import.
"""

import os
import socket
import sys
import warnings
from base64 import b64encode
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import ExitStack, contextmanager
from http.client import HTTPException
from importlib.metadata import requires, version
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.request import urlopen

from packaging.requirements import Requirement

from deployments.process import restored
from stockml.errors import InvalidSetting, StockmlError
from stockml.home import HomePaths, checked_address, owner_only
from stockml.tracking.connection import SETTINGS as MLFLOW_SETTINGS
from stockml.tracking.connection import postgres_fault, without_password

RUN_DAYS, EVENT_DAYS = 21, 3  # how long Prefect keeps finished runs, and their events


class ServerUnavailable(StockmlError):
    name: str
    address: str
    advice: str
    found: str = "no answer"
    text = "expected {name} at {address}, found {found}; {advice}"


class WrongVersion(StockmlError):
    """An installed Prefect or MLflow that this project is not made for."""

    name: str
    wanted: str
    found: str
    text = (
        "expected {name} {wanted}, found {found}; install the versions of "
        "requirements.lock (`make run` does)"
    )


def set_environment(home: HomePaths, environ: MutableMapping[str, str] = os.environ) -> None:
    """Set every variable that the user has not set. Call it before Prefect, MLflow or TensorFlow is
    imported."""
    for name, value in settings_of(home, environ).items():
        environ.setdefault(name, value)


def settings_of(home: HomePaths, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variables as this project wants them for the home; what the user has set in `environ` is
    to win."""
    password = environ.get("PREFECT_SERVER_API_AUTH_STRING")
    # this home's servers ask for it; a server elsewhere must not be sent it
    as_client = (
        {"PREFECT_API_AUTH_STRING": password}
        if password and not environ.get("PREFECT_API_URL")
        else {}
    )
    # a restarting PostgreSQL's answers; on SQLite they mean a full disk, reported at once
    if home.database:
        as_client["PREFECT_CLIENT_RETRY_EXTRA_CODES"] = "500,504"
    return as_client | {
        "STOCKML_HOME": str(home.root),
        "PREFECT_HOME": str(home.prefect),
        "PREFECT_API_DATABASE_CONNECTION_URL": prefect_database(home),
        "PREFECT_RESULTS_LOCAL_STORAGE_PATH": str(home.results),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        # without these two a run's tasks stall about 2 s each on SQLite
        "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "100",
        "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
        # retry for four minutes instead of one while others write to SQLite
        "PREFECT_CLIENT_MAX_RETRIES": "7",
        # five hundred nights due at once queue for 20 minutes: only a run that no worker takes is
        # late
        "PREFECT_SERVER_SERVICES_LATE_RUNS_AFTER_SECONDS": "3600",
        # Prefect's own vacuum removes what ended long ago
        "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
        "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": str(RUN_DAYS * 86_400),
        "PREFECT_SERVER_EVENTS_RETENTION_PERIOD": f"P{EVENT_DAYS}D",
        # notice within minutes that a run's process is gone
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
        # send a night's log lines in one or two requests
        "PREFECT_LOGGING_TO_API_BATCH_INTERVAL": "5.0",
        "DO_NOT_TRACK": "true",
        **MLFLOW_SETTINGS,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        # the list of language models that its page shows is the installed one, not another server's
        "MLFLOW_MODEL_CATALOG_URI": "",
        # what a run logs goes to its page; the terminal shows this project's own lines
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
        "PREFECT_WORKER_WEBSERVER_HOST": "127.0.0.1",
        # a run started on Prefect's page begins within seconds
        "PREFECT_WORKER_QUERY_SECONDS": "3",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }


def check_database(home: HomePaths) -> None:
    """Raise ServerUnavailable where the home's PostgreSQL is away or refuses us: a server says it
    in its log."""
    if home.database and (fault := postgres_fault(home.mlflow_database)):
        place = without_password(home.mlflow_database)
        raise ServerUnavailable("PostgreSQL", place, "check STOCKML_DATABASE_URL", fault)


def prefect_database(home: HomePaths) -> str:
    file = home.prefect / "prefect.db"
    return (
        f"postgresql+asyncpg://{home.database}/prefect"
        if home.database
        else f"sqlite+aiosqlite:///{file}"
    )


if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

OWN_SERVER = "STOCKML_OWN_PREFECT_SERVER"  # set while a command runs a server of its own
NAME = "Prefect's temporary server"


@contextmanager
def prefect_api(home: HomePaths, environ: MutableMapping[str, str] = os.environ) -> Iterator[str]:
    """Yield the address of Prefect's API, with PREFECT_API_URL set to it meanwhile.

    It is PREFECT_API_URL if set; else the server of a running `stockml up`; else a server of this
    command's own on the same database, whose runs a later `stockml up` shows. Raises
    InvalidSetting, ServerUnavailable.
    """
    set_environment(home, environ)
    configured = configured_api(home, environ)
    with owner_only(), ExitStack() as stack:
        address = (
            configured or running_server(home) or stack.enter_context(_own_server(home, environ))
        )
        stack.enter_context(_set("PREFECT_API_URL", address, environ))
        if not environ.get("PREFECT_UI_URL"):
            # link to a lasting page: where `stockml up` will show the runs of a command's own
            # server
            lasting = f"http://127.0.0.1:{environ.get('STOCKML_PREFECT_PORT') or 4200}"
            page = lasting if OWN_SERVER in environ else address.removesuffix("/api")
            stack.enter_context(_set("PREFECT_UI_URL", page, environ))
        yield address


@contextmanager
def client_if_up(home: HomePaths) -> "Iterator[SyncPrefectClient | None]":
    """Yield a client of the Prefect that is configured or up; None if none is. No retries: a person
    waits.

    Raises InvalidSetting, ServerUnavailable.
    """
    address = configured_api(home, os.environ, timeout_s=3) or running_server(home)
    if address is None:
        yield None
        return
    set_environment(home)
    # in a home that is not made yet
    with warnings.catch_warnings(action="ignore", category=UserWarning):
        from prefect import settings
        from prefect.client.orchestration import get_client

    client_settings: dict[Any, Any] = {
        settings.PREFECT_API_URL: address,
        settings.PREFECT_CLIENT_MAX_RETRIES: 0,
    }
    if password := os.environ.get("PREFECT_API_AUTH_STRING"):
        client_settings[settings.PREFECT_API_AUTH_STRING] = password
    with settings.temporary_settings(client_settings), get_client(sync_client=True) as client:
        yield client


def configured_api(home: HomePaths, environ: Mapping[str, str], timeout_s: float = 30.0) -> str:
    """PREFECT_API_URL, empty if it is not set. Raises InvalidSetting.

    Raises ServerUnavailable unless the API is healthy, and takes the password that commands send.
    """
    address = checked_address("PREFECT_API_URL", environ.get("PREFECT_API_URL", ""))
    if not address:
        return ""
    if "@" in address:  # the name service would be asked for a host `user:password@host`
        expected = "an address without user and password; PREFECT_API_AUTH_STRING takes them"
        raise InvalidSetting("PREFECT_API_URL", "…", expected)
    from deployments.servers.access import SET_PASSWORD

    fault, advice = (
        unhealthy(address, timeout_s=timeout_s),
        "unset PREFECT_API_URL, or start it with `stockml up`",
    )
    if not fault and rejects_password(address, environ, home):
        fault, advice = "that it expects another password", SET_PASSWORD
    if fault:
        raise ServerUnavailable("Prefect", address, advice, fault)
    return address


def running_server(home: HomePaths) -> str | None:
    """The address of this home's Prefect API if it is up and answers."""
    address = home.server("prefect_api")
    return address if address and not unhealthy(address) else None


@contextmanager
def _own_server(home: HomePaths, environ: MutableMapping[str, str]) -> Iterator[str]:
    """Run a server on a socket that listens at once: what is asked meanwhile waits for its
    start."""
    from deployments.servers import prefect_app
    from deployments.servers.processes import Program, start, stop

    check_database(home)
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listening:
        port, number = listening.getsockname()[1], listening.fileno()
        own = {**environ, **prefect_app.closed_to_others([f"http://127.0.0.1:{port}"])}
        program = Program(NAME, prefect_app.__name__, (str(number),), own, pass_fds=[number])
        server = start(program, home.prefect / "temporary-server.log")
    environ[OWN_SERVER] = "1"
    try:
        try:
            yield f"http://127.0.0.1:{port}/api"
        finally:
            _drain()
    except ValueError:  # settings that Prefect refuses; the server ends of them and says less
        raise
    except Exception:
        server.check()
        raise
    finally:
        del environ[OWN_SERVER]
        stop([server])


def _drain() -> None:
    """Send queued events (task states among them) and log lines while the server is still there."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogHandler

    EventsWorker.drain_all(timeout=5)
    APILogHandler().flush()


@contextmanager
def _set(name: str, address: str, environ: MutableMapping[str, str]) -> Iterator[None]:
    """Set a Prefect setting to this address meanwhile, even if Prefect has already read its
    settings."""
    with restored(environ, [name]), ExitStack() as stack:
        environ[name] = address
        if "prefect" in sys.modules:
            from prefect import settings

            stack.enter_context(settings.temporary_settings({getattr(settings, name): address}))
        yield


def rejects_password(address: str, environ: Mapping[str, str], home: HomePaths) -> bool | None:
    """Whether a server refuses the password that commands send; None if it does not say.

    False for Prefect Cloud, which takes a key.
    """
    # as Prefect's client does, it sends no password on to another server that this one leads to
    import httpx

    password = {**settings_of(home, environ), **environ}.get("PREFECT_API_AUTH_STRING", "")
    headers = (
        {"Authorization": f"Basic {b64encode(password.encode()).decode()}"} if password else {}
    )
    try:
        reply = httpx.get(
            f"{address}/admin/version", headers=headers, follow_redirects=True, timeout=3
        )
    except httpx.HTTPError:
        return None
    return (
        None
        if reply.is_server_error
        else reply.status_code == 401 and not environ.get("PREFECT_API_KEY")
    )


def unhealthy(address: str, timeout_s: float = 3.0) -> str | None:
    """None if the API answers as a healthy one; else what is found instead, such as its own words
    for a refusal."""
    try:
        with urlopen(f"{address}/health", timeout=timeout_s) as reply:
            # such as that of a login before it
            is_page = reply.headers.get_content_type() == "text/html"
            return (
                "a page" if is_page else None if reply.status == 200 else f"status {reply.status}"
            )
    except HTTPError as refusal:
        reason = (
            refusal.read(200).decode(errors="replace")
            if "text/plain" in str(refusal.headers)
            else refusal.reason
        )
        return f"status {refusal.code} ({' '.join(reason.split())})"
    except (OSError, HTTPException, ValueError):
        return "no answer"


PLATFORMS = ("prefect", "mlflow")


def wrong_versions() -> Iterator[WrongVersion]:
    """Yield those outside of the package's own requirements: an older one lacks what is called."""
    for requirement in map(Requirement, requires("stockml") or ()):
        name, wanted = requirement.name, requirement.specifier
        if name in PLATFORMS and not wanted.contains(installed := version(name), prereleases=True):
            yield WrongVersion(name, str(wanted), installed)


def check_versions() -> None:
    """Raise WrongVersion for the first, before its server is started on a home's database."""
    for wrong in wrong_versions():
        raise wrong
