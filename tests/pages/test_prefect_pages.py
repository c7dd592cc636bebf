"""A person's evening: be refused by Prefect's form, start a night with changed settings, see it
complete, find it on MLflow's page with its metrics and plots; `stockml up` from start to end. With
STOCKML_IMAGES set, the README's pictures are taken on the way."""

import os
import re
import signal
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from stockml.evaluation.path_scores import LSTM
from stockml.home import current_home as home_of
from stockml.nights import summary
from stockml.nights.key_figures import KeyFigures
from stockml.nights.status import TickerRow, last_run, markdown
from tests.pages import mlflow_pages
from tests.pages.mlflow_pages import open_charts
from tests.pages.prefect_pages import (
    cancel,
    fill,
    leave,
    open_artifact,
    open_form,
    open_run,
    run_again,
    start,
    submit,
)
from tests.pages.prefect_session import epochs_of, up
from tests.support.chromium import keep_picture, wait_for_texts
from tests.support.night_process import held_locks, standing, stored
from tests.support.nights import recorded_night
from tests.support.patience import PATIENCE_S, until
from tests.support.prefect_server import EVERY_SECOND

if TYPE_CHECKING:
    pass

pytestmark = pytest.mark.slow
MANY = 16  # epochs: long enough to be cancelled, short enough to be waited for
# the tutorial trains in epochs
LONG = {"training": {"epochs": MANY}, "network": {"units": [16], "look_back": 10}}


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Both pages and a worker."""
    with up(
        tmp_path_factory.mktemp("home"), **EVERY_SECOND, PREFECT_WORKER_QUERY_SECONDS="1"
    ) as running:
        yield running


def test_a_form_shows_bounds_and_refuses_values_outside_them(pages, page):
    for deployment, label, shown in REFUSED:
        open_form(page, pages.prefect, deployment)
        if deployment == "tutorial":
            fill(page, "ticker", "IBM")
        fill(page, label, "0")
        submit(page)
        wait_for_texts(page, "minimum of 1", shown)
        if deployment == "tutorial":
            picture(page, "prefect-refusal.png")
    assert [pages.runs(flow) for flow in ("nightly", "backtest", "maintenance")] == [[], [], []]


REFUSED = (
    (
        "tutorial",
        "Epochs (Optional)",
        "Passes over the training part (tutorial profile only). 1 to 1,000; usually 30",
    ),
    ("replay past nights", "every (Optional)", "less than the minimum of 1"),
    (
        "weekly clean-up",
        "mlflow_trash_days (Optional)",
        "The provider's answers; they can be parsed again. 1 to 36,500; usually 400",
    ),
)


def test_a_night_started_in_the_page_is_found_in_mlflow(pages, page):
    open_form(page, pages.prefect, "IBM")
    start(page)
    leave(page)
    run = pages.finished(1)
    assert (run["name"], run["state_name"]) == ("IBM 2013-03-01", "Completed")
    open_run(page, pages.prefect, run["id"])
    page.get_by_text(re.compile("(retrain|pretrained) IBM 2013-03-01")).first.wait_for()
    picture(page, "prefect-night.png")
    artifact = pages.artifact("night-ibm")
    open_artifact(page, pages.prefect, artifact["id"])
    picture(page, "prefect-summary.png", height=1500)
    wait_for_texts(page, "standard average")
    link = re.search(r"\((http\S+)/#/experiments/(\d+)/runs/(\w+)\S*\)", artifact["data"])
    assert link
    assert link[1] == pages.mlflow
    mlflow_pages.open_run(page, *link.groups())
    page.get_by_text(re.compile("IBM 2013-03-01 (retrain|pretrained)")).first.wait_for()
    wait_for_texts(page, "width_by")
    open_charts(page, pages.mlflow, link[2])
    wait_for_texts(page, "network_adds")


def family(run):
    """The run's process, which the worker has started, and those that it has started."""
    process = psutil.Process(int(run["infrastructure_pid"].rpartition(":")[2]))
    assert "worker start" in " ".join(process.parent().cmdline())
    return [process, *process.children(recursive=True)]


@contextmanager
def standing_still(processes):
    """Suspend them until the first has been told to end, however long a person looks for the
    button."""
    for process in processes:
        process.suspend()
    try:
        yield
        until(lambda: is_told_to_end(processes[0]))
    finally:
        for process in processes:
            process.resume()


def is_told_to_end(process):
    """Whether SIGTERM waits for the process, which is suspended."""
    pending = re.search(
        r"^ShdPnd:\s+(\w+)", Path(f"/proc/{process.pid}/status").read_text(), re.MULTILINE
    )
    assert pending
    return bool(int(pending[1], 16) & 1 << signal.SIGTERM - 1)


def nothing_is_left(pages, processes):
    """Check that no process, no lock, and no run recorded as at work is left."""
    psutil.wait_procs(processes, timeout=PATIENCE_S)
    assert [process for process in processes if process.is_running()] == []
    assert [lock.name for lock in held_locks(home_of({"STOCKML_HOME": str(pages.home)}))] == [
        "up.lock"
    ]
    at_work = {"state": {"type": {"any_": ["RUNNING", "PENDING", "CANCELLING"]}}}
    ours = {"name": {"any_": ["nightly", "universe"]}}
    assert pages.api("/flow_runs/filter", {"flow_runs": at_work, "flows": ours}) == []


@pytest.mark.campaign
def test_a_training_cancelled_in_the_page_continues_where_it_was_when_it_is_retried(pages, page):
    home = home_of({"STOCKML_HOME": str(pages.home)})
    run_id = pages.start("nightly/tutorial", ticker="AAPL", settings=LONG)
    run = pages.until(run_id, "Running")
    kept = pages.training("AAPL")
    processes = family(run)
    with standing_still(processes):
        bars = stored(home, "AAPL")
        open_run(page, pages.prefect, run_id)
        cancel(page)
    leave(page)
    pages.until(run_id, "Cancelled")
    ended = last_run(home.nights, "AAPL")
    assert ended
    assert ended.text == "cancelled: Flow run was cancelled."
    open_run(page, pages.prefect, run_id)
    page.get_by_role("button", name="Retry", exact=True).wait_for()
    nothing_is_left(pages, processes)
    pages.at_rest()
    assert stored(home, "AAPL") == bars
    reached, told = epochs_of(kept), len(pages.epochs(run_id))
    assert 3 <= reached < MANY
    run_again(page)
    leave(page)
    run = pages.until(run_id, "Completed", "Failed", "Crashed")
    assert (run["state_name"], run["run_count"]) == ("Completed", 2)
    assert pages.epochs(run_id)[told] == reached + 1
    found = standing(home, "AAPL")
    assert found.runs == tuple((key, "FINISHED") for key in found.entries)
    assert [len(each) for each in (found.runs, found.versions, found.entries)] == [1, 1, 1]


@pytest.mark.campaign
def test_a_universe_cancelled_in_the_page_stops_its_workers_and_ends_its_nights(pages, page):
    """The night at work ends as Crashed where the universe finds its worker gone, and as Cancelled
    where it still says so itself; either way it has published and logged nothing."""
    asked = {"tickers": ["MSFT", "GOOG"], "processes": 1, "profile": "tutorial", "settings": LONG}
    run_id = pages.start("universe/all tickers, one night", **asked)
    run = pages.until(run_id, "Running")
    pages.training("[GM]*", epochs=1)  # one of them; the other waits
    open_run(page, pages.prefect, run_id)
    processes = family(run)
    assert len(processes) > 1
    cancel(page)
    leave(page)
    pages.until(run_id, "Cancelled")
    nothing_is_left(pages, processes)
    [night] = (run for run in pages.runs() if run["parameters"]["ticker"] in ("MSFT", "GOOG"))
    assert night["state_name"] in ("Cancelled", "Crashed")
    found = standing(home_of({"STOCKML_HOME": str(pages.home)}), night["parameters"]["ticker"])
    assert found.rows
    assert (found.runs, found.versions, found.entries, found.promotions) == ((), (), (), ())


def widest():
    """A morning with the longest cells that an ordinary night has."""
    figures = replace(
        KeyFigures.of(recorded_night()),
        path_adds=None,
        published_skill=-0.0551,
        width_against_usual=1.2,
        publisher=LSTM,
        network_adds=-0.0031,
        network_adds_p=0.4,
    )
    wednesday = datetime(2013, 2, 27, 4, tzinfo=UTC)
    known = (figures.session, "no night yet", None, False, figures, wednesday, "unreadable")
    return [TickerRow("TSCO.LON", *known)]


CUT_OFF = """() => [...document.querySelectorAll(".markdown-renderer__table")].flatMap(table => [
    ...table.querySelectorAll("th, td")].filter(cell => {
        const text = document.createRange()
        text.selectNodeContents(cell)
        return text.getBoundingClientRect().right > table.getBoundingClientRect().right
    }).map(cell => cell.innerText))"""


def test_no_figure_of_a_page_is_cut_off(pages, page):
    night = summary.markdown(recorded_night()).replace("&emsp;", " ")
    for text, last in ((markdown(widest()), "next run"), (night, "width alone")):
        made = pages.api("/artifacts/", {"key": "text", "type": "markdown", "data": text})
        page.goto(f"{pages.prefect}/artifacts/artifact/{made['id']}")
        page.get_by_text(last).first.wait_for()
        for width in (1280, 1600):
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate(CUT_OFF) == [], (last, width)


def test_every_automation_says_what_sets_it_off(pages, page):
    page.goto(f"{pages.prefect}/automations")
    page.wait_for_function("document.body.innerText.split('Trigger').length == 14")
    wait_for_texts(page, "stockml: silent runs", "When any flow run")


def picture(page, name, height=1000):
    """Take a picture for docs/images if STOCKML_IMAGES is set."""
    if folder := os.environ.get("STOCKML_IMAGES"):
        page.set_viewport_size({"width": 1600, "height": height})
        keep_picture(page, Path(folder) / name)
