"""Which Prefect API a command talks to: the one that is configured, the one that is up, or one of its own."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import ExitStack, contextmanager
from http.client import HTTPException
from pathlib import Path
from urllib.request import urlopen

from deployments.errors import ServerFailed, ServerUnavailable
from deployments.process import restored
from deployments.servers import databases
from deployments.servers.environment import set_environment
from stockml.home import Home, owner_only

OWN_SERVER = "STOCKML_OWN_PREFECT_SERVER"  # set while a command has a server of its own
_STOP_S = 10.0


@contextmanager
def prefect_api(home: Home, environ: MutableMapping[str, str] = os.environ) -> Iterator[str]:
    """Yield the address of Prefect's API, set as PREFECT_API_URL meanwhile.

    PREFECT_API_URL if it is set; else the server of a running `stockml up`; else a server of this command's own over
    the same database, whose runs a later `stockml up` shows. Raises ServerUnavailable.
    """
    set_environment(home, environ)
    configured = environ.get("PREFECT_API_URL")
    if configured and not is_healthy(configured, timeout_s=30):
        from stockml.tracking.connection import without_password

        advice = "unset PREFECT_API_URL, or start it with `stockml up`"
        raise ServerUnavailable("Prefect", without_password(configured), advice)
    with owner_only(), ExitStack() as stack:
        address = configured or running_server(home) or stack.enter_context(_own_server(home, environ))
        stack.enter_context(_set("PREFECT_API_URL", address, environ))
        if not environ.get("PREFECT_UI_URL"):
            # links to runs lead to a page that lasts: where `stockml up` will show those of a command's own server
            lasting = f"http://127.0.0.1:{environ.get('STOCKML_PREFECT_PORT') or 4200}"
            page = lasting if OWN_SERVER in environ else address.removesuffix("/api")
            stack.enter_context(_set("PREFECT_UI_URL", page, environ))
        stack.callback(_drain)
        yield address


def running_server(home: Home) -> str | None:
    """The address of Prefect's API if `stockml up` runs in this home and answers."""
    address = home.server("prefect_api")
    return address if address and is_healthy(address) else None


@contextmanager
def _own_server(home: Home, environ: MutableMapping[str, str]) -> Iterator[str]:
    databases.check(home)
    databases.create(environ)
    home.prefect.mkdir(parents=True, exist_ok=True)
    listening = socket.create_server(("127.0.0.1", 0), backlog=128)
    port = listening.getsockname()[1]
    command = [sys.executable, "-m", "deployments.servers.prefect_program", str(listening.fileno()), str(home.prefect)]
    with listening, (home.prefect / "temporary-server.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env={name: value for name, value in environ.items() if name != "PREFECT_API_URL"},
            pass_fds=[listening.fileno()],
            start_new_session=True,  # Ctrl-C reaches the flow first, which still has to report its state
        )
    environ[OWN_SERVER] = "1"
    try:
        yield f"http://127.0.0.1:{port}/api"
    except Exception as error:
        if (code := process.poll()) is not None:
            raise ServerFailed("Prefect's temporary server", code, log.name, last_line(Path(log.name))) from error
        raise
    finally:
        del environ[OWN_SERVER]
        _stop(process)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    if process.stdin:
        process.stdin.close()
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def _set(name: str, address: str, environ: MutableMapping[str, str]) -> Iterator[None]:
    """Let a setting of Prefect's be this address meanwhile, also where its settings have been read already."""
    with restored(environ, [name]), ExitStack() as stack:
        environ[name] = address
        if "prefect" in sys.modules:
            from prefect import settings

            stack.enter_context(settings.temporary_settings({getattr(settings, name): address}))
        yield


def _drain() -> None:
    """Send what is still queued here (task states travel as events) while there is a server to take it."""
    if "prefect" not in sys.modules:
        return
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    EventsWorker.drain_all(timeout=5)
    APILogWorker.drain_all(timeout=5)


def last_line(log: Path) -> str:
    """What a program said last; empty when nothing can be read."""
    try:
        lines = log.read_text(errors="replace").split("\n")
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def is_healthy(address: str, timeout_s: float = 3.0) -> bool:
    """Whether a Prefect API answers there."""
    try:
        with urlopen(f"{address}/health", timeout=timeout_s) as reply:
            return bool(reply.status == 200)
    except (OSError, HTTPException, ValueError):
        return False
