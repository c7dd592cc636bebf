"""The Prefect API that a command uses: the configured one, the one that is up, or one of its
own."""

import os
import socket
import sys
import warnings
from base64 import b64encode
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import ExitStack, contextmanager
from http.client import HTTPException
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.request import urlopen

from deployments.errors import ServerUnavailable
from deployments.process import restored
from deployments.servers.environment import check_database, set_environment, settings_of
from stockml.errors import InvalidSetting
from stockml.home import HomePaths, checked_address, owner_only

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
