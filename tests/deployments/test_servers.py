"""Prefect is reached whichever way it runs; `stockml up` starts everything and leaves nothing behind."""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import textwrap
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from deployments.errors import PortTaken, ServerFailed, ServerUnavailable
from deployments.replay.feed import Feed
from deployments.servers import processes
from deployments.servers.environment import mlflow_database, prefect_database, set_environment
from deployments.servers.prefect_api import prefect_api, running_server
from deployments.servers.processes import check_port
from stockml.errors import InvalidSetting
from stockml.home import Home
from stockml.provider.price_source import replay_home
from tests.support.patience import PATIENCE_S

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


def started(code: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", textwrap.dedent(code)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def recorded(home: Home, table: str) -> list[tuple[str, int]]:
    """How many rows there are by state in Prefect's database."""
    with sqlite3.connect(home.prefect / "prefect.db") as database:
        return database.execute(f"SELECT state_type, count(*) FROM {table} GROUP BY 1").fetchall()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_what_the_person_has_set_is_left_alone(home: Home) -> None:
    environ = {"PREFECT_HOME": "/elsewhere"}
    set_environment(home, environ)
    assert environ["PREFECT_HOME"] == "/elsewhere"
    assert environ["DO_NOT_TRACK"] == "true"
    assert environ["PREFECT_API_DATABASE_CONNECTION_URL"] == f"sqlite+aiosqlite:///{home.prefect}/prefect.db"
    assert "PREFECT_API_URL" not in environ


def test_one_address_puts_both_databases_on_postgresql(home: Home) -> None:
    environ = {"STOCKML_DATABASE_URL": "postgresql://me:secret@db:5433"}
    assert prefect_database(home, environ) == "postgresql+asyncpg://me:secret@db:5433/prefect"
    assert mlflow_database(home, environ) == "postgresql+psycopg://me:secret@db:5433/mlflow"


@pytest.mark.parametrize(
    "address",
    ["mysql://me:secret@db", *(f"postgresql://me:{mark}secret{mark}word@db:5433" for mark in "/?#@["), "secret"],
)
def test_an_address_that_cannot_be_read_is_refused_without_its_password(home: Home, address: str) -> None:
    for database in (prefect_database, mlflow_database):
        with pytest.raises(InvalidSetting, match="password as %2F") as refused:
            database(home, {"STOCKML_DATABASE_URL": address})
        assert "secret" not in "".join(traceback.format_exception(refused.value))


def test_an_api_that_does_not_answer_is_said_at_once(home: Home) -> None:
    environ = {"PREFECT_API_URL": "http://127.0.0.1:9/api"}
    with pytest.raises(ServerUnavailable, match="unset PREFECT_API_URL"), prefect_api(home, environ):
        pass


def test_a_record_of_servers_that_are_gone_is_not_believed(home: Home) -> None:
    home.root.mkdir()
    for content in ("{", "[]", '{"prefect_api": "http://127.0.0.1:9/api"}'):
        home.servers.write_text(content)
        assert running_server(replay_home(os.environ)) is None


def test_a_taken_port_is_named_with_the_option_to_change_it(feed: Feed) -> None:
    port = int(feed.address.rpartition(":")[2])
    with pytest.raises(PortTaken, match=rf"expected port {port} to be free for MLflow.*--mlflow-port"):
        check_port("MLflow", port, "--mlflow-port")
    check_port("MLflow", free_port(), "--mlflow-port")


def module_in(folder: Path, code: str) -> tuple[str, dict[str, str]]:
    """A module of this code, and the environment in which it is found."""
    (folder / "program.py").write_text(textwrap.dedent(code))
    return "program", {**os.environ, "PYTHONPATH": str(folder)}


def test_a_server_that_ends_is_reported_with_its_last_words(tmp_path: Path) -> None:
    module, environ = module_in(tmp_path, "print('no such table'); raise SystemExit(3)")
    child = processes.start("Prefect", module, [], environ, tmp_path / "log")
    child.process.wait(20)
    with pytest.raises(ServerFailed, match=r"ended with code 3 \(no such table\); see .*log"):
        child.check()
    processes.stop([child])


def test_a_worker_that_deploys_nothing_has_the_projects_settings_too(home: Home) -> None:
    command = [sys.executable, "-m", "deployments.cli", "serve", "worker", "--no-deploy"]
    process = subprocess.Popen([*command, "--prefect-url", "http://127.0.0.1:9/api"], stderr=subprocess.DEVNULL)
    asked = psutil.Process(process.pid)
    try:
        wait_for(lambda: "deployments.servers.worker_program" in asked.cmdline())
        environ = asked.environ()
    finally:
        process.kill()
        process.wait()
    assert environ["PREFECT_WORKER_WEBSERVER_HOST"] == "127.0.0.1"
    assert environ["PREFECT_HOME"] == str(replay_home(os.environ).prefect)
    assert environ["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"] == "30"


ORDERLY = """
    import signal, sys, time
    def leave(*_):
        time.sleep(0.2)  # what it does to leave in order
        print("in order", flush=True)
        sys.exit(0)
    signal.signal(signal.SIGTERM, leave)
    print("ready", flush=True)
    time.sleep(600)
"""


def test_a_program_without_children_has_time_to_end_when_its_parent_has_gone(tmp_path: Path) -> None:
    module, environ = module_in(tmp_path, ORDERLY)
    child = processes.start("orderly", module, [], environ, tmp_path / "log")
    assert child.process.stdin
    wait_for(lambda: (tmp_path / "log").read_text() == "ready\n")
    child.process.stdin.close()  # as the end of this process would
    assert (child.process.wait(PATIENCE_S), (tmp_path / "log").read_text()) == (0, "ready\nin order\n")


STUBBORN = """
    import signal, subprocess, sys, time
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    print("ready", flush=True)
    time.sleep(600)
"""


def test_a_stubborn_program_and_its_children_are_ended(tmp_path: Path) -> None:
    module, environ = module_in(tmp_path, STUBBORN)
    child = processes.start("stubborn", module, [], environ, tmp_path / "log")
    wait_for(lambda: (tmp_path / "log").read_text() == "ready\n")
    family = [child.process.pid, *(each.pid for each in psutil.Process(child.process.pid).children(recursive=True))]
    assert len(family) == 2
    processes.stop([child], patience_s=0.2)
    assert not any(psutil.pid_exists(pid) for pid in family)


def wait_for(holds: "object", seconds: float = 60) -> None:
    """Look again and again until `holds()`; the condition is what is waited for, not the time."""
    deadline = time.monotonic() + seconds
    while not holds():  # type: ignore[operator]
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


@pytest.mark.slow
def test_a_server_of_ones_own_records_runs_for_two_commands_at_once(home: Home) -> None:
    link = "from prefect.utilities.urls import url_for; print(url_for('flow-run', obj_id='0' * 8))"
    both = [started(TRIVIAL_FLOW.format(then=link)) for _ in range(2)]
    for process in both:
        said, _ = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0, said
        assert "http://127.0.0.1:4200/runs/flow-run/00000000" in said, "where `stockml up` will show it"
    assert recorded(home, "flow_run") == [("COMPLETED", 2)]
    assert recorded(home, "task_run") == [("COMPLETED", 10)]


@pytest.mark.slow
def test_a_killed_command_leaves_no_server_behind(home: Home) -> None:
    process = started(TRIVIAL_FLOW.format(then="print('done', flush=True); import time; time.sleep(600)"))
    assert process.stdout is not None
    wait_for(lambda: "done" in process.stdout.readline(), seconds=180)
    servers = psutil.Process(process.pid).children()
    assert ["prefect_program" in " ".join(each.cmdline()) for each in servers] == [True]
    process.kill()
    process.communicate()
    _, alive = psutil.wait_procs(servers, timeout=PATIENCE_S)
    assert alive == []


@contextmanager
def up(ports: tuple[int, int]) -> Iterator[tuple["subprocess.Popen[str]", list[str]]]:
    """`stockml up`, once it has said that Ctrl-C stops it; and what it said."""
    command = [sys.executable, "-m", "deployments.cli", "up", "--prefect-port", str(ports[0])]
    command += ["--mlflow-port", str(ports[1])]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    said: list[str] = []
    try:
        for line in process.stdout:
            said.append(line)
            if line.startswith("Ctrl-C"):
                break
        yield process, said
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=PATIENCE_S)


@pytest.mark.slow
def test_up_starts_both_pages_and_a_worker_and_ctrl_c_stops_all(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ALPHAVANTAGE_API_KEY", raising=False)
    ports = free_port(), free_port()
    with up(ports) as (process, said):
        text = "".join(said)
        assert process.poll() is None, text
        page = f"http://127.0.0.1:{ports[1]}/#/experiments/1/runs?viewStateShareKey=stockml&"
        for expected in (f"http://127.0.0.1:{ports[0]} ", page, "9 created"):
            assert expected in text
        family = psutil.Process(process.pid).children(recursive=True)
        listening = {each.laddr.ip for child in family for each in child.net_connections() if each.status == "LISTEN"}
        assert listening == {"127.0.0.1"}
        place = replay_home(os.environ)
        assert running_server(place) == f"http://127.0.0.1:{ports[0]}/api"

        again = subprocess.run(
            [sys.executable, "-m", "deployments.cli", "up"],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert (again.returncode, len(again.stderr.splitlines())) == (1, 1)
        assert "expected no running `stockml up` in this home" in again.stderr

        deployed = json.loads(
            subprocess.run(
                [sys.executable, "-m", "deployments.cli", "deploy", "--json"],
                capture_output=True,
                text=True,
                timeout=PATIENCE_S,
                check=True,
            ).stdout
        )
        assert len(deployed["unchanged"]) == 9

        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=PATIENCE_S)
        assert (process.returncode, rest.splitlines()) == (0, ["stopping", "stopped"])
        _, alive = psutil.wait_procs(family, timeout=1)
        assert alive == []
        assert not place.servers.exists()
    for port in ports:
        check_port("anything", port, "--port")


@pytest.mark.slow
def test_servers_end_with_up_even_when_it_is_killed(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ALPHAVANTAGE_API_KEY", raising=False)
    with up((free_port(), free_port())) as (process, said):
        assert process.poll() is None, "".join(said)
        family = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.communicate()
        _, alive = psutil.wait_procs(family, timeout=PATIENCE_S)
        assert [each.cmdline() for each in alive] == []
    assert running_server(replay_home(os.environ)) is None
