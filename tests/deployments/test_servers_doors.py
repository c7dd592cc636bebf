"""Both servers as they are started, asked over raw HTTP: by their own names, by others, by foreign
pages, by strangers.

And in a browser: a web page of another origin can neither read from the two pages nor change
anything.
"""

import json
import os
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from prefect.client.orchestration import SyncPrefectClient

from deployments.servers.prefect_api import prefect_api
from stockml.home import HomePaths
from stockml.home import current_home as home_of
from tests.pages.prefect_session import Up
from tests.support.loopback import Loopback, whole
from tests.support.own_servers import OwnServer
from tests.support.patience import PATIENCE_S

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.slow

EVIL, LOGIN = "http://evil.example", "me:secret-of-many-letters"
HEALTH = {"prefect": "/api/health", "mlflow": "/health"}
ASKS = {
    "prefect": "/api/admin/version",
    "mlflow": "/ajax-api/2.0/mlflow/experiments/search?max_results=1",
}
CHANGES = {
    "prefect": ("/api/variables/", {"name": "planted", "value": "here"}),
    "mlflow": ("/api/2.0/mlflow/experiments/create", {"name": "planted"}),
}
PLANTED = {
    "prefect": "/api/variables/name/planted",
    "mlflow": "/api/2.0/mlflow/experiments/get-by-name?experiment_name=planted",
}
REFUSES_HOST = {"prefect": 400, "mlflow": 403}
PREFLIGHT = {
    "Access_Control_Request_Method": "POST",
    "Access_Control_Request_Headers": "content-type",
}
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec_WebSocket_Version": "13",
    "Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec_WebSocket_Protocol": "prefect",
}
SOCKETS = ("/api/events/in", "/api/events/out", "/api/logs/out")
Servers = dict[str, OwnServer]


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: str

    @property
    def shown_to(self) -> str | None:
        """The origin whose pages may read it."""
        return self.headers.get("access-control-allow-origin")


@pytest.fixture(scope="module")
def home_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("doors") / "home"


@pytest.fixture(scope="module")
def servers(home_folder: Path) -> Iterator[Servers]:
    """Prefect's and MLflow's, started as `stockml up` does without a password."""
    place = home_of({"STOCKML_HOME": str(home_folder)})
    with OwnServer.prefect(place) as prefect, OwnServer.mlflow(place) as mlflow:
        prefect.start(), mlflow.start()
        yield {"prefect": prefect.wait(), "mlflow": mlflow.wait()}


@pytest.fixture(params=["prefect", "mlflow"])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def ask(
    port: int, path: str, method: str = "GET", body: str | None = None, **headers: str
) -> Answer:
    """What a program on this machine gets if it sends these headers; `Content_Type` stands for
    Content-Type."""
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, {"Host": f"127.0.0.1:{port}", **named})
    reply = connection.getresponse()
    answer = Answer(reply.status, {k.lower(): v for k, v in reply.getheaders()}, "")
    if reply.status != 101:
        answer = answer._replace(body=reply.read().decode())
    connection.close()
    return answer


def test_a_server_answers_at_its_own_address_without_a_password(
    servers: Servers, name: str
) -> None:
    port = servers[name].port
    for host in (f"127.0.0.1:{port}", f"localhost:{port}"):
        for path in (HEALTH[name], ASKS[name], "/"):
            assert ask(port, path, Host=host).status == 200


def test_another_host_name_is_refused(servers: Servers, name: str) -> None:
    """MLflow answers at `health` to any name, and says no more there than that it is up."""
    port = servers[name].port
    for host in ("evil.example", f"127.0.0.1.evil.example:{port}", f"evil.localhost:{port}"):
        for path in ("/", ASKS[name], CHANGES[name][0]):
            assert ask(port, path, Host=host).status == REFUSES_HOST[name]


def foreign_origins(name: str, port: int) -> list[str]:
    """Also another port of this machine, which MLflow itself takes for its own."""
    elsewhere = [
        EVIL,
        f"http://127.0.0.1.evil.example:{port}",
        f"http://evil.localhost:{port}",
        "null",
    ]
    return [*elsewhere, f"http://127.0.0.1:{port + 1}"] if name == "prefect" else elsewhere


def test_no_foreign_page_may_ask_or_read_but_the_servers_own_may(
    servers: Servers, name: str
) -> None:
    port, path = servers[name].port, CHANGES[name][0]
    own = f"http://127.0.0.1:{port}"
    preflight = ask(port, path, "OPTIONS", Origin=own, **PREFLIGHT)
    assert (preflight.status, preflight.shown_to) == (200, own)
    assert ask(port, ASKS[name], Origin=own).shown_to == own
    for origin in foreign_origins(name, port):
        refused = ask(port, path, "OPTIONS", Origin=origin, **PREFLIGHT)
        assert (refused.status, refused.shown_to) == (400, None)
        assert ask(port, ASKS[name], Origin=origin).shown_to not in (origin, "*")


def test_a_change_from_a_foreign_page_is_refused_also_without_a_preflight(
    servers: Servers, name: str
) -> None:
    port, (path, content) = servers[name].port, CHANGES[name]
    body = json.dumps(content)
    for origin in foreign_origins(name, port):
        for kind in ("text/plain", "application/x-www-form-urlencoded", "application/json"):
            assert ask(port, path, "POST", body, Origin=origin, Content_Type=kind).status == 403
    assert ask(port, path, "POST", body, Content_Type="text/plain").status in (400, 403)
    assert ask(port, PLANTED[name]).status == 404


def test_prefect_refuses_a_change_without_a_token_and_accepts_one_with_it(servers: Servers) -> None:
    port, (path, content) = servers["prefect"].port, CHANGES["prefect"]
    body = json.dumps({**content, "name": "own"})
    assert ask(port, path, "POST", body, Content_Type="application/json").status == 403
    token = json.loads(ask(port, "/api/csrf-token?client=me").body)["token"]
    given = {
        "Prefect_Csrf_Client": "me",
        "Prefect_Csrf_Token": token,
        "Content_Type": "application/json",
    }
    for wrong in (
        {"Prefect_Csrf_Client": "another"},
        {"Prefect_Csrf_Token": "0" * 64},
        {"Prefect_Csrf_Token": ""},
    ):
        assert ask(port, path, "POST", body, **{**given, **wrong}).status == 403
    assert ask(port, path, "POST", body, **given).status == 201
    assert ask(port, path + "name/own").status == 200


def test_a_web_socket_opens_by_the_servers_own_names_only(servers: Servers) -> None:
    port = servers["prefect"].port
    for path in SOCKETS:
        assert ask(port, path, Origin=f"http://127.0.0.1:{port}", **UPGRADE).status == 101
        assert ask(port, path, Host="evil.example", **UPGRADE).status == 400


@pytest.mark.parametrize("path", SOCKETS)
def test_a_foreign_page_can_open_no_web_socket(servers: Servers, path: str) -> None:
    """Without a password it reads all events and log lines there, and writes events that
    automations act on."""
    assert ask(servers["prefect"].port, path, Origin=EVIL, **UPGRADE).status != 101


def test_the_server_of_a_single_command_is_closed_to_foreign_pages_and_keeps_its_files_private(
    home: HomePaths,
) -> None:
    path, content = CHANGES["prefect"]
    with prefect_api(home, dict(os.environ)) as address:
        port = int(address.rpartition(":")[2].removesuffix("/api"))
        assert ask(port, HEALTH["prefect"]).status == 200
        assert ask(port, HEALTH["prefect"], Host="evil.example").status == 400
        assert ask(port, ASKS["prefect"], Origin=EVIL).shown_to is None
        for kind in ("text/plain", "application/json"):
            refused = ask(port, path, "POST", json.dumps(content), Origin=EVIL, Content_Type=kind)
            assert refused.status == 403
        assert ask(port, PLANTED["prefect"]).status == 404
    check_private(home.root, "prefect.db", "temporary-server.log")


def check_private(folder: Path, *names: str) -> None:
    kept = [folder, *folder.rglob("*")]
    assert {*names} <= {path.name for path in kept}
    assert [str(path) for path in kept if path.stat().st_mode & 0o077] == []


def test_the_servers_files_are_private_to_their_owner(servers: Servers, home_folder: Path) -> None:
    """Under the usual umask, with which everyone could read them."""
    check_private(home_folder, "prefect.db", "mlflow.db", "prefect.log", "mlflow.log")


STARTED = '{"state": {"type": "SCHEDULED"}}'
FETCH = """async ([address, request]) => {
    try {
        const reply = await fetch(address, request)
        return [reply.status, await reply.text()]
    } catch (refused) {
        return [0, ""]
    }
}"""
FORM = """([address, name, value]) => {
    const form = Object.assign(document.createElement("form"), {method: "POST", action: address, enctype: "text/plain"})
    form.append(Object.assign(document.createElement("input"), {name, value}))
    document.body.append(form)
    form.submit()
}"""


@pytest.fixture(scope="module")
def pages(servers: Servers, home_folder: Path) -> Up:
    """The servers' addresses; Prefect's has a deployment nightly/IBM."""
    up = Up(home_folder, *(server.address for server in servers.values()))
    with SyncPrefectClient(f"{up.prefect}/api") as client:
        client.create_deployment(client.create_flow_from_name("nightly"), "IBM")
    return up


@pytest.fixture(params=["127.0.0.1", "evil.localhost"])
def foreign(request: pytest.FixtureRequest, page: "Page") -> "Iterator[Page]":
    """A page from another server of this machine, which MLflow itself lets in, or from one with a
    name of its own."""
    with Loopback(whole(b"<html><body>prices for free</body></html>")) as elsewhere:
        page.goto(elsewhere.address.replace("127.0.0.1", request.param))
        yield page


def asked(page: "Page", address: str, **request: Any) -> list[Any]:
    """What a script in the page gets: status and text; status 0 if the browser withholds the
    answer."""
    return list(page.evaluate(FETCH, [address, request]))


def scheduled(pages: Up) -> int:
    """The number of IBM's runs, started or not."""
    return int(pages.api("/flow_runs/count", {"deployments": {"name": {"any_": ["IBM"]}}}))


def test_the_servers_own_pages_can_read_from_them(pages: Up, page: "Page") -> None:
    for address, path in ((pages.prefect, "/api/admin/settings"), (pages.mlflow, "/version")):
        page.goto(address)
        assert asked(page, address + path)[0] == 200


def test_a_foreign_page_reads_writes_and_starts_nothing(
    pages: Up, foreign: "Page", servers: Servers
) -> None:
    before = scheduled(pages)
    start = f"{pages.prefect}/api/deployments/{pages.api('/deployments/name/nightly/IBM')['id']}/create_flow_run"
    for address in (
        f"{pages.prefect}/api/admin/settings",
        f"{pages.prefect}/api/csrf-token?client=evil",
    ):
        assert asked(foreign, address) == [0, ""]
    closed = ["prefect", "mlflow"] if "evil" in foreign.url else ["prefect"]
    if "mlflow" in closed:
        assert asked(foreign, pages.mlflow + ASKS["mlflow"], credentials="include") == [0, ""]
    planting = [
        (servers[name].address + CHANGES[name][0], json.dumps(CHANGES[name][1])) for name in closed
    ]
    for address, body in (*planting, (start, STARTED)):
        for more in ({"mode": "no-cors"}, {"headers": {"Content-Type": "application/json"}}):
            asked(foreign, address, method="POST", body=body, **more)
    head, _, tail = STARTED.partition("SCHEDULED")
    with foreign.expect_navigation() as navigated:
        foreign.evaluate(FORM, [start, f'{head}SCHEDULED", "message": "', tail])
    assert navigated.value.status == 403
    assert scheduled(pages) == before
    for name in closed:
        assert ask(servers[name].port, PLANTED[name]).status == 404
