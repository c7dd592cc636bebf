"""What the rows of many nights say of a night that has no result, and where links to MLflow
lead."""

from dataclasses import replace
from datetime import date

import pytest
from prefect import flow
from prefect.states import Cancelling

from tasks.artifacts import mlflow_pages, night_callback, row_of, show_night
from tests.support.nights import recorded_night
from tests.support.prefect_server import artifacts_refused


def test_a_night_that_did_not_end_is_told_by_the_state_that_it_is_in():
    row = row_of("IBM", date(2013, 3, 1), Cancelling())
    assert (row.status, row.outcome) == ("failed", "Cancelling")


@pytest.mark.parametrize(
    "address", ["https://me:secret@mlflow.example:5000", "https://mlflow.example:5000/"]
)
def test_links_to_mlflow_show_no_password(home, address, monkeypatch):
    """They are kept in every night's record, and shown on its page."""
    monkeypatch.delenv("STOCKML_MLFLOW_PAGE", raising=False)
    assert mlflow_pages(replace(home, tracking_uri=address)) == "https://mlflow.example:5000"
    monkeypatch.setenv("STOCKML_MLFLOW_PAGE", address)
    assert mlflow_pages(home) == "https://mlflow.example:5000"


@pytest.mark.slow
@pytest.mark.usefixtures("home", "prefect_server")
def test_a_night_whose_page_prefect_refuses_is_complete_all_the_same(caplog):
    """It was told as failed, although it was published and logged; many ended before the first."""

    @flow(name="toy night of a refused page")
    def toy():
        nights = night_callback("toy", 3)
        for _ in range(3):
            nights()
        show_night(recorded_night())

    with artifacts_refused():
        state = toy(return_state=True)
    assert (state.name, state.message) == ("Completed", None)
    told = [each.levelname for each in caplog.records if "did not take all" in each.message]
    assert told.count("WARNING") == 3, "for the bar of all nights, a night's text and its scores"
