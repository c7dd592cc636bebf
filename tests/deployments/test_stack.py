"""Both pages and a worker start once, on ports that are free, or it is said which is not. Start to end: tests/pages."""

import math
import os
import subprocess
import sys
from dataclasses import replace

import psutil
import pytest

from deployments.errors import PortTaken, ServerFailed
from deployments.registration import ticker_list
from deployments.replay.feed import Feed
from deployments.servers import stack
from deployments.servers.access import ADDRESS, HOSTS, PASSWORD, Access
from deployments.servers.processes import Program, start
from deployments.servers.stack import MANY, _deploy, _print_addresses, up, watch
from stockml.home import HomePaths
from stockml.provider.client import AlphaVantage
from stockml.provider.price_source import replay_home
from stockml.provider.tiingo import Tiingo
from tests.support.commands import stockml
from tests.support.loopback import Loopback, whole
from tests.support.own_servers import free_port
from tests.support.patience import until

NOWHERE = "http://127.0.0.1:9"
WARM = "deployments.servers.warm_server"


@pytest.mark.parametrize("part", ["serve prefect --prefect-port", "serve mlflow --mlflow-port"])
def test_a_server_started_alone_names_its_taken_port_too(home: HomePaths, feed: Feed, part: str) -> None:
    failed = stockml(*part.split(), port := feed.address.rpartition(":")[2])
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr.startswith(f"stockml: expected port {port} to be free for ")


def test_the_servers_of_the_pages_hold_no_key_of_a_price_service(home: HomePaths) -> None:
    keys = {provider.key_variable: "K" * 16 for provider in (AlphaVantage, Tiingo)}
    for program in (stack.prefect(4200, keys | {"PGPASSWORD": "own"}), stack.mlflow(home, 5000, keys)):
        assert program.environ.keys().isdisjoint(keys)
    assert stack.prefect(4200, keys | {"PGPASSWORD": "own"}).environ == {"PGPASSWORD": "own"}
    assert stack.worker(keys, "here").environ.items() > keys.items()


def test_two_pages_on_one_port_are_refused_before_anything_runs(home: HomePaths) -> None:
    failed = stockml("up", "--prefect-port", port := str(free_port()), "--mlflow-port", port)
    assert failed.returncode == 1
    assert "or STOCKML_MLFLOW_PORT to be another port than Prefect's" in failed.stderr
    assert not home.root.exists()


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ({}, []),
        (
            {HOSTS: "first.example, second.example:8443"},
            ["Whoever reaches first.example, second.example:8443 can start runs: a password is set with " + PASSWORD],
        ),
        ({ADDRESS: "::1"}, ["They listen on ::1 (IPv6 only); no password is asked for"]),
        (
            {ADDRESS: "192.0.2.1", PASSWORD: "me:secret", HOSTS: "first.example"},
            ["They listen on 192.0.2.1; both ask for the user and password of " + PASSWORD],
        ),
    ],
)
def test_who_is_let_in_is_told_unless_it_is_this_machine_alone(
    home: HomePaths, environ: dict[str, str], told: list[str]
) -> None:
    said: list[str] = []
    _print_addresses(home, {"prefect": "http://[::1]:4200", "mlflow": NOWHERE}, Access.of(environ), said.append)
    assert said[2].startswith(f"MLflow   {NOWHERE}   all tickers"), "the bare address where its pages cannot be asked"
    assert said[3:-1] == told


@pytest.mark.parametrize("answer", [b"null", b"{}", b"<html>"])
def test_a_wrong_answer_of_mlflows_leaves_its_bare_address(home: HomePaths, answer: bytes) -> None:
    said: list[str] = []
    with Loopback(whole(answer)) as mlflow:
        _print_addresses(home, {"prefect": NOWHERE, "mlflow": mlflow.address}, Access(), said.append)
    assert said[2].startswith(f"MLflow   {mlflow.address}   all tickers")


def test_a_server_killed_while_it_is_told_of_the_tickers_is_named(home: HomePaths) -> None:
    killed = start(Program("Prefect", "http.server", ("0",), os.environ), home.root / "prefect.log")
    killed.process.kill()
    killed.process.communicate()
    ticker_list.add(home, [f"T{number}" for number in range(MANY + 1)], {})
    said: list[str] = []
    with pytest.raises(ServerFailed, match=r"^expected Prefect to run, found that it ended with code -9"):
        _deploy(home, os.environ | {"PREFECT_API_URL": f"{NOWHERE}/api"}, said.append, [killed])
    assert [f" {MANY + 1} tickers" in told for told in said] == [True], "which take minutes"


def test_a_server_that_is_killed_and_whose_port_is_then_taken_is_told_as_at_the_start(
    home: HomePaths, feed: Feed
) -> None:
    program = Program("Prefect", "http.server", (port := feed.address.rpartition(":")[2],), os.environ)
    killed = replace(start(program, home.root / "prefect.log"), began=-math.inf)
    killed.process.kill()
    killed.process.communicate()
    with pytest.raises(PortTaken, match=f"expected port {port} to be free for Prefect, found another program on it"):
        watch([killed], print)


@pytest.mark.slow
def test_a_ticker_added_while_it_starts_is_scheduled(home: HomePaths) -> None:
    """`tickers add` found no server to tell of it: it had no night until the list was changed again."""
    said: list[str] = []

    def say(told: str) -> None:
        if told.startswith("deployments: ") and not said:
            ticker_list.add(home, ["GOOG"], {})
        said.extend([told] if told.startswith("deployments: ") else [])

    with up(home, free_port(), free_port(), os.environ, say):
        pass
    assert [told.partition(",")[0] for told in said][1:] == ["deployments: 1 created"]


@pytest.mark.slow
def test_of_two_that_are_started_at_once_for_one_home_one_goes_on(home: HomePaths) -> None:
    """Else both ran the same deployments on the same database, and the first to stop hid the other."""
    command = [sys.executable, "-m", "deployments.cli", "up"]
    both = [
        subprocess.Popen(
            [*command, "--prefect-port", str(free_port()), "--mlflow-port", str(free_port())],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    try:
        until(lambda: any(each.poll() is not None for each in both))
        (goes_on,) = [each for each in both if each.poll() is None]
    finally:
        for each in both:
            each.kill()
    told = {each: each.communicate()[1] for each in both}
    del told[goes_on]
    assert next(iter(told.values())).startswith(
        "stockml: expected no running `stockml up` in this home, found one that is starting"
    )


@pytest.mark.parametrize("key", [(), ("ALPHAVANTAGE_API_KEY",)], ids=["no key", "an empty key"])
def test_a_worker_started_alone_has_the_projects_settings_and_records_the_api_in_its_home(
    home: HomePaths, key: tuple[str, ...]
) -> None:
    """With an empty key, as in compose's trial, it serves its runs recorded prices and says so, as `stockml up` does:
    the warm process has their address. With none, theirs may be in a Prefect Secret block.
    """
    command = [sys.executable, "-m", "deployments.cli", "serve", "worker", "--no-deploy"]
    place = replay_home(os.environ)
    with Loopback(whole(b"true")) as server:
        api = f"{server.address}/api"
        keyless = {name: value for name, value in os.environ.items() if name != "ALPHAVANTAGE_API_KEY"}
        quiet = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "env": keyless | dict.fromkeys(key, "")}
        process = subprocess.Popen([*command, "--prefect-url", api], **quiet)
        asked = psutil.Process(process.pid)
        try:
            (warm,) = until(lambda: [each for each in asked.children() if WARM in each.cmdline()])
            environ, of_runs = asked.environ(), warm.environ()
            assert process.stdout
            told = process.stdout.readline() if key else b""
        finally:
            process.kill()
            process.communicate()
    assert "ALPHAVANTAGE_URL" not in environ
    if key:
        assert told.startswith(b"no ALPHAVANTAGE_API_KEY: runs are served recorded prices, newest session 2013-03-01")
        assert of_runs["ALPHAVANTAGE_URL"].startswith("http://127.0.0.1:")
    else:
        assert "ALPHAVANTAGE_URL" not in of_runs
    assert environ["PREFECT_WORKER_WEBSERVER_HOST"] == "127.0.0.1"
    assert environ["PREFECT_HOME"] == str(place.prefect)
    assert place.server("prefect_api") == api  # for commands in its home: in its container
    assert environ["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"] == "30"
