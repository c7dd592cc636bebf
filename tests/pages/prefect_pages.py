"""Prefect's pages in headless Chromium: a deployment's run form, its refusals, a run with its steps
and artifacts, the buttons that cancel and retry it."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page

BUSY = 503  # SQLite has one writer; Prefect's own client retries by itself


def open_form(page: "Page", address: str, deployment: str) -> None:
    """Deployments → the deployment → Run → Custom run."""
    page.goto(f"{address}/deployments")
    page.get_by_placeholder("Search deployments").fill(deployment)
    page.wait_for_url("**NameLike=**")  # the search undoes any click before it is in the address
    page.get_by_role("link", name=deployment, exact=True).click()
    page.get_by_role("button", name="Run", exact=True).click()
    page.get_by_text("Custom run").click()
    page.get_by_text("Validate parameters").wait_for()


def fill(page: "Page", label: str, value: str) -> None:
    """Type into the field under a label such as `Epochs (Optional)`."""
    field = (
        page.locator(".p-label, .schema-form-property")
        .filter(has=page.get_by_text(label, exact=True))
        .last
    )
    field.locator("input, textarea").first.fill(value)


def submit(page: "Page") -> None:
    # by the keyboard: a notice that the database was busy lies over the button
    page.get_by_role("button", name="Submit").press("Enter")


def start(page: "Page") -> None:
    """Submit a valid form, and again if the server's database was busy, as a person would."""
    status = BUSY
    for _ in range(5):
        with page.expect_response(
            lambda answer: answer.url.endswith("/create_flow_run")
        ) as answered:
            submit(page)
        if (status := answered.value.status) != BUSY:
            break
    assert status == 201


def open_run(page: "Page", address: str, run_id: str) -> None:
    """Open the run's page, and wait for its steps."""
    page.goto(f"{address}/runs/flow-run/{run_id}")
    page.get_by_text("Task runs", exact=False).first.wait_for()


def leave(page: "Page") -> None:
    """Leave the page while waiting: one that shows a run at work never stops drawing, which takes
    up a core."""
    page.goto("about:blank")


def cancel(page: "Page") -> None:
    """On the run's page: Cancel, then Confirm."""
    page.get_by_role("button", name="Cancel", exact=True).click()
    with page.expect_response("**/set_state"):
        page.locator(".p-modal").get_by_role("button", name="Confirm").click()


def run_again(page: "Page") -> None:
    """On the page of a run that has ended: Retry, twice."""
    page.get_by_role("button", name="Retry", exact=True).click()
    with page.expect_response("**/set_state"):
        page.locator(".p-modal").get_by_role("button", name="Retry", exact=True).click()


def open_artifact(page: "Page", address: str, artifact_id: str) -> None:
    """Open an artifact's page, and wait for its pictures."""
    page.goto(f"{address}/artifacts/artifact/{artifact_id}")
    page.locator("img[alt='the forecast']").wait_for()
    page.wait_for_function(
        "[...document.images].every(image => image.complete && image.naturalWidth > 0)"
    )
