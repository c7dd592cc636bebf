"""Pages that other machines can reach ask programs, workers and browsers for a password. It, the
database's and the webhook's address appear in no process list, log, page, traceback or file of the
home.

One `stockml up` serves most of these tests.
"""

import base64
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import psutil
import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.states import Failed, Running

from deployments.process import restored
from deployments.servers import processes
from deployments.servers.access import Access
from deployments.servers.prefect_api import running_server, settings_of
from deployments.servers.processes import start
from deployments.servers.stack import mlflow, prefect
from stockml.home import HomePaths
from stockml.home import current_home as home_of
from stockml.provider.price_source import replay_home
from tests.pages.prefect_pages import quick_run
from tests.support.chromium import browser_page
from tests.support.commands import up
from tests.support.loopback import Loopback, whole
from tests.support.own_servers import free_port
from tests.support.patience import PATIENCE_S, until
from tests.support.postgres_server import (
    create_databases,
    is_installed,
    needs_postgres,
    postgres_server,
)
from tests.support.prefect_server import EVERY_SECOND

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.slow

USER, DATABASE, PAGES, HOOK = "user", "d4tabase-p4ssword", "p4ges-p4ssword", "T0K3N-of-the-hook"
SECRETS = (DATABASE, PAGES, HOOK)
PUBLIC_UMASK = 0o022  # what most people's shells have


def python(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a program to its end; meanwhile no process list of this machine may show a secret."""
    environ = os.environ | more
    command = [sys.executable, *arguments]
    with subprocess.Popen(
        command,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        umask=PUBLIC_UMASK,
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


def given_away(home: HomePaths, *said: str) -> list[str]:
    """The places where one of the secrets can be read."""
    kept = {str(path): path.read_bytes() for path in home.root.rglob("*") if path.is_file()}
    shown = {f"said: {text}": text.encode() for text in said}
    return [
        place
        for place, content in (kept | shown).items()
        for secret in SECRETS
        if secret.encode() in content
    ]


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


@pytest.mark.parametrize("command", [("up",), ("nightly", "IBM")], ids=lambda command: command[0])
def test_an_unreachable_database_is_reported_without_its_password(
    home: HomePaths, command: tuple[str, ...]
) -> None:
    away = f"postgresql://me:{DATABASE}@127.0.0.1:{free_port()}"
    own = {"STOCKML_PREFECT_PORT": str(free_port()), "STOCKML_MLFLOW_PORT": str(free_port())}
    ran = stockml(*command, STOCKML_DATABASE_URL=away, ALPHAVANTAGE_API_KEY="K3Y12345", **own)
    assert ran.returncode == 1
    assert len(ran.stderr.splitlines()) == 1
    assert given_away(home, ran.stdout, ran.stderr) == []


def test_pages_that_other_machines_can_reach_do_not_start_without_a_password(
    home: HomePaths,
) -> None:
    ran = stockml("up", "--address", "0.0.0.0")
    assert ran.returncode == 1
    assert "set PREFECT_SERVER_API_AUTH_STRING=user:password" in ran.stderr
    assert len(ran.stderr.splitlines()) == 1
    assert not home.root.exists()


def status(address: str, password: str | None, **headers: str) -> int:
    if password:
        headers["Authorization"] = "Basic " + base64.b64encode(password.encode()).decode()
    try:
        with urlopen(Request(address, headers=headers), timeout=PATIENCE_S) as reply:
            return int(reply.status)
    except HTTPError as refused:
        return refused.code


@dataclass(frozen=True)
class Reached:
    """A running `stockml up` that other machines can reach. secret: its settings; gone: its
    webhook, which refuses."""

    process: "subprocess.Popen[str]"
    said: list[str]
    ports: tuple[int, int]
    secret: dict[str, str]
    gone: Loopback

    @property
    def addresses(self) -> tuple[str, str]:
        """Prefect's and MLflow's."""
        return f"http://127.0.0.1:{self.ports[0]}", f"http://127.0.0.1:{self.ports[1]}"

    def client(self) -> SyncPrefectClient:
        return SyncPrefectClient(f"{self.addresses[0]}/api", auth_string=f"{USER}:{PAGES}")


@pytest.fixture(scope="module")
def reached(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reached]:
    """On PostgreSQL if it is installed."""
    ports, made = (free_port(), free_port()), tmp_path_factory.mktemp
    with pytest.MonkeyPatch.context() as patch, Loopback(whole(b"", 404)) as gone:
        for name in (
            "ALPHAVANTAGE_API_KEY",
            "STOCKML_STORE",
            "MLFLOW_TRACKING_URI",
            "PREFECT_API_URL",
        ):
            patch.delenv(name, raising=False)
        patch.setenv("STOCKML_HOME", str(made("reached") / "home"))
        with postgres_server(made("postgres")) if is_installed() else nullcontext("") as database:
            secret = {"PREFECT_SERVER_API_AUTH_STRING": f"{USER}:{PAGES}"}
            secret["STOCKML_WEBHOOK_URL"] = f"{gone.address}/services/{HOOK}"
            if database:
                create_databases(database, "prefect", "mlflow")
                secret["STOCKML_DATABASE_URL"] = database.replace(
                    "stockml@", f"stockml:{DATABASE}@"
                )
            running = up(
                ports, "--address", "0.0.0.0", umask=PUBLIC_UMASK, **secret, **EVERY_SECOND
            )
            with restored(os.environ, settings_of(home_of())), running as (process, said):
                yield Reached(process, said, ports, secret, gone)


def test_prefects_page_asks_for_the_password_and_then_starts_a_run(
    reached: Reached, page: "Page"
) -> None:
    prefect, _ = reached.addresses
    with reached.client() as client:
        client.create_deployment(client.create_flow_from_name("nightly"), "of no worker")
    page.goto(f"{prefect}/deployments")
    field = page.locator("input[type='password']")
    for given in (f"{USER}:wrong", f"{USER}:{PAGES}"):
        assert page.get_by_role("link", name="IBM", exact=True).count() == 0
        field.fill(given)
        with page.expect_response(lambda reply: "/api/admin/version" in reply.url) as answered:
            field.press("Enter")
        assert answered.value.status == (200 if given.endswith(PAGES) else 401)
    page.get_by_role("link", name="of no worker", exact=True).click()
    quick_run(page)


def test_mlflows_page_asks_the_browser_for_the_same_password(
    reached: Reached, browser: "Browser"
) -> None:
    for password in ("wrong", PAGES):
        with browser_page(
            browser, http_credentials={"username": USER, "password": password}
        ) as page:
            reply = page.goto(reached.addresses[1])
            assert reply
            assert reply.status == (200 if password == PAGES else 401)
            shown = page.get_by_text(
                "Experiments" if password == PAGES else "You are not authenticated"
            )
            shown.first.wait_for()


def fail_a_night(client: SyncPrefectClient) -> None:
    night = client.read_deployment_by_name("nightly/IBM")
    run = client.create_flow_run_from_deployment(night.id, state=Running())
    client.set_flow_run_state(run.id, Failed(message="no bars today"))


def shown_by(client: SyncPrefectClient) -> list[str]:
    """What the API says of automations, of what became of them, and of blocks."""
    automations = {"filter": {"event": {"prefix": ["prefect.automation"]}}, "limit": 50}
    asked = {
        "/events/filter": automations,
        "/block_documents/filter": {},
        "/automations/filter": {},
    }
    return [client.request("POST", path, json=content).text for path, content in asked.items()]


@needs_postgres
def test_everything_runs_with_passwords_that_nobody_sees(reached: Reached) -> None:
    """The last test of what is up: it kills it."""
    secret, place, (prefect, mlflow) = reached.secret, home_of(), reached.addresses
    assert any("both ask for the user and password" in line for line in reached.said)
    for address in (f"{prefect}/api/admin/version", f"{mlflow}/"):
        assert [status(address, given) for given in (None, "me:other", f"{USER}:{PAGES}")] == [
            401,
            401,
            200,
        ]
    ran = [
        python("-m", "deployments.cli", "nightly", "IBM", **secret),
        python(
            "-m",
            "deployments.cli.tickers",
            **secret,
            STOCKML_HOME=str(replay_home(os.environ).root),
        ),
        python("-m", "deployments.cli", "doctor", **secret),
    ]
    assert [each.returncode for each in ran] == [0, 0, 0], [each.stderr for each in ran]
    assert "deployments: 11 unchanged" in ran[1].stdout
    assert f"{prefect}/api answers" in ran[2].stdout
    with reached.client() as client:
        fail_a_night(client)
        until(lambda: reached.gone.asked)
        until(lambda: "action.failed" in shown_by(client)[0], every_s=0.5)
        shown = shown_by(client)
    assert "stockml-notices" in "".join(shown)
    assert in_process_list() == []
    family = psutil.Process(reached.process.pid).children(recursive=True)
    reached.process.kill()
    _, alive = psutil.wait_procs(family, timeout=PATIENCE_S)
    assert [each.cmdline() for each in alive] == [], "servers end with it, even when it is killed"
    reached.said.append(reached.process.communicate(timeout=PATIENCE_S)[0])
    assert running_server(replay_home(os.environ)) is None
    said = [text for each in ran for text in (each.stdout, each.stderr)]
    assert given_away(place, *reached.said, *shown, *said) == []
    kept = [place.root, *place.root.rglob("*")]
    assert {"prefect.log", "mlflow.log", "worker.log", "ledger", "promotions.jsonl"} <= {
        path.name for path in kept
    }
    assert [path for path in kept if path.stat().st_mode & 0o077] == []


def test_a_server_whose_database_went_away_does_not_log_its_password(
    monkeypatch: pytest.MonkeyPatch, home: HomePaths
) -> None:
    """Until it has given up and said why."""
    monkeypatch.setenv(
        "STOCKML_DATABASE_URL", f"postgresql://me:{DATABASE}@127.0.0.1:{free_port()}"
    )
    home = home_of()
    environ = {**os.environ, **settings_of(home), "PYTHONPATH": ":".join(sys.path)}
    impatient = replace(
        mlflow(home, free_port(), Access(), environ), module="tests.support.impatient_mlflow"
    )
    programs = {"prefect.log": prefect(free_port(), Access(), environ), "mlflow.log": impatient}
    children = [start(program, home.root / "logs" / log) for log, program in programs.items()]
    try:
        until(
            lambda: (
                in_process_list() or all(child.process.poll() is not None for child in children)
            ),
            every_s=0.2,
        )
        assert in_process_list() == []
    finally:
        processes.stop(children)
    assert all(child.process.returncode > 0 for child in children), "none had to be stopped"
    for child in children:
        assert "refused" in child.log.read_text().lower()
    assert given_away(home) == []
