"""Past nights from Prefect's page: the form as it stands replays the newest years that the store has."""

from datetime import UTC, date, datetime
from pathlib import Path

import pandas as pd
import pytest

from flows.studies import backtest
from stockml.home import Home
from stockml.prices.calendar import sessions_for
from stockml.prices.store import BarStore
from tests.support.recordings import recorded
from tests.support.replaying import fill


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
def test_the_form_of_past_nights_as_it_stands_takes_what_a_home_of_a_few_years_has(home: Home) -> None:
    """Its dates were 2009 to 2012, when the history of a new home has not begun."""
    days = sessions_for("IBM").between(date(2021, 1, 4), date(2026, 11, 20))
    bars = recorded("IBM").iloc[-len(days) :].set_axis(pd.DatetimeIndex(days, name="session"))
    source = {"recorded_at": datetime(2026, 11, 21, tzinfo=UTC), "source": "test", "session": days[-1]}
    BarStore.of(home).append("IBM", bars, **source)
    state = backtest([], every=16, return_state=True)
    assert state.name == "Completed", state.message
    table = state.result()
    assert "2023-11-13" <= table.first <= "2023-12-31"
    assert str(days[-51 - 16]) <= table.last <= str(days[-51])


@pytest.mark.usefixtures("prefect_server")
def test_where_no_ticker_of_the_store_can_be_read_the_run_says_why(home: Home) -> None:
    fill(home, ["IBM"])
    Path(BarStore.of(home).path("IBM")).write_bytes(b"cut short")
    state = backtest([], return_state=True)
    assert "all of them are left out: " in str(state.message)
    assert "IBM.parquet: expected a readable Parquet file of bars, found damage" in str(state.message)
