"""MLflow's pages in headless Chromium: the charts of a ticker's nights, a comparison of three, one
night's run.

`python -m tests.pages.mlflow_pages HOME FOLDER` writes the pictures that the docs show, from the
nights of a real home.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from stockml.home import current_home
from stockml.tracking.client import Tracking, run_url
from stockml.tracking.views import EXPERIMENT, view_url
from tests.support.chromium import browser_page, chromium, keep_picture
from tests.support.own_servers import mlflow_server

if TYPE_CHECKING:
    from playwright.sync_api import Page


def runs_of(tracking: Tracking, ticker: str) -> tuple[str, dict[str, str]]:
    """The ticker's experiment, and its runs by name, newest first."""
    with tracking.client() as client:
        experiment = client.get_experiment_by_name(f"stockml/{ticker}")
        found = client.search_runs(
            [experiment.experiment_id], order_by=["attributes.start_time DESC"]
        )
    return experiment.experiment_id, {run.info.run_name: run.info.run_id for run in found}


def open_table(page: "Page", address: str, experiment_id: str) -> None:
    """Open the link given by the summaries and by `make up`: the runs, with the columns that
    matter."""
    page.goto(view_url(address, experiment_id))
    page.get_by_role("columnheader", name="Run Name").first.wait_for()


def open_charts(page: "Page", address: str, experiment_id: str) -> None:
    """Open the same view's charts, the most important first."""
    page.goto(view_url(address, experiment_id, charts=True))
    page.get_by_text("Model metrics").first.wait_for()
    page.locator(".js-plotly-plot .main-svg").first.wait_for()
    page.wait_for_function("document.querySelectorAll('.js-plotly-plot .main-svg').length >= 4")


def compare(page: "Page", names: list[str]) -> None:
    """Select the named runs and press Compare."""
    for name in names:
        row = page.get_by_role("row").filter(has_text=name)
        row.get_by_role("checkbox").first.check()
    page.get_by_role("button", name="Compare").click()
    page.get_by_text(f"Comparing {len(names)} Runs", exact=False).first.wait_for()


def open_run(page: "Page", address: str, experiment_id: str, run_id: str) -> None:
    """Open the run's page with its whole description: verdict, table, plots."""
    page.goto(run_url(address, experiment_id, run_id))
    page.get_by_text("Show more").click()
    page.locator("img[src*='forecast.png']").first.wait_for()
    page.wait_for_function(
        "[...document.images].every(image => image.complete && image.naturalWidth > 0)"
    )


def main(root: str, folder: str) -> None:
    installation = current_home({"STOCKML_HOME": root})
    tracking = Tracking(installation)
    experiment_id, runs = runs_of(tracking, "IBM")
    with mlflow_server(installation) as address, chromium() as browser:
        with tracking.client() as client:
            overview = client.get_experiment_by_name(EXPERIMENT).experiment_id
        with browser_page(browser) as page:
            open_charts(page, address, experiment_id)
            keep_picture(page, Path(folder, "mlflow-three-nights.png"))
            open_charts(page, address, overview)
            keep_picture(page, Path(folder, "mlflow-track-records.png"))
        with browser_page(browser, 1900, 1720) as page:
            open_run(page, address, experiment_id, next(iter(runs.values())))
            keep_picture(page, Path(folder, "mlflow-run.png"))


if __name__ == "__main__":
    main(*sys.argv[1:])
