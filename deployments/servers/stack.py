"""Both pages and a worker on this machine: `stockml up`.

Order: Prefect's server and MLflow's together, then the deployments, then the worker; stopped the other way round, so
that a run that is cut short can still report its state. Everything listens on 127.0.0.1, unless STOCKML_ADDRESS says
otherwise: then both pages ask for a password.
"""

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from typing import NoReturn

from deployments.replay.feed import END_OF_RECORDING, Feed
from deployments.replay.source import replay_environment
from deployments.servers import databases, parts, processes
from deployments.servers.access import PASSWORD, Access
from deployments.servers.environment import settings_of
from deployments.servers.errors import AlreadyUp
from deployments.servers.parts import Part
from deployments.servers.prefect_api import running_server
from deployments.servers.processes import Child, check_port
from stockml import clock
from stockml.home import Home, owner_only
from stockml.provider.price_source import kind_here
from stockml.storage.files import write_atomically

START_S = 120.0


@dataclass(frozen=True)
class Ports:
    """Where the two pages are served."""

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
    databases.check(home)
    access = Access.of(environ)
    check_port("Prefect", ports.prefect, "--prefect-port or STOCKML_PREFECT_PORT", access.address)
    check_port("MLflow", ports.mlflow, "--mlflow-port or STOCKML_MLFLOW_PORT", access.address)
    environ = {**environ, **{k: v for k, v in settings_of(home, environ).items() if k not in environ}}
    databases.create(environ)
    with owner_only(), ExitStack() as stack:
        environ, feed = _prices(home, environ, stack, say)
        servers = _addresses(access, ports, feed)
        children: list[Child] = []
        stack.callback(lambda: processes.stop(reversed(children)))
        children += [start_prefect(home, ports.prefect, environ), start_mlflow(home, ports.mlflow, environ)]
        _wait(children, servers)
        environ = {"PREFECT_UI_URL": servers.prefect} | environ
        environ = environ | {"PREFECT_API_URL": servers.prefect_api, "MLFLOW_TRACKING_URI": servers.mlflow}
        environ = environ | parts.as_client(access)
        _deploy(home, environ, say)
        children.append(_start(home, parts.worker(environ), "worker.log", reports=True))
        write_atomically(home.servers, json.dumps(asdict(servers), indent=1).encode())
        stack.callback(home.servers.unlink, missing_ok=True)
        _tell(home, servers, access, say)
        yield children


def watch(children: list[Child]) -> NoReturn:
    """Look after the children until one ends by itself: ServerFailed."""
    while True:
        for child in children:
            child.check()
        time.sleep(0.5)


def _prices(
    home: Home, environ: Mapping[str, str], stack: ExitStack, say: Callable[[str], None]
) -> tuple[dict[str, str], Feed | None]:
    """Without a key, runs ask a replay feed of this process; not where the market's prices are held."""
    if environ.get("ALPHAVANTAGE_API_KEY"):
        return dict(environ), None
    if kind_here(home, environ) == "market":
        say("no ALPHAVANTAGE_API_KEY: runs take the key from Prefect's Secret block `alphavantage-api-key`")
        return dict(environ), None
    feed = stack.enter_context(Feed(now=clock.now(environ) if environ.get("STOCKML_CLOCK") else END_OF_RECORDING))
    say(f"no ALPHAVANTAGE_API_KEY: runs are served recorded prices, newest session {feed.newest}")
    return {**environ, **replay_environment(feed)}, feed


def _addresses(access: Access, ports: Ports, feed: Feed | None) -> Servers:
    prefect, mlflow = access.url(ports.prefect), access.url(ports.mlflow)
    return Servers(os.getpid(), prefect, f"{prefect}/api", mlflow, feed.address if feed else None)


def start_prefect(home: Home, port: int, environ: Mapping[str, str]) -> Child:
    return _start(home, parts.prefect(port, environ), "prefect.log")


def start_mlflow(home: Home, port: int, environ: Mapping[str, str]) -> Child:
    return _start(home, parts.mlflow(home, port, environ), "mlflow.log")


def _start(home: Home, part: Part, log: str, *, reports: bool = False) -> Child:
    place = home.root / "logs" / log
    return processes.start(part.name, part.module, part.arguments, part.environ, place, reports=reports)


def _wait(pages: list[Child], servers: Servers) -> None:
    deadline = time.monotonic() + START_S
    processes.wait_until_healthy(pages[0], f"{servers.prefect_api}/health", deadline)
    processes.wait_until_healthy(pages[1], f"{servers.mlflow}/health", deadline)


def _deploy(home: Home, environ: Mapping[str, str], say: Callable[[str], None]) -> None:
    """In a process of its own, which reads its settings afresh and leaves this one small."""
    arguments = ["deploy", "--crash-orphans"]
    child = processes.start("stockml deploy", "deployments.cli", arguments, environ, home.root / "logs" / "deploy.log")
    if child.process.wait(START_S):
        child.check()
    say(child.log.read_text().strip())


def _all_tickers(servers: Servers, access: Access) -> str:
    """The link that opens MLflow's page of all tickers as it is arranged; the bare address where it is not there."""
    import httpx

    from stockml.tracking.views import EXPERIMENT, view_url

    user, _, password = access.password.partition(":") if access.password else ("", "", "")
    asked = f"{servers.mlflow}/api/2.0/mlflow/experiments/get-by-name"
    try:
        reply = httpx.get(asked, params={"experiment_name": EXPERIMENT}, auth=(user, password) if user else None)
        return view_url(servers.mlflow, reply.raise_for_status().json()["experiment"]["experiment_id"])
    except (httpx.HTTPError, KeyError, ValueError):
        return servers.mlflow


def _tell(home: Home, servers: Servers, access: Access, say: Callable[[str], None]) -> None:
    say(f"home     {home.root}")
    say(f"Prefect  {servers.prefect}   runs, schedules, and runs by hand: Deployments → Quick run")
    say(f"MLflow   {_all_tickers(servers, access)}   all tickers, and from there nights and models side by side")
    if access.address != "127.0.0.1" or access.password:
        asked = f"both ask for the user and password of {PASSWORD}" if access.password else "no password is asked for"
        say(f"They listen on {access.address}; {asked}")
    if access.named and not access.password:
        say(f"Whoever reaches {', '.join(access.named)} can start runs: a password is set with {PASSWORD}")
    say("Ctrl-C stops everything")
