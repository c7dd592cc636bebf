"""Access to the two pages: only by their own names, from their own pages, with the password, and on a free port."""

import asyncio
import base64
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import httpx
import pytest
from prefect import settings
from prefect.client.orchestration import get_client
from prefect.context import SyncClientContext

from deployments.errors import PasswordNeeded, PortTaken
from deployments.replay.feed import Feed
from deployments.servers.access import Access, Guard, check_port, fault_of_server
from stockml.errors import InvalidSetting
from stockml.home import HomePaths
from tests.support.loopback import Loopback, whole
from tests.support.own_servers import free_port

PASSWORD = {"PREFECT_SERVER_API_AUTH_STRING": "me:secret"}
OPEN = {"STOCKML_ADDRESS": "0.0.0.0", **PASSWORD}
TUNNEL = {"STOCKML_ALLOWED_HOSTS": "Stocks.example.org, box.lan:8443,"}


def answer(access: Access, headers: Iterable[tuple[str, str]], **more: Any) -> int:
    """The status that a request gets; 0 for a web socket that is refused, 101 for one that is accepted."""
    begun = begin(access, headers, **more)
    if begun["type"].startswith("websocket"):
        return 101 if begun["type"] == "websocket.accept" else 0
    return int(begun["status"])


def begin(access: Access, headers: Iterable[tuple[str, str]], **more: Any) -> dict[str, Any]:
    """The first message of the answer."""
    sent: list[dict[str, Any]] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        kind = {"http": "http.response.start", "websocket": "websocket.accept"}[scope["type"]]
        await send({"type": kind, "status": 200, "headers": []})

    async def send(message: Any) -> None:
        sent.append(dict(message))

    guard = Guard(application, access, password_but_for="/health")
    scope = {"type": "http", "method": "GET", "path": "/", **more}
    scope["headers"] = [(name.encode(), value.encode()) for name, value in headers]
    asyncio.run(guard(scope, send, send))  # type: ignore[arg-type]
    return sent[0]


@pytest.mark.parametrize(
    ("environ", "host", "status"),
    [
        ({}, "127.0.0.1:4200", 200),
        ({}, "localhost:4200", 200),
        ({}, "LOCALHOST", 200),
        ({}, "[::1]:4200", 200),
        ({}, "evil.example", 403),
        ({}, "127.0.0.1.evil.example", 403),
        ({}, "localhost.evil.example:4200", 403),
        ({}, "evil.example#127.0.0.1", 403),
        ({}, "127.0.0.1:4200:80", 403),
        ({}, "192.168.1.7:4200", 403),
        ({}, "", 403),
        (TUNNEL, "stocks.example.org", 200),
        (TUNNEL, "stocks.example.org:8443", 200),
        (TUNNEL, "box.lan:8443", 200),
        (TUNNEL, "evil.example", 403),
        ({"STOCKML_ADDRESS": "127.0.0.2"}, "127.0.0.2:4200", 200),
        ({"STOCKML_ADDRESS": "localhost"}, "127.0.0.1:4200", 200),
        (PASSWORD, "192.168.1.7:4200", 403),
        (PASSWORD, socket.gethostname(), 403),
        (OPEN, "192.168.1.7:4200", 401),  # goes on to the password
        (OPEN, "[fd00::1]:4200", 401),
        (OPEN, f"{socket.gethostname().upper()}:4200", 401),
        (OPEN, "192.168.1.7.evil.example:4200", 403),
        (OPEN, "evil.example", 403),
    ],
)
def test_a_server_answers_to_its_own_names_only(environ: dict[str, str], host: str, status: int) -> None:
    assert answer(Access.of(environ), [("host", host)]) == status


def test_a_request_with_two_host_headers_or_none_is_refused() -> None:
    assert answer(Access(), [("host", "127.0.0.1"), ("host", "evil.example")]) == 403
    assert answer(Access(), []) == 403


@pytest.mark.parametrize(
    ("origin", "own"),
    [
        ("http://127.0.0.1:4200", True),
        ("http://127.0.0.1:4201", False),
        ("http://localhost:4200", False),
        ("http://evil.example", False),
        ("http://127.0.0.1:4200.evil.example", False),
        ("null", False),
        ("file://", False),
        ("https://stocks.example.org", True),
        ("https://box.lan:8443", True),
        ("https://box.lan", False),
        ("http://[", False),
    ],
)
def test_only_the_servers_own_pages_may_send_it_requests(origin: str, own: bool) -> None:
    access, headers = Access.of(TUNNEL), [("host", "127.0.0.1:4200"), ("origin", origin)]
    assert [answer(access, headers, method=method) == 200 for method in ("GET", "POST", "DELETE")] == [own] * 3
    assert answer(access, headers, method="OPTIONS") == (200 if own else 400)
    assert answer(access, headers, type="websocket") == (101 if own else 0)


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_what_a_foreign_page_embeds_is_refused_but_for_links_and_a_plot(site: str) -> None:
    """Such a GET has no Origin; 127.0.0.1 is one site, whatever the port."""

    def status(dest: str, path: str = "/", came_from: str = site) -> int:
        return answer(
            Access(), [("host", "localhost"), ("sec-fetch-site", came_from), ("sec-fetch-dest", dest)], path=path
        )

    assert [status(dest) for dest in ("image", "script", "empty", "iframe", "object")] == [403] * 5
    assert [status("document"), status("image", "/get-artifact")] == [200, 200]
    assert [status("image", came_from=own) for own in ("same-origin", "none")] == [200, 200]


def test_every_path_but_the_health_check_needs_the_password() -> None:
    access, host = Access.of(PASSWORD), ("host", "127.0.0.1")
    right, wrong = (base64.b64encode(given.encode()).decode() for given in ("me:secret", "me:other"))
    assert answer(access, [host]) == 401
    assert answer(access, [host, ("authorization", f"Basic {wrong}")]) == 401
    assert answer(access, [host, ("authorization", f"Basic {right}")]) == 200
    assert answer(access, [host], path="/health") == 200
    for method in ("POST", "HEAD", "OPTIONS"):  # of which MLflow takes a body of any size into memory
        assert answer(access, [host], path="/health", method=method) == 401
    assert answer(access, [host], path="/health", type="websocket", method=None) == 0
    assert answer(access, [host, ("origin", "http://evil.example"), ("authorization", f"Basic {right}")]) == 403
    assert "secret" not in repr(access)
    asks = [
        b"www-authenticate" in dict(begin(access, [named])["headers"]) for named in (host, ("host", "evil.example"))
    ]
    assert asks == [True, False], "a browser then asks the person for it"


@pytest.mark.parametrize(
    "path", ["/docs", "/docs/oauth2-redirect", "/redoc", "/openapi.json", "/api/docs", "/api/redoc"]
)
def test_the_description_of_an_api_which_loads_its_scripts_from_elsewhere_is_not_served(path: str) -> None:
    host = ("host", "127.0.0.1")
    assert answer(Access(), [host], path=path) == 404
    assert answer(Access(), [host], path=f"/my{path}") == 200


@pytest.mark.parametrize("address", ["0.0.0.0", "192.168.1.7", "::"])
def test_pages_that_other_machines_can_reach_need_a_password(address: str) -> None:
    with pytest.raises(PasswordNeeded, match="AUTH_STRING=user:password, or leave STOCKML_ADDRESS"):
        Access.of({"STOCKML_ADDRESS": address})
    assert Access.of({"STOCKML_ADDRESS": address, **PASSWORD}).address == address


@pytest.mark.parametrize(
    "environ",
    [
        {"STOCKML_ADDRESS": "everywhere"},
        {"STOCKML_ALLOWED_HOSTS": "*"},
        {"STOCKML_ALLOWED_HOSTS": "http://box.lan"},
        {"PREFECT_SERVER_API_AUTH_STRING": "secret"},
        {"PREFECT_SERVER_API_AUTH_STRING": "secret:"},
        {"PREFECT_SERVER_API_AUTH_STRING": "me:sécret"},
    ],
)
def test_an_invalid_setting_is_refused_by_name_without_its_secret(environ: dict[str, str]) -> None:
    with pytest.raises(InvalidSetting) as refused:
        Access.of(environ)
    assert next(iter(environ)) in str(refused.value)
    assert "secret" not in str(refused.value)


def test_who_listens_everywhere_is_told_how_others_reach_it_each_of_which_it_answers_to() -> None:
    for address in ("0.0.0.0", "::"):
        everywhere = Access.of({"STOCKML_ADDRESS": address, **PASSWORD})
        assert everywhere.elsewhere()[0] == socket.gethostname()
        assert all(everywhere.is_own_name(f"{host}:4200") for host in everywhere.elsewhere())
        assert {host.startswith("[") for host in everywhere.elsewhere()[1:]} <= {address == "::"}
        assert not {"127.0.0.1", "[::1]"} & {*everywhere.elsewhere()}, "others reach themselves there"
    assert Access().elsewhere() == []


def test_a_server_that_listens_everywhere_is_reached_on_the_loopback() -> None:
    everywhere = Access.of({"STOCKML_ADDRESS": "0.0.0.0", **PASSWORD})
    assert everywhere.url(4200) == "http://127.0.0.1:4200"
    assert Access.of({"STOCKML_ADDRESS": "fd00::1", **PASSWORD}).url(4200) == "http://[fd00::1]:4200"
    assert Access.of({"STOCKML_ADDRESS": "::", **PASSWORD}).url(4200) == "http://[::1]:4200"


def test_an_address_of_another_machine_is_not_reported_as_a_taken_port(home: HomePaths) -> None:
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


def test_a_taken_port_is_named_with_the_option_to_change_it(feed: Feed) -> None:
    port = int(feed.address.rpartition(":")[2])
    with pytest.raises(PortTaken, match=rf"expected port {port} to be free for MLflow.*--mlflow-port"):
        check_port("MLflow", port, "--mlflow-port")
    check_port("MLflow", free_port(), "--mlflow-port")


def test_a_port_whose_server_has_just_ended_is_free() -> None:
    """Its connections stay in TIME_WAIT for a minute, in which `stockml up` may be run again."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as asking:
            server.accept()[0].close()
            assert asking.recv(1) == b""
    check_port("Prefect", port, "--prefect-port")


@pytest.mark.parametrize("checks_version", [True, False])
def test_a_server_that_goes_away_under_a_command_is_named_and_no_unexpected_error(checks_version: bool) -> None:
    """Of a failure to ask for its version, which comes first, Prefect's client makes an error of its own."""
    away = {settings.PREFECT_API_URL: "http://127.0.0.1:9/api"}
    checks = {settings.PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED: checks_version}
    with (
        settings.temporary_settings({**away, **checks}),
        pytest.raises(RuntimeError if checks_version else httpx.ConnectError) as failed,
        SyncClientContext() as within,
    ):
        within.client.read_flows()
    said = fault_of_server(failed.value) or ""
    assert said.startswith("expected an answer of the server at 127.0.0.1:9, found none (")


def test_an_error_of_our_own_is_not_blamed_on_a_server_whose_answer_is_at_hand() -> None:
    """It was told as the server's, and left nothing to report."""

    def mistaken(answer: httpx.Response) -> int:
        return answer.status_code + int("no number")

    with pytest.raises(ValueError, match="no number") as failed:
        mistaken(httpx.Response(200, request=httpx.Request("GET", "http://127.0.0.1:9/api")))
    assert fault_of_server(failed.value) is None


@pytest.mark.parametrize("answer", [b"", b"{", b"<html>", b"{}"])
@pytest.mark.parametrize("asks", ["read_flows", "create_flow_from_name"])
def test_an_answer_that_is_not_prefects_is_named_with_its_request_and_no_unexpected_error(
    answer: bytes, asks: str
) -> None:
    token = whole(b'{"token": "t", "client": "c", "expiration": "2099-01-01T00:00:00Z"}')
    with Loopback(token, whole(answer)) as server:
        chosen: dict[Any, Any] = {settings.PREFECT_API_URL: f"{server.address}/api"}
        chosen[settings.PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED] = False
        with (
            settings.temporary_settings(chosen),
            get_client(sync_client=True) as client,
            pytest.raises((ValueError, TypeError, httpx.RequestError)) as failed,
        ):
            getattr(client, asks)(*["nightly"] * (asks != "read_flows"))
    where, said = server.address.removeprefix("http://"), fault_of_server(failed.value) or ""
    assert said.startswith(f"expected an answer of the server at {where}, found one to POST /api/flows/")
