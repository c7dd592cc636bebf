"""Both servers as they are started, asked over raw HTTP: by their own names, by others, by foreign
pages, by strangers."""

import json
from contextlib import closing
from http.client import HTTPConnection
from typing import TYPE_CHECKING, NamedTuple

import pytest

from stockml.home import current_home as home_of
from tests.support.own_servers import OwnServer
from tests.support.patience import PATIENCE_S

if TYPE_CHECKING:
    pass

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


@pytest.fixture(scope="module")
def home_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("doors") / "home"


@pytest.fixture(scope="module")
def servers(home_folder):
    """Prefect's and MLflow's, started as `stockml up` does without a password."""
    place = home_of({"STOCKML_HOME": str(home_folder)})
    with OwnServer.prefect(place) as prefect, OwnServer.mlflow(place) as mlflow:
        prefect.start(), mlflow.start()
        yield {"prefect": prefect.wait(), "mlflow": mlflow.wait()}


@pytest.fixture(params=["prefect", "mlflow"])
def name(request):
    return str(request.param)


class Answer(NamedTuple):
    status: int
    body: str
    shown_to: str | None  # the origin whose pages may read it


def ask(port, path, method="GET", body=None, **headers):
    """What a program on this machine gets if it sends these headers; `Content_Type` stands for
    Content-Type."""
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, {"Host": f"127.0.0.1:{port}", **named})
    with closing(connection):
        reply = connection.getresponse()
        shown_to = reply.getheader("Access-Control-Allow-Origin")
        return Answer(reply.status, "" if reply.status == 101 else reply.read().decode(), shown_to)


def test_a_server_answers_by_its_own_names_without_a_password_and_by_no_other(servers, name):
    """MLflow answers at `health` to any name, and says no more there than that it is up."""
    port = servers[name].port
    for host in (f"127.0.0.1:{port}", f"localhost:{port}"):
        for path in (HEALTH[name], ASKS[name], "/"):
            assert ask(port, path, Host=host).status == 200
    for host in ("evil.example", f"127.0.0.1.evil.example:{port}", f"evil.localhost:{port}"):
        for path in ("/", ASKS[name], CHANGES[name][0]):
            assert ask(port, path, Host=host).status == REFUSES_HOST[name]


def foreign_origins(name, port):
    """Also another port of this machine, which MLflow itself takes for its own."""
    hosts = [f"127.0.0.1.evil.example:{port}", f"evil.localhost:{port}"]
    hosts += [f"127.0.0.1:{port + 1}"] if name == "prefect" else []
    return [EVIL, "null", *(f"http://{host}" for host in hosts)]


def test_no_foreign_page_may_ask_or_read_but_the_servers_own_may(servers, name):
    port, path = servers[name].port, CHANGES[name][0]
    own = f"http://127.0.0.1:{port}"
    preflight = ask(port, path, "OPTIONS", Origin=own, **PREFLIGHT)
    assert (preflight.status, preflight.shown_to) == (200, own)
    assert ask(port, ASKS[name], Origin=own).shown_to == own
    for origin in foreign_origins(name, port):
        refused = ask(port, path, "OPTIONS", Origin=origin, **PREFLIGHT)
        assert (refused.status, refused.shown_to) == (400, None)
        assert ask(port, ASKS[name], Origin=origin).shown_to not in (origin, "*")


def test_a_change_from_a_foreign_page_is_refused_also_without_a_preflight(servers, name):
    port, (path, content) = servers[name].port, CHANGES[name]
    body = json.dumps(content)
    for origin in foreign_origins(name, port):
        for kind in ("text/plain", "application/x-www-form-urlencoded", "application/json"):
            assert ask(port, path, "POST", body, Origin=origin, Content_Type=kind).status == 403
    assert ask(port, path, "POST", body, Content_Type="text/plain").status in (400, 403)
    assert ask(port, PLANTED[name]).status == 404


def test_prefect_refuses_a_change_without_a_token_and_accepts_one_with_it(servers):
    port, (path, content) = servers["prefect"].port, CHANGES["prefect"]
    body, headers = json.dumps({**content, "name": "own"}), {"Content_Type": "application/json"}
    token = json.loads(ask(port, "/api/csrf-token?client=me").body)["token"]
    for client, status in ((None, 403), ("another", 403), ("me", 201)):
        headers |= {"Prefect_Csrf_Client": client, "Prefect_Csrf_Token": token} if client else {}
        assert ask(port, path, "POST", body, **headers).status == status
    assert ask(port, path + "name/own").status == 200


@pytest.mark.parametrize("path", SOCKETS)
def test_a_web_socket_opens_by_the_servers_own_names_only_and_to_no_foreign_page(servers, path):
    """Without a password it reads all events and log lines there, and writes events that
    automations act on."""
    port = servers["prefect"].port
    assert ask(port, path, Origin=f"http://127.0.0.1:{port}", **UPGRADE).status == 101
    assert ask(port, path, Host="evil.example", **UPGRADE).status == 400
    assert ask(port, path, Origin=EVIL, **UPGRADE).status != 101


def check_private(folder, *names):
    """Under the usual umask, with which everyone could read them."""
    kept = [folder, *folder.rglob("*")]
    assert {*names} <= {path.name for path in kept}
    assert [str(path) for path in kept if path.stat().st_mode & 0o077] == []


def test_the_servers_files_are_private_to_their_owner(servers, home_folder):
    check_private(home_folder, "prefect.db", "mlflow.db", "prefect.log", "mlflow.log")
