"""Both pages in a browser, where others can reach them: nothing without the password, everything with it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from prefect.client.orchestration import SyncPrefectClient

from stockml.home import home
from tests.pages.prefect_pages import quick_run
from tests.pages.prefect_session import Up
from tests.support.chromium import browser_page, needs_chromium
from tests.support.own_servers import OwnServer

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.slow, needs_chromium]
USER, PASSWORD = "me", "a password"
ASKED = {"STOCKML_ADDRESS": "0.0.0.0", "PREFECT_SERVER_API_AUTH_STRING": f"{USER}:{PASSWORD}"}


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """Prefect's, with a deployment nightly/IBM, and MLflow's."""
    place = home({"STOCKML_HOME": str(tmp_path_factory.mktemp("home"))})
    with OwnServer.prefect(place, **ASKED).start() as prefect, OwnServer.mlflow(place, **ASKED).start() as mlflow:
        up = Up(place.root, prefect.wait().address, mlflow.wait().address)
        with SyncPrefectClient(f"{up.prefect}/api", auth_string=f"{USER}:{PASSWORD}") as client:
            client.create_deployment(client.create_flow_from_name("nightly"), "IBM")
        yield up


def test_prefects_page_asks_for_the_password_and_then_starts_a_run(pages: Up, page: "Page") -> None:
    page.goto(f"{pages.prefect}/deployments")
    field = page.locator("input[type='password']")
    for given in (f"{USER}:wrong", f"{USER}:{PASSWORD}"):
        assert page.get_by_role("link", name="IBM", exact=True).count() == 0
        field.fill(given)
        with page.expect_response(lambda reply: "/api/admin/version" in reply.url) as answered:
            field.press("Enter")
        assert answered.value.status == (200 if given.endswith(PASSWORD) else 401)
    page.get_by_role("link", name="IBM", exact=True).click()
    quick_run(page)


def test_mlflows_page_asks_the_browser_for_the_same_password(pages: Up, browser: "Browser") -> None:
    for password in ("wrong", PASSWORD):
        with browser_page(browser, http_credentials={"username": USER, "password": password}) as page:
            reply = page.goto(pages.mlflow)
            assert reply
            assert reply.status == (200 if password == PASSWORD else 401)
            shown = page.get_by_text("Experiments" if password == PASSWORD else "user and password, please")
            shown.first.wait_for()
