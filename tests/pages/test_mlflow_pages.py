"""What a person sees: three nights of one ticker as charts, side by side, and one night's run with
its plots."""

from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import TYPE_CHECKING

import pytest

from stockml.nights.key_figures import keep_newest
from stockml.nights.status import markdown, rows
from stockml.plots import forecast, style
from stockml.tracking.client import Tracking
from stockml.tracking.views import EXPERIMENT
from tests.pages.mlflow_pages import compare, open_charts, open_run, open_table, runs_of
from tests.support.chromium import wait_for_texts
from tests.support.nights import recorded_night, series_until, with_files
from tests.support.own_servers import mlflow_server

if TYPE_CHECKING:
    pass

pytestmark = pytest.mark.slow

DAYS = (date(2013, 2, 26), date(2013, 2, 27), date(2013, 2, 28))


@dataclass(frozen=True)
class Pages:
    """A server over a home with three nights. runs: name → id, newest first."""

    address: str
    overview_id: str
    experiment_id: str
    runs: dict[str, str]


@pytest.fixture(scope="module")
def pages(installation):
    tracking = Tracking(installation)
    for day in DAYS:
        night, series = recorded_night(day=day), series_until("IBM", day)
        assert night.forecast
        folder = installation.plots / "IBM" / str(day)
        draw = partial(forecast.forecast_fan, "IBM", night.forecast, series.sessions, series.close)
        style.save({"forecast": draw}, folder)
        night = recorded_night(
            day=day, plots_folder=str(folder), figures=("calibration", "forecast")
        )
        night = tracking.keep_and_log(with_files(night, installation.root / str(day)))
        keep_newest(installation.nights, night)
    listed = rows(installation, ["IBM"], night.finished_at)
    tracking.show_overview(lambda links: markdown(listed, links=links))
    with tracking.client() as client:
        overview = client.get_experiment_by_name(EXPERIMENT).experiment_id
    with mlflow_server(installation) as address:
        yield Pages(address, overview, *runs_of(tracking, "IBM"))


def test_the_link_opens_the_table_it_has_charts_and_three_nights_can_be_compared(pages, page):
    names = [f"IBM {day} fine-tune" for day in reversed(DAYS)]
    assert list(pages.runs) == names
    open_table(page, pages.address, pages.experiment_id)
    for name in ("close", "low_20", "high_20", "network_adds", "training_adds", "skill"):
        page.get_by_role("columnheader", name=name, exact=True).first.wait_for()
    wait_for_texts(page, *names)
    shown = page.inner_text("body")
    assert sorted(names, key=shown.index) == names, "the newest session first"
    open_charts(page, pages.address, pages.experiment_id)
    wait_for_texts(page, *names, "band80", "close", "high_20")
    compare(page, names)
    wait_for_texts(page, *names, "band80", "network_adds", "rmse_average", "width_by")
    chart = page.locator(".js-plotly-plot").first  # it opens with something to see
    for axis in ("session", "band80", *map(str, DAYS)):
        chart.get_by_text(axis).first.wait_for()


def test_all_tickers_are_on_one_page_with_their_track_records(pages, page):
    open_charts(page, pages.address, pages.overview_id)
    wait_for_texts(page, "network_adds", "IBM")
    open_table(page, pages.address, pages.overview_id)
    wait_for_texts(page, "The network's gain is beyond luck on")


def test_the_run_page_has_the_verdict_the_table_and_the_plots(pages, installation, page):
    page.set_viewport_size({"width": 1280, "height": 900})
    run_id, folder = next(iter(pages.runs.values())), installation.plots / "IBM" / str(DAYS[-1])
    open_run(page, pages.address, pages.experiment_id, run_id)
    wait_for_texts(page, "IBM 2013-02-28 fine-tune", "IBM closed at 200.83", "network adds: +")
    wait_for_texts(page, "standard average")
    assert [path.name for path in folder.iterdir()] == ["forecast.png"]
