"""Pages that other machines can reach ask programs and workers for a password. It, the database's
and the webhook's address appear in no process list, log, page, traceback or file of the home."""

import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from typing import Any

import httpx
import psutil
import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.states import Failed, Running

from deployments.servers import processes
from deployments.servers.access import Access
from deployments.servers.prefect_api import running_server, settings_of
from deployments.servers.processes import start
from deployments.servers.stack import mlflow, prefect
from stockml.home import current_home as home_of
from stockml.provider.price_source import replay_home
from tests.support.commands import up
from tests.support.loopback import Loopback, whole
from tests.support.own_servers import free_port
from tests.support.patience import PATIENCE_S, until
from tests.support.postgres_server import create_databases, needs_postgres, postgres_server
from tests.support.prefect_server import EVERY_SECOND

pytestmark = pytest.mark.slow

USER, DATABASE, PAGES, HOOK = "user", "d4tabase-p4ssword", "p4ges-p4ssword", "T0K3N-of-the-hook"
SECRETS = (DATABASE, PAGES, HOOK)
PUBLIC_UMASK = 0o022  # what most people's shells have


def stockml(*arguments, module="deployments.cli", **more):
    """Run a command to its end; meanwhile no process list of this machine may show a secret."""
    command = [sys.executable, "-m", module, *arguments]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    environ = os.environ | more
    with subprocess.Popen(command, env=environ, umask=PUBLIC_UMASK, **pipes) as process:
        while True:
            assert in_process_list() == []
            with suppress(subprocess.TimeoutExpired):
                said = process.communicate(timeout=0.5)
                return subprocess.CompletedProcess(command, process.returncode, *said)


def given_away(home, *said):
    """The places where one of the secrets can be read."""
    kept = {str(path): path.read_bytes() for path in home.root.rglob("*") if path.is_file()}
    kept |= {f"said: {text}": text.encode() for text in said}
    return [
        place for place, text in kept.items() if any(secret.encode() in text for secret in SECRETS)
    ]


def in_process_list():
    """Every command line on this machine that contains one of the secrets."""
    lines = [each.info["cmdline"] or [] for each in psutil.process_iter(["cmdline"])]
    return [line for line in lines if any(secret in " ".join(line) for secret in SECRETS)]


@pytest.mark.parametrize("command", ["up", "nightly IBM"])
def test_an_unreachable_database_is_reported_without_its_password(home, command):
    away = f"postgresql://me:{DATABASE}@127.0.0.1:{free_port()}"
    own = {"STOCKML_PREFECT_PORT": str(free_port()), "STOCKML_MLFLOW_PORT": str(free_port())}
    ran = stockml(
        *command.split(), STOCKML_DATABASE_URL=away, ALPHAVANTAGE_API_KEY="K3Y12345", **own
    )
    assert (ran.returncode, len(ran.stderr.splitlines())) == (1, 1)
    assert given_away(home, ran.stdout, ran.stderr) == []


def status(address, password):
    given = (USER, password) if password else None
    return httpx.get(address, auth=given, timeout=PATIENCE_S).status_code


def fail_a_night(client):
    night = client.read_deployment_by_name("nightly/IBM")
    run = client.create_flow_run_from_deployment(night.id, state=Running())
    client.set_flow_run_state(run.id, Failed(message="no bars today"))


def shown_by(client):
    """What the API says of what became of automations, of them, and of blocks."""
    automations = {"filter": {"event": {"prefix": ["prefect.automation"]}}, "limit": 50}
    asked = {"events": automations, "block_documents": {}, "automations": {}}
    return [client.request("POST", f"/{of}/filter", json=asked[of]).text for of in asked]


@needs_postgres
def test_everything_runs_with_passwords_that_nobody_sees(home, tmp_path_factory):
    """Also the pages' programs, which are killed in the end."""
    ports, replays = (free_port(), free_port()), replay_home(os.environ)
    with Loopback(whole(b"", 404)) as gone, postgres_server(tmp_path_factory.mktemp("pg")) as plain:
        create_databases(plain, "prefect", "mlflow")
        secret = {
            "PREFECT_SERVER_API_AUTH_STRING": f"{USER}:{PAGES}",
            "STOCKML_WEBHOOK_URL": f"{gone.address}/services/{HOOK}",
            "STOCKML_DATABASE_URL": plain.replace("stockml@", f"stockml:{DATABASE}@"),
        }
        more = {"umask": PUBLIC_UMASK, **secret, **EVERY_SECOND}
        with up(ports, "--address", "0.0.0.0", **more) as (process, said):
            assert any("both ask for the user and password" in line for line in said)
            api = f"http://127.0.0.1:{ports[0]}/api"
            for address in (f"{api}/admin/version", f"http://127.0.0.1:{ports[1]}/"):
                answers = [status(address, word) for word in (None, "other", PAGES)]
                assert answers == [401, 401, 200]
            ran = [
                stockml("nightly", "IBM", **secret),
                stockml(module="deployments.cli.tickers", STOCKML_HOME=str(replays.root), **secret),
                stockml("doctor", **secret),
            ]
            assert [each.returncode for each in ran] == [0, 0, 0], [each.stderr for each in ran]
            assert "deployments: 11 unchanged" in ran[1].stdout
            assert f"{api} answers" in ran[2].stdout
            with SyncPrefectClient(api, auth_string=f"{USER}:{PAGES}") as client:
                fail_a_night(client)
                until(lambda: gone.asked)
                until(lambda: "action.failed" in shown_by(client)[0], every_s=0.5)
                shown = shown_by(client)
            assert "stockml-notices" in "".join(shown)
            assert in_process_list() == []
            family = psutil.Process(process.pid).children(recursive=True)
            process.kill()
            _, alive = psutil.wait_procs(family, timeout=PATIENCE_S)
            assert [each.cmdline() for each in alive] == [], "servers end with it"
    assert running_server(replays) is None
    said += [*shown, *(text for each in ran for text in (each.stdout, each.stderr))]
    assert given_away(home, *said) == []
    kept = [home.root, *home.root.rglob("*")]
    logs = {"prefect.log", "mlflow.log", "worker.log", "ledger", "promotions.jsonl"}
    assert logs <= {path.name for path in kept}
    assert [path for path in kept if path.stat().st_mode & 0o077] == []


def test_a_server_whose_database_went_away_does_not_log_its_password(monkeypatch, home):
    """Until it has given up and said why."""
    away = f"postgresql://me:{DATABASE}@127.0.0.1:{free_port()}"
    monkeypatch.setenv("STOCKML_DATABASE_URL", away)
    home = home_of()
    environ = {**os.environ, **settings_of(home), "PYTHONPATH": ":".join(sys.path)}
    impatient = replace(
        mlflow(home, free_port(), Access(), environ), module="tests.support.impatient_mlflow"
    )
    programs = {"prefect.log": prefect(free_port(), Access(), environ), "mlflow.log": impatient}
    children = [start(program, home.root / "logs" / log) for log, program in programs.items()]
    try:
        until(
            lambda: in_process_list() or all(each.process.poll() is not None for each in children),
            every_s=0.2,
        )
        assert in_process_list() == []
    finally:
        processes.stop(children)
    for child in children:
        assert child.process.returncode > 0, "it had to be stopped"
        assert "refused" in child.log.read_text().lower()
    assert given_away(home) == []
