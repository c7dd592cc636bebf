"""A person's evening: be refused in Prefect's form, start a night with changed settings, see it complete, find it in
MLflow's page with its metrics and plots. With STOCKML_IMAGES the README's pictures are taken on the way."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import mlflow_pages
from tests.mlflow_pages import CHROMIUM, browser_page, open_charts
from tests.pages import Up, up
from tests.prefect_pages import fill, open_artifact, open_form, open_run, submit

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="Chromium is not installed: apt-get install chromium"),
]
STEPS = 9  # fetch to publish
IMAGES = os.environ.get("STOCKML_IMAGES")


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    with up(tmp_path_factory.mktemp("home")) as running:
        yield running


def test_the_form_says_bounds_and_refuses_what_is_out_of_them(pages: Up) -> None:
    with browser_page() as page:
        open_form(page, pages.prefect, "IBM")
        assert "Passes over the training part, 1 to 1000" in page.inner_text("body")
        fill(page, "ticker (Optional)", "../etc")
        submit(page)
        page.get_by_text("'../etc' does not match").first.wait_for()
        fill(page, "ticker (Optional)", "IBM")
        fill(page, "Epochs (Optional)", "0")
        submit(page)
        page.get_by_text("minimum of 1").first.wait_for()
    assert pages.runs() == []


def test_a_night_started_in_the_page_is_found_in_mlflow(pages: Up) -> None:
    with browser_page() as page:
        open_form(page, pages.prefect, "IBM")
        fill(page, "Epochs (Optional)", "2")
        submit(page)
        run = pages.finished(1)
        assert (run["name"], run["state_name"]) == ("IBM 2013-03-01", "Completed")
        open_run(page, pages.prefect, run["id"])
        page.get_by_text("retrain IBM 2013-03-01").first.wait_for()
        picture(page, "prefect-night.png")
        artifact = pages.artifact("night-ibm")
        open_artifact(page, pages.prefect, artifact["id"])
        picture(page, "prefect-summary.png")
        assert "standard average" in page.inner_text("body")
        link = re.search(r"\((http\S+)/#/experiments/(\d+)/runs/(\w+)\S*\)", artifact["data"])
        assert link
        assert link[1] == pages.mlflow
        mlflow_pages.open_run(page, *link.groups())
        picture(page, "mlflow-night.png")
        shown = page.inner_text("body")
        assert "IBM 2013-03-01 retrain" in shown
        assert "training.epochs" in shown
        open_charts(page, pages.mlflow, link[2])
        assert "answer/beats_last_value_pct" in page.inner_text("body")


def test_the_same_night_again_is_served_from_the_cache(pages: Up) -> None:
    with browser_page() as page:
        open_form(page, pages.prefect, "IBM")
        fill(page, "Epochs (Optional)", "2")
        submit(page)
        run = pages.finished(2)
    assert run["state_name"] == "Completed"
    assert pages.states(run["id"], STEPS) == {"Cached"}


def picture(page: "object", name: str) -> None:
    if IMAGES:
        page.screenshot(path=str(Path(IMAGES) / name))  # type: ignore[attr-defined]
