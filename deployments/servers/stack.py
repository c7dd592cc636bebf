"""`stockml up`: Prefect's and MLflow's servers and a worker on this machine, each a stock program.

Order: both servers together, then the deployments, then the worker. They stop in reverse order, so
that an interrupted run can still report its state.
"""

import json
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import NoReturn

from deployments.registration import POOL
from deployments.registration.ticker_list import tickers_of
from deployments.replay import played
from deployments.servers import prefect_app, processes
from deployments.servers.access import HOSTS, PASSWORD, Access, PortTaken, check_port
from deployments.servers.prefect_api import (
    check_database,
    check_versions,
    running_server,
    settings_of,
)
from deployments.servers.processes import Child, Program, start
from stockml.code_version import in_words
from stockml.errors import InvalidSetting, StockmlError, StoreBusy
from stockml.home import HomePaths
from stockml.provider.price_source import prices_in
from stockml.storage.files import write_atomically
from stockml.storage.locks import file_lock

START_S = 180.0  # a first start makes the databases
LONGEST_PAUSE_S, SETTLED_S = 60.0, 300.0
RUNS_AT_ONCE = 2
PORT_OPTIONS = {
    name: f"--{name.lower()}-port or STOCKML_{name.upper()}_PORT" for name in ("Prefect", "MLflow")
}
KEYS = ("ALPHAVANTAGE_API_KEY", "TIINGO_API_KEY")
MANY = 50  # tickers: registering more takes so long that it is announced


class AlreadyUp(StockmlError):
    found: str
    text = (
        "expected no running `stockml up` in this home, found one {found}; use it, or stop it first"
    )


def prefect(port: int, access: Access, environ: Mapping[str, str]) -> Program:
    """Prefect's server, closed to other origins and, on a local address, to other names."""
    own = prefect_app.closed_to_others(access.origins(port), access.hosts)
    own["PREFECT_SERVER_UI_API_URL"] = "/api"  # relative: works under any of the server's names
    arguments = (access.address, str(port))
    return Program(
        "Prefect",
        prefect_app.__name__,
        arguments,
        _without_keys(environ) | own,
        (access.address, port),
    )


def mlflow(home: HomePaths, port: int, access: Access, environ: Mapping[str, str]) -> Program:
    """MLflow's server with its own guards; with a password, its basic authentication."""
    own = {"MLFLOW_BACKEND_STORE_URI": home.mlflow_database}  # which may hold a password
    hosts = [each for host in access.hosts for each in (host, f"{host}:*")]
    arguments = ["server", "--host", access.address, "--port", str(port), "--workers", "1"]
    arguments += ["--artifacts-destination", home.artifacts, "--allowed-hosts", ",".join(hosts)]
    arguments += ["--cors-allowed-origins", ",".join(access.origins(port))]
    if access.password:
        arguments += ["--app-name", "basic-auth"]
        own |= _login(home, access.password)
    return Program(
        "MLflow", "mlflow", arguments, _without_keys(environ) | own, (access.address, port)
    )


def _login(home: HomePaths, password: str) -> dict[str, str]:
    """MLflow's settings for one user; its table of users is made anew, as the password is."""
    users, settings = home.root / "mlflow-users.db", home.root / "mlflow-users.ini"
    users.unlink(missing_ok=True)
    text = f"[mlflow]\ndefault_permission = MANAGE\ndatabase_uri = sqlite:///{users}\n"
    text += "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    write_atomically(settings, text.encode())
    user, _, word = password.partition(":")
    return {
        "MLFLOW_AUTH_CONFIG_PATH": str(settings),
        "MLFLOW_AUTH_ADMIN_USERNAME": user,
        "MLFLOW_AUTH_ADMIN_PASSWORD": word,
        "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_hex(),
    }


def worker(environ: Mapping[str, str]) -> Program:
    """The worker, which starts each run as a process of its own."""
    arguments = ("worker", "start", "--pool", POOL, "--type", "process", "--name", "this machine")
    limit = ("--limit", str(RUNS_AT_ONCE))
    # asked again, as after a 503: the server's database may be away
    own = {"PREFECT_CLIENT_RETRY_EXTRA_CODES": "500,504", **environ}
    own["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"] = "INFO"
    return Program("the worker", "prefect", arguments + limit, own, reports=True)


def _without_keys(environ: Mapping[str, str]) -> dict[str, str]:
    """No page asks for prices: no fault of a server's can show a key that it does not hold."""
    return {name: value for name, value in environ.items() if name not in KEYS}


@contextmanager
def up(
    home: HomePaths,
    prefect_port: int,
    mlflow_port: int,
    environ: Mapping[str, str],
    say: Callable[[str], None],
) -> Iterator[list[Child]]:
    """Start everything, yield the children to `watch`, stop everything.

    Meanwhile, `servers.json` in the home tells other commands what is up. Raises AlreadyUp,
    WrongVersion, PortTaken, ServerFailed.
    """
    if address := running_server(home):
        raise AlreadyUp(f"at {address.removesuffix('/api')}")
    check_versions()
    check_database(home)
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
        if feed := stack.enter_context(played(home, environ)):
            say(feed.notice)
        elif not environ.get("ALPHAVANTAGE_API_KEY"):
            say(
                "no ALPHAVANTAGE_API_KEY: runs take the key from Prefect's Secret block "
                "`alphavantage-api-key`"
            )
        children: list[Child] = []
        stack.callback(lambda: processes.stop(reversed(children)))
        children.append(start(prefect(prefect_port, access, environ), logs / "prefect.log"))
        children.append(start(mlflow(home, mlflow_port, access, environ), logs / "mlflow.log"))
        deadline = time.monotonic() + START_S
        for child, server in zip(children, (api, pages["mlflow"]), strict=True):
            processes.wait_until_healthy(child, f"{server}/health", deadline)
        environ = {"PREFECT_UI_URL": pages["prefect"], **environ}
        environ |= {"PREFECT_API_URL": api, "MLFLOW_TRACKING_URI": pages["mlflow"]}
        environ |= access.as_client()
        _register(home, environ, say, children)
        children.append(start(worker(environ), logs / "worker.log"))
        record = pages | {"prefect_api": api, "address": access.address, "version": in_words()}
        write_atomically(home.servers, json.dumps(record).encode())
        stack.callback(home.servers.unlink, missing_ok=True)
        _print_addresses(home, environ, pages, access, say)
        yield children


def watch(children: list[Child], say: Callable[[str], None]) -> NoReturn:
    """Watch the children forever, start again one that has ended, and shorten their logs.

    One that keeps ending is started after pauses that grow from 1 s to a minute; the others stay
    up.
    """
    pauses = [1.0] * len(children)
    due: dict[int, float] = {}  # child's number to when it is started again
    while True:
        now = time.monotonic()
        for number, child in enumerate(children):
            processes.shorten_log(child.log)
            if child.process.poll() is None:
                pauses[number] = 1.0 if now - child.began > SETTLED_S else pauses[number]
            elif number not in due:
                due[number] = now + pauses[number]
                say(f"{child.failure()}; it is started again in {pauses[number]:.0f} s")
                pauses[number] = min(2 * pauses[number], LONGEST_PAUSE_S)
            elif due[number] <= now and _may_start(child, say):
                del due[number]
                children[number] = processes.restart(child)
                say(f"{child.program.name} is started again")
            elif due[number] <= now:
                due[number] = now + pauses[number]
        time.sleep(0.5)


def _may_start(child: Child, say: Callable[[str], None]) -> bool:
    """Whether its port is free; says what is wrong if not."""
    name, listens = child.program.name, child.program.listens
    if listens is None:
        return True
    try:
        check_port(name, listens[1], PORT_OPTIONS[name], listens[0])
    except PortTaken as taken:
        say(str(taken))
        return False
    return True


def _register(
    home: HomePaths, environ: Mapping[str, str], say: Callable[[str], None], servers: list[Child]
) -> None:
    """Tell Prefect of the tickers, in a process that ends and leaves this one small."""
    if (count := len(tickers_of(home).tickers)) > MANY:
        say(f"telling Prefect of {count} tickers, which takes minutes the first time")
    program = Program("the registration", "deployments.cli.tickers", (), environ)
    child = start(program, home.root / "logs" / "registration.log")
    try:
        while (code := child.process.poll()) != 0:
            for each in (*servers, child) if code else servers:
                each.check()
            time.sleep(0.1)
    finally:
        processes.stop([child])
    say(child.log.read_text().strip())


def _print_addresses(
    home: HomePaths,
    environ: Mapping[str, str],
    pages: Mapping[str, str],
    access: Access,
    say: Callable[[str], None],
) -> None:
    say(f"home     {prices_in(home, environ)}")
    say(f"Prefect  {pages['prefect']}   runs, schedules, and runs by hand")
    say(f"MLflow   {pages['mlflow']}   models and runs side by side")
    if access.password:
        say(f"both ask for the user and password of {PASSWORD}")
    if elsewhere := access.elsewhere():
        ports = [page.rpartition(":")[2] for page in pages.values()]
        links = ", ".join(f"http://{host}:{port}" for host in elsewhere for port in ports)
        say(f"from other machines: {links}; further names are allowed with {HOSTS}")
    say("Ctrl-C stops everything")
