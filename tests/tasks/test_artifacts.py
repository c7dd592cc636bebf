"""What the rows of many nights say of a night that has no result, and where links to MLflow lead."""

from dataclasses import replace
from datetime import date
from uuid import UUID

import pytest
from prefect.settings import PREFECT_UI_URL, temporary_settings
from prefect.states import Cancelling, Pending, Running, State

from stockml.home import Home
from tasks.artifacts import mlflow_pages, prefect_page, row_of

DIED = "its worker process died twice; see the machine's memory"


@pytest.mark.parametrize(
    ("state", "outcome", "why"),
    [
        (Pending(), "Crashed", DIED),
        (Running(), "Crashed", DIED),
        (Cancelling(), "Cancelling", "ended in the state Cancelling"),
    ],
)
def test_a_night_that_a_person_cancels_is_not_said_to_have_died(state: State[object], outcome: str, why: str) -> None:
    """Prefect lets it run to its end beside the others, and then keeps it in that state."""
    row = row_of("IBM", date(2013, 3, 1), state)
    assert (row.status, row.outcome, row.why) == ("failed", outcome, why)


@pytest.mark.parametrize("address", ["https://me:secret@mlflow.example:5000", "https://mlflow.example:5000/"])
def test_links_to_mlflow_show_no_password(home: Home, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are kept in every night's record, and shown on its page."""
    monkeypatch.delenv("STOCKML_MLFLOW_PAGE", raising=False)
    assert mlflow_pages(replace(home, tracking_uri=address)) == "https://mlflow.example:5000"
    monkeypatch.setenv("STOCKML_MLFLOW_PAGE", address)
    assert mlflow_pages(home) == "https://mlflow.example:5000"


@pytest.mark.parametrize("address", ["https://me:secret@prefect.example", "https://prefect.example"])
def test_the_link_to_a_nights_run_in_prefect_shows_no_password(address: str) -> None:
    with temporary_settings({PREFECT_UI_URL: address}):
        assert prefect_page(UUID(int=1)) == f"https://prefect.example/runs/flow-run/{UUID(int=1)}"
