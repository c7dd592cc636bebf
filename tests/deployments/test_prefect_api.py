"""Prefect is reached whichever way it runs. `stockml up` from start to end:
tests/pages/test_prefect_pages.py."""

import sqlite3
import subprocess
import sys
import textwrap
import traceback
from contextlib import closing

import psutil
import pytest

from deployments import doctor
from deployments.servers.prefect_api import (
    ServerUnavailable,
    configured_api,
    prefect_api,
    rejects_password,
    running_server,
)
from stockml.errors import InvalidSetting
from tests.deployments.test_servers_doors import check_private
from tests.support.loopback import Loopback, reset
from tests.support.patience import PATIENCE_S, until

TRIVIAL_FLOW = """
    from deployments.servers.prefect_api import prefect_api
    from stockml.home import current_home

    with prefect_api(current_home()):
        from prefect import flow, task

        @task
        def step(number): return number

        @flow
        def trivial():
            for number in range(5): step(number)

        trivial()
        {then}
"""


def started(code):
    command = [sys.executable, "-c", textwrap.dedent(code)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def recorded(home, table):
    """The number of a table's rows in Prefect's database, by state."""
    with closing(sqlite3.connect(home.prefect / "prefect.db")) as database:
        return database.execute(f"SELECT state_type, count(*) FROM {table} GROUP BY 1").fetchall()


def test_an_invalid_api_is_refused(home):
    environ = {"PREFECT_API_URL": "http://[/api"}
    with pytest.raises(InvalidSetting, match="expected PREFECT_API_URL to be an address"):
        configured_api(home, environ)


def test_an_api_with_a_password_in_its_address_is_refused_before_its_host_is_looked_up(home):
    """The name service would be asked for `me:hidden@127.0.0.1`."""
    environ = {"PREFECT_API_URL": "http://me:hidden@127.0.0.1:9/api"}
    for asks in (
        lambda: configured_api(home, environ),
        lambda: next(doctor.prefect(home, environ)),
    ):
        with pytest.raises(InvalidSetting, match="PREFECT_API_AUTH_STRING takes them") as refused:
            asks()
        assert "hidden" not in "".join(traceback.format_exception(refused.value))


def refuse(exchange):
    text = {"Content-Type": "text/plain; charset=utf-8"}
    exchange.send(b"not by that name; set IT\n", 403, **text)


def lead(exchange):
    """As a login before the server does."""
    exchange.send(b"<html>Log in", 200, **{"Content-Type": "text/html; charset=utf-8"})


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (reset, "unset PREFECT_API_URL"),
        (refuse, r"found status 403 \(not by that name; set IT\); unset PREFECT_API_URL"),
        (lead, "found a page; unset"),
    ],
)
def test_what_answers_as_no_api_does_is_told_at_once(home, answer, said):
    with (
        Loopback(answer) as server,
        pytest.raises(ServerUnavailable, match=said),
        prefect_api(home, {"PREFECT_API_URL": f"{server.address}/api"}),
    ):
        pass


def test_the_password_is_not_sent_to_another_server_that_the_first_leads_to(home):
    given: list[str | None] = []
    environ = {"PREFECT_API_AUTH_STRING": "me:secret"}

    def lead(exchange):
        given.append(exchange.headers["Authorization"])
        exchange.send(b"", 302, Location=f"{other.address}/api/admin/version")

    def refuse(exchange):
        given.append(exchange.headers["Authorization"])
        exchange.send(b"", 401)

    with Loopback(refuse) as other, Loopback(lead) as server:
        assert rejects_password(f"{server.address}/api", environ, home)
    assert given == ["Basic bWU6c2VjcmV0", None]


def test_a_record_of_servers_that_are_gone_is_not_trusted(home):
    home.root.mkdir()
    for content in ("{", "[]", '{"prefect_api": "http://127.0.0.1:9/api"}'):
        home.servers.write_text(content)
        assert running_server(home) is None


@pytest.mark.slow
def test_a_commands_own_server_records_runs_for_two_commands_at_once_in_private_files(home):
    link = "from prefect.utilities.urls import url_for; print(url_for('flow-run', obj_id='0' * 8))"
    first = started(TRIVIAL_FLOW.format(then=link))  # it makes the database
    first.communicate(timeout=PATIENCE_S)
    assert first.returncode == 0
    shown_by_up = "http://127.0.0.1:4200/runs/flow-run/00000000\n"
    for process in [started(TRIVIAL_FLOW.format(then=link)) for _ in range(2)]:
        said, _ = process.communicate(timeout=PATIENCE_S)
        assert (process.returncode, said) == (0, shown_by_up)
    assert recorded(home, "flow_run") == [("COMPLETED", 3)]
    assert recorded(home, "task_run") == [("COMPLETED", 15)]
    check_private(home.root, "prefect.db", "temporary-server.log")


@pytest.mark.campaign
@pytest.mark.slow
def test_a_killed_command_leaves_no_server_behind(home):
    process = started(
        TRIVIAL_FLOW.format(then="print('done', flush=True); import time; time.sleep(600)")
    )
    assert process.stdout is not None
    until(lambda: "done" in process.stdout.readline())
    servers = psutil.Process(process.pid).children()
    assert ["prefect_app" in " ".join(each.cmdline()) for each in servers] == [True]
    process.kill()
    process.communicate()
    _, alive = psutil.wait_procs(servers, timeout=PATIENCE_S)
    assert alive == []
