"""Both pages and a worker on this machine: `stockml up`.

Order: Prefect's server and MLflow's together, then the deployments, then the worker; stopped the other way round, so
that a run that is cut short can still report its state. Everything listens on 127.0.0.1.
"""

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from typing import NoReturn

from deployments.registration import POOL
from deployments.replay.feed import Feed
from deployments.replay.source import replay_environment
from deployments.servers import processes
from deployments.servers.environment import mlflow_database, settings_of
from deployments.servers.errors import AlreadyUp
from deployments.servers.postgres import create_databases
from deployments.servers.prefect_api import running_server
from deployments.servers.processes import Child, check_port
from stockml.home import Home
from stockml.storage.files import write_atomically

START_S = 120.0


@dataclass(frozen=True)
class Ports:
    """Where the two pages are served on 127.0.0.1."""

    prefect: int = 4200
    mlflow: int = 5000


@dataclass(frozen=True)
class Servers:
    """What is up, kept as `servers.json` in the home for other commands; `feed` is the replay feed's address."""

    pid: int
    prefect: str
    prefect_api: str
    mlflow: str
    feed: str | None


@contextmanager
def up(home: Home, ports: Ports, environ: Mapping[str, str], say: Callable[[str], None]) -> Iterator[list[Child]]:
    """Start everything; yield the children to watch; stop everything. Raises ServerError."""
    if address := running_server(home):
        raise AlreadyUp(address, str(home.servers))
    check_port("Prefect", ports.prefect, "--prefect-port")
    check_port("MLflow", ports.mlflow, "--mlflow-port")
    environ = {**environ, **{k: v for k, v in settings_of(home, environ).items() if k not in environ}}
    create_databases(environ)
    with ExitStack() as stack:
        environ, feed = _prices(environ, stack, say)
        servers = _addresses(ports, feed)
        children: list[Child] = []
        stack.callback(lambda: processes.stop(reversed(children)))
        children += [start_prefect(home, ports.prefect, environ), start_mlflow(home, ports.mlflow, environ)]
        _wait(children, ports)
        environ = environ | {"PREFECT_API_URL": servers.prefect_api, "MLFLOW_TRACKING_URI": servers.mlflow}
        _deploy(home, environ, say)
        children.append(_start_worker(home, environ))
        write_atomically(home.servers, json.dumps(asdict(servers), indent=1).encode())
        stack.callback(home.servers.unlink, missing_ok=True)
        _tell(servers, say)
        yield children


def watch(children: list[Child], sleep: Callable[[float], None] = time.sleep) -> NoReturn:
    """Look after the children until one ends by itself: ServerFailed."""
    while True:
        for child in children:
            child.check()
        sleep(0.5)


def _prices(
    environ: Mapping[str, str], stack: ExitStack, say: Callable[[str], None]
) -> tuple[dict[str, str], Feed | None]:
    """Without a key, runs ask a replay feed of this process."""
    if environ.get("ALPHAVANTAGE_API_KEY"):
        return dict(environ), None
    feed = stack.enter_context(Feed())
    say(f"no ALPHAVANTAGE_API_KEY: runs are served recorded prices, newest session {feed.newest}")
    return {**environ, **replay_environment(feed)}, feed


def _addresses(ports: Ports, feed: Feed | None) -> Servers:
    prefect = f"http://127.0.0.1:{ports.prefect}"
    mlflow = f"http://127.0.0.1:{ports.mlflow}"
    return Servers(os.getpid(), prefect, f"{prefect}/api", mlflow, feed.address if feed else None)


def start_prefect(home: Home, port: int, environ: Mapping[str, str]) -> Child:
    """Prefect's server and page."""
    arguments = ["server", "start", "--host", "127.0.0.1", "--port", str(port)]
    without_api = {name: value for name, value in environ.items() if name != "PREFECT_API_URL"}
    # the page asks the API at this address; without it, always at port 4200
    without_api["PREFECT_SERVER_UI_API_URL"] = f"http://127.0.0.1:{port}/api"
    return processes.start("Prefect", "prefect", arguments, without_api, home.root / "logs" / "prefect.log")


def start_mlflow(home: Home, port: int, environ: Mapping[str, str]) -> Child:
    """MLflow's server and page."""
    arguments = ["server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    arguments += ["--artifacts-destination", home.artifacts]
    # the address may hold a password, which a command line would show to everyone on this machine
    database = {"MLFLOW_BACKEND_STORE_URI": mlflow_database(home, environ)}
    log = home.root / "logs" / "mlflow.log"
    return processes.start("MLflow", "deployments.servers.mlflow_program", arguments, {**environ, **database}, log)


def _wait(pages: list[Child], ports: Ports) -> None:
    deadline = time.monotonic() + START_S
    processes.wait_until_healthy(pages[0], f"http://127.0.0.1:{ports.prefect}/api/health", deadline)
    processes.wait_until_healthy(pages[1], f"http://127.0.0.1:{ports.mlflow}/health", deadline)


def _start_worker(home: Home, environ: Mapping[str, str]) -> Child:
    arguments = ["worker", "start", "--pool", POOL, "--type", "process", "--name", "this machine", "--limit", "2"]
    environ = {**environ, "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "INFO"}
    return processes.start("the worker", "prefect", arguments, environ, home.root / "logs" / "worker.log", reports=True)


def _deploy(home: Home, environ: Mapping[str, str], say: Callable[[str], None]) -> None:
    """In a process of its own, which reads its settings afresh and leaves this one small."""
    arguments = ["deploy", "--crash-orphans"]
    child = processes.start("stockml deploy", "deployments.cli", arguments, environ, home.root / "logs" / "deploy.log")
    if child.process.wait(START_S):
        child.check()
    say(child.log.read_text().strip())


def _tell(servers: Servers, say: Callable[[str], None]) -> None:
    say(f"Prefect  {servers.prefect}   runs, schedules, and runs by hand: Deployments → Quick run")
    say(f"MLflow   {servers.mlflow}   nights and models side by side")
    say("Ctrl-C stops everything")
