"""Both servers as they are started, asked over raw HTTP: by their own names, by others, and by foreign pages.

And in a browser: a web page of another origin can neither read from the two pages nor change anything.
"""

import json
import os
import socket
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

EVIL = "http://evil.example"
HEALTH = {"prefect": "/api/health", "mlflow": "/health"}
CHANGES = {
    "prefect": ("/api/variables/", {"name": "planted", "value": "here"}),
    "mlflow": ("/api/2.0/mlflow/experiments/create", {"name": "planted"}),
}
PLANTED = {
    "prefect": "/api/variables/name/planted",
    "mlflow": "/api/2.0/mlflow/experiments/get-by-name?experiment_name=planted",
}
LISTS = {
    "prefect": "/api/collections/views/aggregate-worker-metadata",
    "mlflow": "/ajax-api/3.0/mlflow/gateway/supported-models",
}
PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Protocol": "prefect",
}


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
def servers(home_folder: Path) -> Iterator[dict[str, OwnServer]]:
    """Prefect's and MLflow's, started under the usual umask, with which everyone could read their files."""
    place = home_of({"STOCKML_HOME": str(home_folder)})
    with OwnServer.prefect(place) as prefect, OwnServer.mlflow(place) as mlflow:
        for server in (prefect, mlflow):
            server.start()
        yield {"prefect": prefect.wait(), "mlflow": mlflow.wait()}


@pytest.fixture(params=["prefect", "mlflow"])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def ask(port: int, path: str, method: str = "GET", body: str | None = None, **headers: str) -> Answer:
    """What a program on this machine gets if it sends these headers; `Content_Type` stands for Content-Type."""
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, {"Host": f"127.0.0.1:{port}", **named})
    reply = connection.getresponse()
    answer = Answer(reply.status, {k.lower(): v for k, v in reply.getheaders()}, "")
    if reply.status != 101:
        answer = answer._replace(body=reply.read().decode())
    connection.close()
    return answer


def test_a_server_answers_at_its_own_address_without_a_password(servers: dict[str, OwnServer], name: str) -> None:
    port = servers[name].port
    for host in (f"127.0.0.1:{port}", f"localhost:{port}", f"[::1]:{port}"):
        assert ask(port, HEALTH[name], Host=host).status == 200
        assert ask(port, HEALTH[name], Host=host, Origin=f"http://{host}").status == 200
        assert ask(port, "/", Host=host).status == 200


def test_another_host_name_is_refused_with_what_to_do(servers: dict[str, OwnServer], name: str) -> None:
    port = servers[name].port
    made_to_point_here = (f"evil.example:{port}", f"127.0.0.1.evil.example:{port}", f"evil.localhost:{port}")
    for host in ("evil.example", "10.evil.example", *made_to_point_here):
        for path in (HEALTH[name], "/", "/api/admin/settings"):
            answer = ask(port, path, Host=host)
            assert answer.status == 403
            assert "STOCKML_ALLOWED_HOSTS" in answer.body


def test_prefect_refuses_a_change_without_a_token_and_accepts_one_with_it(servers: dict[str, OwnServer]) -> None:
    port, (path, content) = servers["prefect"].port, CHANGES["prefect"]
    body = json.dumps({**content, "name": "own"})
    assert ask(port, path, "POST", body, Content_Type="application/json").status == 403
    token = json.loads(ask(port, "/api/csrf-token?client=me").body)["token"]
    given = {"Prefect_Csrf_Client": "me", "Prefect_Csrf_Token": token, "Content_Type": "application/json"}
    for wrong in ({"Prefect_Csrf_Client": "another"}, {"Prefect_Csrf_Token": "0" * 64}, {"Prefect_Csrf_Token": ""}):
        assert ask(port, path, "POST", body, **{**given, **wrong}).status == 403
    assert ask(port, path, "POST", body, **given).status == 201
    assert ask(port, path + "name/own").status == 200


def test_a_foreign_page_can_open_no_web_socket(servers: dict[str, OwnServer]) -> None:
    port = servers["prefect"].port
    for path in ("/api/events/in", "/api/events/out", "/api/logs/out"):
        assert ask(port, path, **UPGRADE).status == 101
        assert ask(port, path, Origin=f"http://127.0.0.1:{port}", **UPGRADE).status == 101
        for origin in (EVIL, f"http://127.0.0.1:{port + 1}", f"http://evil.localhost:{port + 1}"):
            assert ask(port, path, Origin=origin, **UPGRADE).status == 403
        assert ask(port, path, Host="evil.example", **UPGRADE).status == 403


def test_a_request_without_a_host_is_refused(servers: dict[str, OwnServer], name: str) -> None:
    for version in ("1.0", "1.1"):
        with socket.create_connection(("127.0.0.1", servers[name].port), timeout=PATIENCE_S) as line:
            line.sendall(f"GET {HEALTH[name]} HTTP/{version}\r\n\r\n".encode())
            assert line.recv(1000).split()[1] in (b"400", b"403")


def test_the_server_of_a_single_command_is_protected_too(home: HomePaths) -> None:
    with prefect_api(home, dict(os.environ)) as address:
        port = int(address.rpartition(":")[2].removesuffix("/api"))
        path, content = CHANGES["prefect"]
        assert ask(port, HEALTH["prefect"]).status == 200
        assert ask(port, HEALTH["prefect"], Host="evil.example").status == 403
        assert ask(port, HEALTH["prefect"], Origin=EVIL).shown_to is None
        assert ask(port, path, "OPTIONS", Origin=EVIL, **PREFLIGHT).status == 400
        assert ask(port, path, "POST", json.dumps(content), Origin=EVIL, Content_Type="text/plain").status == 403
        assert ask(port, path, "POST", json.dumps(content), Content_Type="text/plain").status == 403
        assert ask(port, PLANTED["prefect"]).status == 404
    kept = [home.root, *home.root.rglob("*")]
    assert {"prefect.db", "temporary-server.log"} <= {path.name for path in kept}
    assert [str(path) for path in kept if path.stat().st_mode & 0o077] == []


def test_the_lists_that_a_page_shows_are_the_installed_ones_and_asked_of_nobody(home: HomePaths, name: str) -> None:
    with Loopback() as proxy, getattr(OwnServer, name)(home, https_proxy=proxy.address) as server:
        assert ask(server.start().wait().port, LISTS[name]).status == 200
        assert proxy.connections == 0


def test_requests_do_not_grow_the_log(servers: dict[str, OwnServer], name: str, home_folder: Path) -> None:
    before = (log := home_folder / "logs" / f"{name}.log").stat().st_size
    for _ in range(20):
        assert ask(servers[name].port, HEALTH[name]).status == 200
    assert log.stat().st_size == before, log.read_text()[-1000:]


def test_the_servers_files_are_private_to_their_owner(servers: dict[str, OwnServer], home_folder: Path) -> None:
    kept = [home_folder, *home_folder.rglob("*")]
    assert {"prefect.db", "mlflow.db", "prefect.log", "mlflow.log"} <= {path.name for path in kept}
    assert [str(path) for path in kept if path.stat().st_mode & 0o077] == []


STARTED = '{"state": {"type": "SCHEDULED"}}'
FETCH = """async ([address, request]) => {
    try {
        const reply = await fetch(address, request)
        return [reply.status, await reply.text()]
    } catch (refused) {
        return [0, ""]
    }
}"""
OPEN = """address => new Promise(done => {
    Object.assign(new WebSocket(address, ["prefect"]), {onopen: () => done("open"), onerror: () => done("error")})
})"""
SCRIPT = """address => new Promise(done => {
    const ends = {onload: () => done("run"), onerror: () => done("error")}
    document.body.append(Object.assign(document.createElement("script"), {src: address, ...ends}))
})"""
FORM = """([address, name, value]) => {
    const form = Object.assign(document.createElement("form"), {method: "POST", action: address, enctype: "text/plain"})
    form.append(Object.assign(document.createElement("input"), {name, value}))
    document.body.append(form)
    form.submit()
}"""


@pytest.fixture(scope="module")
def pages(servers: dict[str, OwnServer], home_folder: Path) -> Up:
    """The servers' addresses; Prefect's has a deployment nightly/IBM."""
    up = Up(home_folder, *(server.address for server in servers.values()))
    with SyncPrefectClient(f"{up.prefect}/api") as client:
        client.create_deployment(client.create_flow_from_name("nightly"), "IBM")
    return up


@pytest.fixture(params=["127.0.0.1", "evil.localhost"])
def foreign(request: pytest.FixtureRequest, page: "Page") -> "Iterator[Page]":
    """A page from another server of this machine, or from one with a name of its own."""
    with Loopback(whole(b"<html><body>prices for free</body></html>")) as elsewhere:
        page.goto(elsewhere.address.replace("127.0.0.1", request.param))
        yield page


def asked(page: "Page", address: str, **request: Any) -> list[Any]:
    """What a script in the page gets: status and text; status 0 if the browser withholds the answer."""
    return list(page.evaluate(FETCH, [address, request]))


def start_of(pages: Up) -> str:
    """The address that starts a run of IBM."""
    return f"{pages.prefect}/api/deployments/{pages.api('/deployments/name/nightly/IBM')['id']}/create_flow_run"


def scheduled(pages: Up) -> int:
    """The number of IBM's runs, started or not."""
    return int(pages.api("/flow_runs/count", {"deployments": {"name": {"any_": ["IBM"]}}}))


def test_the_servers_own_pages_can_read_from_them(pages: Up, page: "Page") -> None:
    for address, path in ((pages.prefect, "/api/admin/settings"), (pages.mlflow, "/version")):
        page.goto(address)
        assert asked(page, address + path)[0] == 200


def test_the_servers_own_pages_tell_no_other_server(pages: Up, page: "Page") -> None:
    """As analytics would, to which an answer that it may not read is as good; and run no script of another's."""
    with Loopback(whole(b"thank you")) as elsewhere:
        for address in (f"{pages.prefect}/dashboard", pages.mlflow):
            page.goto(address)
            assert asked(page, f"{elsewhere.address}?seen=IBM", mode="no-cors") == [0, ""]
            assert page.evaluate(OPEN, elsewhere.address.replace("http", "ws")) == "error"
            assert page.evaluate(SCRIPT, elsewhere.address) == "error"
        assert elsewhere.asked == []
    page.goto(pages.prefect)
    assert page.evaluate(OPEN, f"{pages.prefect.replace('http', 'ws')}/api/events/out") == "open"


def test_a_foreign_page_reads_writes_and_starts_nothing(
    pages: Up, foreign: "Page", servers: dict[str, OwnServer]
) -> None:
    before, start = scheduled(pages), start_of(pages)
    for address in (f"{pages.prefect}/api/admin/settings", f"{pages.prefect}/api/csrf-token?client=evil"):
        assert asked(foreign, address) == [0, ""]
    assert asked(foreign, f"{pages.mlflow}/version", credentials="include") == [0, ""]
    planting = {name: json.dumps(content) for name, (_, content) in CHANGES.items()}
    for address, body in (
        (pages.prefect + CHANGES["prefect"][0], planting["prefect"]),
        (pages.mlflow + CHANGES["mlflow"][0], planting["mlflow"]),
        (start, STARTED),
    ):
        for more in ({"mode": "no-cors"}, {"headers": {"Content-Type": "application/json"}}):
            asked(foreign, address, method="POST", body=body, **more)
    head, _, tail = STARTED.partition("SCHEDULED")
    with foreign.expect_navigation():
        foreign.evaluate(FORM, [start, f'{head}SCHEDULED", "message": "', tail])
    assert "another origin" in foreign.inner_text("body")
    assert scheduled(pages) == before
    for name, path in PLANTED.items():
        assert ask(servers[name].port, path).status == 404


def test_no_foreign_page_shows_ours_in_a_frame(pages: Up, foreign: "Page") -> None:
    for address in (pages.prefect, pages.mlflow):
        foreign.set_content(f"<iframe src='{address}'></iframe>")
        foreign.wait_for_timeout(500)
        assert foreign.frames[-1].url.startswith("chrome-error:")
