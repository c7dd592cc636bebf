"""`stockml up`: both pages and a worker on this machine; each part is a program that `stockml serve` runs alone.

Order: Prefect's and MLflow's servers together, then the deployments, then the worker. They stop in reverse order, so
that an interrupted run can still report its state.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from typing import NoReturn
from urllib.parse import urlsplit

from deployments.errors import AlreadyUp
from deployments.registration import POOL
from deployments.registration.ticker_list import tickers_of
from deployments.replay.feed import played
from deployments.servers import databases, processes
from deployments.servers.access import HOSTS, PASSWORD, Access, check_port
from deployments.servers.environment import settings_of
from deployments.servers.prefect_api import running_server
from deployments.servers.processes import Child, Program, start
from stockml.code_version import in_words, number_libraries
from stockml.errors import InvalidFile, InvalidSetting, StoreBusy
from stockml.home import HomePaths
from stockml.storage.files import write_atomically
from stockml.storage.locks import file_lock

START_S, SETTLED_S = 120.0, 60.0
PORT_OPTIONS = {name: f"--{name.lower()}-port or STOCKML_{name.upper()}_PORT" for name in ("Prefect", "MLflow")}
KEYS = ("ALPHAVANTAGE_API_KEY", "TIINGO_API_KEY")
MANY = 50  # tickers: registering more takes so long that it is announced


def prefect(port: int, environ: Mapping[str, str]) -> Program:
    return Program("Prefect", "deployments.servers.prefect_program", (str(port),), _without_keys(environ))


def mlflow(home: HomePaths, port: int, environ: Mapping[str, str]) -> Program:
    own = {**_without_keys(environ), "MLFLOW_BACKEND_STORE_URI": home.mlflow_database}
    return Program("MLflow", "deployments.servers.mlflow_program", (str(port), home.artifacts), own)


def _without_keys(environ: Mapping[str, str]) -> dict[str, str]:
    """No page asks for prices: no fault of Prefect's or MLflow's can show a key that their processes do not hold."""
    return {name: value for name, value in environ.items() if name not in KEYS}


def worker(environ: Mapping[str, str], name: str, *more: str) -> Program:
    """The worker, which executes two runs at once; Prefect's page shows it by its name."""
    arguments = ("--pool", POOL, "--type", "process", "--name", name, "--limit", "2", *more)
    level = {"PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "INFO"}
    # retried like a 503, by worker and runs: the server's database is away, and at night nobody starts a run again
    environ = {"PREFECT_CLIENT_RETRY_EXTRA_CODES": "500,504", **environ, **level}
    return Program("the worker", "deployments.servers.worker_program", arguments, environ, reports=True)


@contextmanager
def up(
    home: HomePaths, prefect_port: int, mlflow_port: int, environ: Mapping[str, str], say: Callable[[str], None]
) -> Iterator[list[Child]]:
    """Start everything, yield the children to `watch`, stop everything. Raises AlreadyUp, PortTaken, ServerFailed.

    Meanwhile, `servers.json` in the home tells other commands what is up.
    """
    if address := running_server(home):
        raise AlreadyUp(f"at {address}")
    code = {"version": in_words(), "libraries": " ".join(number_libraries())}
    databases.check(home)
    access = Access.of(environ)
    for name, port in (("Prefect", prefect_port), ("MLflow", mlflow_port)):
        check_port(name, port, PORT_OPTIONS[name], access.address)
    if prefect_port == mlflow_port:
        raise InvalidSetting(PORT_OPTIONS["MLflow"], mlflow_port, "another port than Prefect's")
    environ = {**settings_of(home, environ), **environ}
    pages = {"prefect": access.url(prefect_port), "mlflow": access.url(mlflow_port)}
    api, logs = f"{pages['prefect']}/api", home.root / "logs"
    with ExitStack() as stack:
        try:
            stack.enter_context(file_lock(home.locks / "up.lock", 0))
        except StoreBusy as busy:
            raise AlreadyUp("that is starting or stopping") from busy
        databases.create(home)
        if feed := stack.enter_context(played(home, environ)):
            say(feed.notice)
        elif not environ.get("ALPHAVANTAGE_API_KEY"):
            say("no ALPHAVANTAGE_API_KEY: runs take the key from Prefect's Secret block `alphavantage-api-key`")
        children: list[Child] = []
        stack.callback(lambda: processes.stop(reversed(children)))
        children.append(start(prefect(prefect_port, environ), logs / "prefect.log"))
        children.append(start(mlflow(home, mlflow_port, environ), logs / "mlflow.log"))
        deadline = time.monotonic() + START_S
        for child, server in zip(children, (api, pages["mlflow"]), strict=True):
            processes.wait_until_healthy(child, f"{server}/health", deadline)
        environ = {"PREFECT_UI_URL": pages["prefect"], **environ}
        environ |= {"PREFECT_API_URL": api, "MLFLOW_TRACKING_URI": pages["mlflow"], **access.as_client()}
        listed = tickers_of(home)
        _deploy(home, environ, say, children)
        children.append(start(worker(environ, "this machine"), logs / "worker.log"))
        record = pages | {"prefect_api": api, "address": access.address} | code
        write_atomically(home.servers, json.dumps(record).encode())
        stack.callback(home.servers.unlink, missing_ok=True)
        with suppress(InvalidFile):  # another command is saving it
            if tickers_of(home) != listed:  # changed by a command that did not find these servers yet
                _deploy(home, environ, say, children)
        _print_addresses(home, pages, access, say)
        yield children


def write_api_address(home: HomePaths, prefect_api: str) -> None:
    """Record the API of a worker started alone, for other commands in this home, unless a recorded one is up."""
    if not running_server(home):
        write_atomically(home.servers, json.dumps({"prefect_api": prefect_api}).encode())


def watch(children: list[Child], say: Callable[[str], None]) -> NoReturn:
    """Watch the children forever, restart one that was killed, and keep their logs from growing without end.

    Raises ServerFailed for one that ended by itself, or was killed within its first minute; PortTaken.
    """
    while True:
        for index, child in enumerate(children):
            processes.shorten_log(child.log)
            if child.process.poll() is None:
                continue
            if not child.was_killed or time.monotonic() - child.began <= SETTLED_S:
                raise child.failure()
            if option := PORT_OPTIONS.get(child.program.name):  # else the new one would end without saying why
                address = Access.of(child.program.environ).address
                check_port(child.program.name, int(child.program.arguments[0]), option, address)
            children[index] = processes.restart(child)
            say(f"{child.program.name} was killed, and is started anew")
        time.sleep(0.5)


def _deploy(home: HomePaths, environ: Mapping[str, str], say: Callable[[str], None], servers: list[Child]) -> None:
    """Run `stockml deploy` in a separate process, which reads its settings afresh and keeps this one small."""
    if (count := len(tickers_of(home).tickers)) > MANY:
        say(f"telling Prefect of {count} tickers, which takes minutes the first time")
    child = start(Program("stockml deploy", "deployments.cli", ("deploy",), environ), home.root / "logs" / "deploy.log")
    try:
        while (code := child.process.poll()) != 0:
            for each in (*servers, child) if code else servers:  # it would wait minutes for a killed one
                each.check()
            time.sleep(0.1)
    finally:
        processes.stop([child])
    say(child.log.read_text().strip())


def _mlflow_url(server: str, access: Access) -> str:
    """The link to MLflow's arranged page of all tickers; the bare address if that does not exist yet."""
    import httpx

    from stockml.tracking.views import EXPERIMENT, view_url

    user, _, password = (access.password or "").partition(":")
    url = f"{server}/api/2.0/mlflow/experiments/get-by-name"
    try:
        reply = httpx.get(url, params={"experiment_name": EXPERIMENT}, auth=(user, password) if user else None)
        return view_url(server, reply.raise_for_status().json()["experiment"]["experiment_id"])
    except (httpx.HTTPError, KeyError, ValueError, TypeError):
        return server


def _print_addresses(home: HomePaths, pages: Mapping[str, str], access: Access, say: Callable[[str], None]) -> None:
    say(f"home     {home.root}")
    say(f"Prefect  {pages['prefect']}   runs, schedules, and runs by hand: Deployments → Quick run")
    say(f"MLflow   {_mlflow_url(pages['mlflow'], access)}   all tickers, and from there nights and models side by side")
    if access.address != "127.0.0.1" or access.password:
        policy = f"both ask for the user and password of {PASSWORD}" if access.password else "no password is asked for"
        say(f"They listen on {access.address}{' (IPv6 only)' if ':' in access.address else ''}; {policy}")
    if elsewhere := access.elsewhere():
        links = ", ".join(f"http://{host}:{urlsplit(page).port}" for host in elsewhere for page in pages.values())
        say(f"From other machines: {links}; further names are allowed with {HOSTS}")
    if access.named and not access.password:
        say(f"Whoever reaches {', '.join(access.named)} can start runs: a password is set with {PASSWORD}")
    say("Ctrl-C stops everything")
