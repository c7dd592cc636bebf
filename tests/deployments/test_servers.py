"""Prefect is reached whichever way it runs. `stockml up` from start to end: tests/pages/test_prefect_pages.py."""

import os
import sqlite3
import subprocess
import sys
import textwrap
import traceback
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from deployments.doctor import services
from deployments.errors import PortTaken, ServerUnavailable
from deployments.replay.feed import Feed
from deployments.servers.access import check_port
from deployments.servers.environment import prefect_database, set_environment
from deployments.servers.prefect_api import configured_api, prefect_api, refuses, running_server
from stockml.errors import InvalidSetting
from stockml.home import Home
from stockml.home import home as home_of
from stockml.provider.price_source import replay_home
from tests.support.commands import stockml
from tests.support.loopback import Exchange, Loopback, whole
from tests.support.own_servers import free_port
from tests.support.patience import PATIENCE_S, until

TRIVIAL_FLOW = """
    from deployments.servers.prefect_api import prefect_api
    from stockml.home import home

    with prefect_api(home()):
        from prefect import flow, task

        @task
        def step(number): return number

        @flow
        def trivial():
            for number in range(5): step(number)

        trivial()
        {then}
"""
LOST_LINE = """
        from prefect.logging.handlers import APILogWorker
        from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

        with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api", PREFECT_CLIENT_MAX_RETRIES: 0}):
            APILogWorker.instance().send({"name": "a logger", "level": 20, "message": "a line"})
"""


def started(code: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", textwrap.dedent(code)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def recorded(home: Home, table: str) -> list[tuple[str, int]]:
    """The number of a table's rows in Prefect's database, by state."""
    with closing(sqlite3.connect(home.prefect / "prefect.db")) as database:
        return database.execute(f"SELECT state_type, count(*) FROM {table} GROUP BY 1").fetchall()


def test_what_the_person_has_set_is_left_alone(home: Home) -> None:
    environ = {"PREFECT_HOME": "/elsewhere"}
    set_environment(home, environ)
    assert environ["PREFECT_HOME"] == "/elsewhere"
    assert environ["DO_NOT_TRACK"] == "true"
    assert environ["PREFECT_API_DATABASE_CONNECTION_URL"] == f"sqlite+aiosqlite:///{home.prefect}/prefect.db"
    assert "PREFECT_API_URL" not in environ


def test_one_address_puts_both_databases_on_postgresql() -> None:
    place = home_of({"STOCKML_DATABASE_URL": "postgresql://me:secret@db:5433"})
    assert prefect_database(place) == "postgresql+asyncpg://me:secret@db:5433/prefect"
    assert place.mlflow_database == "postgresql+psycopg://me:secret@db:5433/mlflow"


def test_an_invalid_or_unreachable_api_is_reported_at_once(home: Home) -> None:
    with (
        pytest.raises(InvalidSetting, match="expected PREFECT_API_URL to be an address"),
        prefect_api(home, {"PREFECT_API_URL": "http://[/api"}),
    ):
        pass
    environ = {"PREFECT_API_URL": "http://127.0.0.1:9/api"}
    with pytest.raises(ServerUnavailable, match="unset PREFECT_API_URL"), prefect_api(home, environ):
        pass


def test_an_api_with_a_password_in_its_address_is_refused_before_its_host_is_looked_up(home: Home) -> None:
    """The name service would be asked for `me:hidden@127.0.0.1`."""
    environ = {"PREFECT_API_URL": "http://me:hidden@127.0.0.1:9/api"}
    for asks in (lambda: configured_api(home, environ), lambda: services.prefect(home, environ)):
        with pytest.raises(InvalidSetting, match="PREFECT_API_AUTH_STRING takes them") as refused:
            asks()
        assert "hidden" not in "".join(traceback.format_exception(refused.value))


def test_an_api_that_refuses_is_quoted(home: Home) -> None:
    def refuse(exchange: Exchange) -> None:
        exchange.send(b"not by that name; set IT\n", 403, **{"Content-Type": "text/plain; charset=utf-8"})

    said = r"found status 403 \(not by that name; set IT\); unset PREFECT_API_URL"
    with (
        Loopback(refuse) as server,
        pytest.raises(ServerUnavailable, match=said),
        prefect_api(home, {"PREFECT_API_URL": f"{server.address}/api"}),
    ):
        pass


def test_the_password_is_not_sent_to_another_server_that_the_first_leads_to(home: Home) -> None:
    given: list[str | None] = []
    environ = {"PREFECT_API_AUTH_STRING": "me:secret"}

    def lead(exchange: Exchange) -> None:
        given.append(exchange.headers["Authorization"])
        exchange.send(b"", 302, Location=f"{other.address}/api/admin/version")

    def refuse(exchange: Exchange) -> None:
        given.append(exchange.headers["Authorization"])
        exchange.send(b"", 401)

    with Loopback(refuse) as other, Loopback(lead) as server:
        assert refuses(f"{server.address}/api", environ, home)
    assert given == ["Basic bWU6c2VjcmV0", None]


def test_a_worker_without_a_server_is_told_so_at_once(home: Home) -> None:
    """By the address that it was given, or that of this machine's server on the port that the environment names."""
    for named in ({"PREFECT_API_URL": "http://127.0.0.1:9/api"}, {"STOCKML_PREFECT_PORT": "9"}):
        ran = stockml("serve", "worker", "--no-deploy", **named)
        assert ran.returncode == 1
        assert ran.stderr.startswith("stockml: expected Prefect at http://127.0.0.1:9/api, found no answer; ")
        assert ran.stderr.count("\n") == 1


def test_a_record_of_servers_that_are_gone_is_not_trusted(home: Home) -> None:
    home.root.mkdir()
    for content in ("{", "[]", '{"prefect_api": "http://127.0.0.1:9/api"}'):
        home.servers.write_text(content)
        assert running_server(replay_home(os.environ)) is None


def test_a_taken_port_is_named_with_the_option_to_change_it(feed: Feed) -> None:
    port = int(feed.address.rpartition(":")[2])
    with pytest.raises(PortTaken, match=rf"expected port {port} to be free for MLflow.*--mlflow-port"):
        check_port("MLflow", port, "--mlflow-port")
    check_port("MLflow", free_port(), "--mlflow-port")


@pytest.mark.parametrize("part", ["serve prefect --prefect-port", "serve mlflow --mlflow-port"])
def test_a_server_started_alone_names_its_taken_port_too(home: Home, feed: Feed, part: str) -> None:
    failed = stockml(*part.split(), port := feed.address.rpartition(":")[2])
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr.startswith(f"stockml: expected port {port} to be free for ")


def test_two_pages_on_one_port_are_refused_before_anything_runs(home: Home) -> None:
    failed = stockml("up", "--prefect-port", port := str(free_port()), "--mlflow-port", port)
    assert failed.returncode == 1
    assert "or STOCKML_MLFLOW_PORT to be another port than Prefect's" in failed.stderr
    assert not home.root.exists()


@pytest.mark.slow
def test_of_two_that_are_started_at_once_for_one_home_one_goes_on(home: Home) -> None:
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


def test_an_address_of_another_machine_is_not_reported_as_a_taken_port(home: Home) -> None:
    with pytest.raises(InvalidSetting, match="expected STOCKML_ADDRESS to be an IP address of this machine"):
        check_port("Prefect", free_port(), "--prefect-port", "192.0.2.7")


def test_a_port_reserved_for_root_is_not_reported_as_taken() -> None:
    """Where it is forbidden at all: some containers allow everybody all ports."""
    tried = """
        import os
        from deployments.servers.access import check_port
        os.geteuid() or os.setuid(65534)
        check_port("MLflow", 1, "--mlflow-port")
    """
    ended = subprocess.run([sys.executable, "-c", textwrap.dedent(tried)], capture_output=True, text=True, check=False)
    is_forbidden = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text()) > 1
    assert (
        "expected --mlflow-port to be a port that can be listened on (Permission denied), found 1" in ended.stderr
    ) is is_forbidden


def test_a_worker_started_alone_has_the_projects_settings_and_records_the_api_in_its_home(home: Home) -> None:
    command = [sys.executable, "-m", "deployments.cli", "serve", "worker", "--no-deploy"]
    place = replay_home(os.environ)
    with Loopback(whole(b"true")) as server:
        api = f"{server.address}/api"
        process = subprocess.Popen([*command, "--prefect-url", api], stderr=subprocess.DEVNULL)
        asked = psutil.Process(process.pid)
        try:
            until(lambda: "deployments.servers.worker_program" in asked.cmdline())
            environ = asked.environ()
        finally:
            process.kill()
            process.wait()
    assert environ["PREFECT_WORKER_WEBSERVER_HOST"] == "127.0.0.1"
    assert environ["PREFECT_HOME"] == str(place.prefect)
    assert place.server("prefect_api") == api  # for commands in its home: in its container
    assert environ["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"] == "30"


@pytest.mark.slow
def test_a_commands_own_server_records_runs_for_two_commands_at_once(home: Home) -> None:
    """Log lines that a server no longer takes, as on a full disk, do not disturb their output: Prefect would write its
    complaint to standard error, without a newline."""
    link = "from prefect.utilities.urls import url_for; print(url_for('flow-run', obj_id='0' * 8))"
    both = [started(TRIVIAL_FLOW.format(then=link) + LOST_LINE) for _ in range(2)]
    for process in both:
        said, _ = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0, said
        assert said == "http://127.0.0.1:4200/runs/flow-run/00000000\n", "where `stockml up` will show it"
    assert recorded(home, "flow_run") == [("COMPLETED", 2)]
    assert recorded(home, "task_run") == [("COMPLETED", 10)]


@pytest.mark.slow
def test_a_killed_command_leaves_no_server_behind(home: Home) -> None:
    process = started(TRIVIAL_FLOW.format(then="print('done', flush=True); import time; time.sleep(600)"))
    assert process.stdout is not None
    until(lambda: "done" in process.stdout.readline())
    servers = psutil.Process(process.pid).children()
    assert ["prefect_program" in " ".join(each.cmdline()) for each in servers] == [True]
    process.kill()
    process.communicate()
    _, alive = psutil.wait_procs(servers, timeout=PATIENCE_S)
    assert alive == []
