"""Both pages and a worker start once, on ports that are free, and stay up. Start to end:
tests/pages."""

import os
from contextlib import suppress
from dataclasses import replace
from urllib.request import urlopen

import psutil
import pytest

from deployments.servers import stack
from deployments.servers.access import ADDRESS, PASSWORD, Access
from deployments.servers.prefect_api import running_server
from deployments.servers.stack import _print_addresses
from stockml.provider.client import AlphaVantage
from stockml.provider.price_source import replay_home
from stockml.provider.tiingo import Tiingo
from tests.support.commands import stockml, up
from tests.support.own_servers import free_port
from tests.support.patience import PATIENCE_S, until

LOGIN = "me:secret-of-many-letters"


def test_the_servers_of_the_pages_hold_no_price_services_key_and_no_password_in_an_argument(home):
    """Every user of the machine sees the arguments."""
    keys = {provider.key_variable: "K" * 16 for provider in (AlphaVantage, Tiingo)}
    environ, access = keys | {"PGPASSWORD": "own"}, Access.of({PASSWORD: LOGIN})
    database = replace(home, database="me:d4tabase@db:5432")
    for program in (
        stack.prefect(4200, access, environ),
        stack.mlflow(database, 5000, access, environ),
    ):
        assert program.environ.keys().isdisjoint(keys)
        assert program.environ["PGPASSWORD"] == "own"
        shown = " ".join([*program.arguments, repr(program)])
        assert not any(word in shown for word in ("secret-of", "d4tabase"))
    assert stack.worker(environ).environ.items() > environ.items()


def test_who_is_let_in_is_told_unless_it_is_this_machine_alone(home):
    pages = {"prefect": "http://127.0.0.1:4200", "mlflow": "http://127.0.0.1:5000"}
    alone, others = list[str](), list[str]()
    _print_addresses(home, {}, pages, Access(), alone.append)
    everywhere = Access.of({ADDRESS: "0.0.0.0", PASSWORD: LOGIN})
    _print_addresses(home, {}, pages, everywhere, others.append)
    assert [told.split()[0] for told in alone] == ["home", "Prefect", "MLflow", "Ctrl-C"]
    told = "\n".join(each for each in others if each not in alone)
    assert f"the user and password of {PASSWORD}" in told
    assert all(
        f"http://{host}:{port}" in told for host in everywhere.elsewhere() for port in (4200, 5000)
    )
    assert "secret-of" not in told


def answers(address):
    with suppress(OSError), urlopen(address, timeout=PATIENCE_S) as reply:
        return bool(reply.status == 200)
    return False


@pytest.mark.slow
def test_it_registers_is_up_once_and_stays_up_whatever_is_killed(home):
    """Nights meanwhile: tests/faults/test_up_kills.py."""
    ports = (free_port(), free_port())
    health = (f"http://127.0.0.1:{ports[0]}/api/health", f"http://127.0.0.1:{ports[1]}/health")
    with up(ports) as (process, said):
        place, up_itself = replay_home(os.environ), psutil.Process(process.pid)
        assert any(line.startswith("deployments: 11 created") for line in said), said
        again = stockml("up", "--prefect-port", str(free_port()), "--mlflow-port", str(free_port()))
        assert again.returncode == 1
        assert f"found one at http://127.0.0.1:{ports[0]}; use it, or stop it first" in again.stderr
        children, family = up_itself.children(), up_itself.children(recursive=True)
        assert len(children) == 3
        sockets = [each for one in family for each in one.net_connections()]
        assert {each.laddr.ip for each in sockets if each.status == "LISTEN"} == {"127.0.0.1"}
        for each in family:
            each.kill()
        psutil.wait_procs(children, PATIENCE_S)
        until(lambda: sum(map(is_alive, up_itself.children())) == 3)
        until(lambda: all(map(answers, health)), every_s=0.2)
        assert process.poll() is None
        family = up_itself.children(recursive=True)
        assert running_server(place) == health[0].removesuffix("/health")
    assert process.returncode == 0
    assert [each for each in family if each.is_running()] == []
    assert sum("is started again in" in line for line in said) == 3
    assert said[-1] == "stopped"
    assert running_server(place) is None


def is_alive(process):
    with suppress(psutil.NoSuchProcess):
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    return False
