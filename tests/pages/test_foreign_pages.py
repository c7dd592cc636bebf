"""A web page of another origin, open in the same browser, can neither read from the two pages nor change anything."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.pages.mlflow_pages import CHROMIUM, browser_page
from tests.pages.prefect_session import Up, up
from tests.support.loopback import Loopback, whole

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="Chromium is not installed: apt-get install chromium"),
]
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
SOCKET = """address => new Promise(ended => {
    const socket = new WebSocket(address, "prefect")
    socket.onopen = () => ended("open")
    socket.onerror = () => ended("refused")
})"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    with up(tmp_path_factory.mktemp("home")) as running:
        yield running


@pytest.fixture(params=["127.0.0.1", "evil.localhost"])
def foreign(request: pytest.FixtureRequest) -> "Iterator[Page]":
    """A page that another server of this machine, or one with a name of its own, has sent."""
    with Loopback(whole(b"<html><body>prices for free</body></html>")) as elsewhere, browser_page() as page:
        page.goto(elsewhere.address.replace("127.0.0.1", request.param))
        yield page


def asked(page: "Page", address: str, **request: Any) -> list[Any]:
    """What the page's own script gets: status and text; status 0 where the browser keeps the answer from it."""
    return list(page.evaluate(FETCH, [address, request]))


def start_of(pages: Up) -> str:
    """Where a run of IBM is started."""
    return f"{pages.prefect}/api/deployments/{pages.api('/deployments/name/nightly/IBM')['id']}/create_flow_run"


def scheduled(pages: Up) -> int:
    """How many runs of IBM there are, begun or not."""
    return int(pages.api("/flow_runs/count", {"deployments": {"name": {"any_": ["IBM"]}}}))


def test_the_servers_own_pages_can_read(pages: Up) -> None:
    with browser_page() as page:
        for address, path in ((pages.prefect, "/api/admin/settings"), (pages.mlflow, "/version")):
            page.goto(address)
            assert asked(page, address + path)[0] == 200


def test_a_foreign_page_reads_nothing(pages: Up, foreign: "Page") -> None:
    for path in ("/api/admin/settings", "/api/csrf-token?client=evil", "/api/health"):
        assert asked(foreign, pages.prefect + path) == [0, ""]
    search = {"method": "POST", "body": '{"max_results": 9}', "headers": {"Content-Type": "application/json"}}
    for path, request in (("/version", {}), ("/api/2.0/mlflow/experiments/search", search)):
        assert asked(foreign, pages.mlflow + path, **request) == [0, ""]
        assert asked(foreign, pages.mlflow + path, **request, credentials="include") == [0, ""]


def test_a_foreign_page_writes_nothing(pages: Up, foreign: "Page") -> None:
    body = '{"name": "planted", "value": "here"}'
    for more in ({"mode": "no-cors"}, {"mode": "cors"}, {"headers": {"Content-Type": "application/json"}}):
        asked(foreign, f"{pages.prefect}/api/variables/", method="POST", body=body, **more)
    assert pages.api("/variables/filter", {}) == []
    experiment = '{"name": "planted"}'
    asked(foreign, f"{pages.mlflow}/api/2.0/mlflow/experiments/create", method="POST", body=experiment, mode="no-cors")
    own = foreign.context.new_page()
    own.goto(pages.mlflow)
    found = asked(own, f"{pages.mlflow}/api/2.0/mlflow/experiments/search?max_results=99")
    assert found[0] == 200
    assert "planted" not in found[1]


def test_a_foreign_page_starts_nothing(pages: Up, foreign: "Page") -> None:
    before = scheduled(pages)
    asked(foreign, start_of(pages), method="POST", body=STARTED, mode="no-cors")
    asked(foreign, start_of(pages), method="POST", body=STARTED, headers={"Content-Type": "application/json"})
    head, _, tail = STARTED.partition("SCHEDULED")
    with foreign.expect_navigation():
        foreign.evaluate(FORM, [start_of(pages), f'{head}SCHEDULED", "message": "', tail])
    assert "another origin" in foreign.inner_text("body")
    assert scheduled(pages) == before


def test_a_foreign_page_listens_to_no_socket(pages: Up, foreign: "Page") -> None:
    sockets = pages.prefect.replace("http:", "ws:")
    assert [foreign.evaluate(SOCKET, f"{sockets}/api/{path}") for path in ("events/out", "logs/out", "events/in")] == [
        "refused"
    ] * 3
    own = foreign.context.new_page()
    own.goto(pages.prefect)
    assert own.evaluate(SOCKET, f"{sockets}/api/events/out") == "open"


def test_a_name_that_was_made_to_point_here_opens_nothing(pages: Up) -> None:
    with browser_page() as page:
        for address in (pages.prefect, pages.mlflow):
            rebound = address.replace("127.0.0.1", "evil.localhost")
            reply = page.goto(rebound)
            assert reply
            assert reply.status == 403
            assert asked(page, f"{rebound}/api/admin/settings")[0] == 403


def test_no_foreign_page_shows_ours_in_a_frame(pages: Up, foreign: "Page") -> None:
    for address in (pages.prefect, pages.mlflow):
        foreign.set_content(f"<iframe src='{address}'></iframe>")
        foreign.wait_for_timeout(500)
        assert foreign.frames[-1].url.startswith("chrome-error:")
