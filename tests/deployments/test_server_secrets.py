"""The passwords of the database and of the pages, and the webhook's address, appear in no process list, log, page,
traceback or file of the home."""

import base64
import json
import os
import subprocess
import sys
from dataclasses import replace
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import psutil
import pytest

from deployments.servers import processes
from deployments.servers.environment import settings_of
from deployments.servers.prefect_api import running_server
from deployments.servers.processes import start
from deployments.servers.stack import mlflow, prefect
from stockml.home import Home
from stockml.home import home as home_of
from stockml.provider.price_source import replay_home
from tests.support.commands import up
from tests.support.loopback import Loopback, whole
from tests.support.own_servers import free_port
from tests.support.patience import PATIENCE_S, until
from tests.support.postgres_server import is_installed, postgres_server

pytestmark = pytest.mark.slow

DATABASE, PAGES, HOOK = "d4tabase-p4ssword", "p4ges-p4ssword", "T0K3N-of-the-hook"
SECRETS = (DATABASE, PAGES, HOOK)
PUBLIC_UMASK = 0o022  # what most people's shells have


def python(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a program to its end; meanwhile no process list of this machine may show a secret."""
    environ = os.environ | more
    command = [sys.executable, *arguments]
    with subprocess.Popen(
        command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, umask=PUBLIC_UMASK
    ) as process:
        while True:
            assert in_process_list() == []
            try:
                said = process.communicate(timeout=0.5)
                return subprocess.CompletedProcess(command, process.returncode, *said)
            except subprocess.TimeoutExpired:
                continue


def stockml(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return python("-m", "deployments.cli", *arguments, **more)


def given_away(home: Home, *said: str) -> list[str]:
    """The places where one of the secrets can be read."""
    kept = {str(path): path.read_bytes() for path in home.root.rglob("*") if path.is_file()}
    shown = {f"said: {text}": text.encode() for text in said}
    return [place for place, content in (kept | shown).items() for secret in SECRETS if secret.encode() in content]


def in_process_list() -> list[list[str]]:
    """Every command line on this machine that contains one of the secrets."""
    lines = []
    for process in psutil.process_iter():
        try:
            line = process.cmdline()
        except psutil.Error:
            continue
        lines += [line for secret in SECRETS if secret in " ".join(line)]
    return lines


@pytest.mark.parametrize("command", [("up",), ("nightly", "IBM"), ("deploy",)], ids=lambda command: command[0])
def test_an_unreachable_database_is_reported_without_its_password(home: Home, command: tuple[str, ...]) -> None:
    away = f"postgresql://me:{DATABASE}@127.0.0.1:{free_port()}"
    ran = stockml(*command, STOCKML_DATABASE_URL=away, ALPHAVANTAGE_API_KEY="K3Y12345")
    assert ran.returncode == 1
    assert "check STOCKML_DATABASE_URL" in ran.stderr
    assert len(ran.stderr.splitlines()) == 1
    assert given_away(home, ran.stdout, ran.stderr) == []


def test_pages_that_other_machines_can_reach_do_not_start_without_a_password(home: Home) -> None:
    for ran in (stockml("up", "--address", "0.0.0.0"), stockml("up", STOCKML_ADDRESS="0.0.0.0")):
        assert ran.returncode == 1
        assert "set PREFECT_SERVER_API_AUTH_STRING=user:password" in ran.stderr
        assert len(ran.stderr.splitlines()) == 1
    assert not home.root.exists()


def status(address: str, password: str | None, content: object = None) -> int:
    headers = {"Content-Type": "application/json"}
    if password:
        headers["Authorization"] = "Basic " + base64.b64encode(password.encode()).decode()
    sent = None if content is None else json.dumps(content).encode()
    try:
        with urlopen(Request(address, sent, headers), timeout=PATIENCE_S) as reply:
            return int(reply.status)
    except HTTPError as refused:
        return refused.code


FAILED_NIGHT = """
import sys
from prefect.client.orchestration import get_client
from prefect.states import Failed, Running

AUTOMATIONS = {"filter": {"event": {"prefix": ["prefect.automation"]}}, "limit": 50}

with get_client(sync_client=True) as client:
    if sys.argv[1] == "fail":
        night = client.read_deployment_by_name("nightly/IBM")
        run = client.create_flow_run_from_deployment(night.id, state=Running())
        client.set_flow_run_state(run.id, Failed(message="no bars today"))
    else:
        print(client.request("POST", "/events/filter", json=AUTOMATIONS).text)
        print(client.request("POST", "/block_documents/filter", json={}).text)
        print(client.request("POST", "/automations/filter", json={}).text)
"""


@pytest.mark.skipif(not is_installed(), reason="PostgreSQL is not installed: apt-get install postgresql")
def test_everything_runs_with_passwords_that_nobody_sees(
    home: Home, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ALPHAVANTAGE_API_KEY", raising=False)
    ports = free_port(), free_port()
    prefect, mlflow = (f"http://127.0.0.1:{port}" for port in ports)
    with postgres_server(tmp_path_factory.mktemp("postgres")) as database, Loopback(whole(b"", 404)) as gone:
        secret = {
            "STOCKML_DATABASE_URL": database.replace("stockml@", f"stockml:{DATABASE}@"),
            "STOCKML_WEBHOOK_URL": f"{gone.address}/services/{HOOK}",
            "PREFECT_SERVER_API_AUTH_STRING": f"me:{PAGES}",
        }
        as_client = {"PREFECT_API_URL": f"{prefect}/api", "PREFECT_API_AUTH_STRING": f"me:{PAGES}"}
        with up(ports, "--address", "0.0.0.0", umask=PUBLIC_UMASK, **secret) as (process, said):
            assert any("both ask for the user and password" in line for line in said)
            for address in (f"{prefect}/api/admin/version", f"{mlflow}/version"):
                assert [status(address, given) for given in (None, "me:other", f"me:{PAGES}")] == [401, 401, 200]
            ran = [
                python("-m", "deployments.run", "IBM", **secret),
                python("-m", "deployments.cli", "deploy", "--json", **secret),
                python("-m", "deployments.cli", "doctor", **secret),
                python("-c", FAILED_NIGHT, "fail", **as_client),
            ]
            assert [each.returncode for each in ran] == [0, 0, 0, 0], [each.stderr for each in ran]
            assert len(json.loads(ran[1].stdout)["unchanged"]) == 9
            assert f"{prefect}/api answers" in ran[2].stdout
            until(lambda: gone.asked)
            until(lambda: "action.failed" in python("-c", FAILED_NIGHT, "tell", **as_client).stdout)
            ran.append(python("-c", FAILED_NIGHT, "tell", **as_client))
            assert "stockml-notices" in ran[-1].stdout
            assert in_process_list() == []
            family = psutil.Process(process.pid).children(recursive=True)
            process.kill()
            _, alive = psutil.wait_procs(family, timeout=PATIENCE_S)
            assert [each.cmdline() for each in alive] == [], "servers end with it, even when it is killed"
        assert running_server(replay_home(os.environ)) is None
        assert given_away(home, *said, *(text for each in ran for text in (each.stdout, each.stderr))) == []
    kept = [home.root, *home.root.rglob("*")]
    assert {"prefect.log", "mlflow.log", "worker.log", "ledger", "promotions.jsonl"} <= {path.name for path in kept}
    assert [path for path in kept if path.stat().st_mode & 0o077] == []


def test_a_server_whose_database_went_away_does_not_log_its_password(
    monkeypatch: pytest.MonkeyPatch, home: Home
) -> None:
    """Until it has given up and said why."""
    monkeypatch.setenv("STOCKML_DATABASE_URL", f"postgresql://me:{DATABASE}@127.0.0.1:{free_port()}")
    home = home_of()
    environ = {**os.environ, **settings_of(home)}
    impatient = replace(mlflow(home, free_port(), environ), module="tests.support.impatient_mlflow")
    programs = {"prefect.log": prefect(free_port(), environ), "mlflow.log": impatient}
    children = [start(program, home.root / "logs" / log) for log, program in programs.items()]
    try:
        until(lambda: in_process_list() or all(child.process.poll() is not None for child in children), every_s=0.2)
        assert in_process_list() == []
    finally:
        processes.stop(children)
    assert all(child.process.returncode > 0 for child in children), "none had to be stopped"
    for child in children:
        assert "refused" in child.log.read_text().lower()
    assert given_away(home) == []
