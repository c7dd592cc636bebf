"""Both pages in a browser where others can reach them: nothing without the password, all of them with it."""

from collections.abc import Iterator

import pytest

from tests.pages.mlflow_pages import CHROMIUM, browser_page
from tests.pages.prefect_pages import quick_run
from tests.pages.prefect_session import Up, up

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="Chromium is not installed: apt-get install chromium"),
]
USER, PASSWORD = "me", "a password"


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    asked = {"STOCKML_ADDRESS": "0.0.0.0", "PREFECT_SERVER_API_AUTH_STRING": f"{USER}:{PASSWORD}"}
    with up(tmp_path_factory.mktemp("home"), **asked) as running:
        yield running


def test_prefects_page_asks_for_the_password_and_then_starts_a_run(pages: Up) -> None:
    with browser_page() as page:
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


def test_mlflows_page_asks_the_browser_for_the_same(pages: Up) -> None:
    for password in ("wrong", PASSWORD):
        with browser_page(http_credentials={"username": USER, "password": password}) as page:
            reply = page.goto(pages.mlflow)
            assert reply
            assert reply.status == (200 if password == PASSWORD else 401)
            shown = page.get_by_text("Experiments" if password == PASSWORD else "user and password, please")
            shown.first.wait_for()
