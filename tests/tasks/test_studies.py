"""What is learned and measured off the nights: whose prices are read, and what is said while one waits."""

import pytest
from prefect import flow

from stockml.errors import StoreUnreadable
from stockml.home import Home
from stockml.prices.store import BarStore
from tasks.studies import read_prices
from tests.support.replaying import fill

pytestmark = pytest.mark.usefixtures("prefect_server")


@flow
def reading(tickers: list[str]) -> list[str]:
    return sorted(read_prices(tickers, None, None))


def test_of_all_tickers_one_that_cannot_be_read_is_left_out_and_said_but_not_one_that_was_named(
    home: Home, caplog: pytest.LogCaptureFixture
) -> None:
    fill(home, ["AAPL", "IBM"])
    damaged = BarStore(home.store, home.locks).path("IBM")
    with open(damaged, "wb") as file:
        file.write(b"no Parquet")
    assert reading([]) == ["AAPL"]
    assert f"IBM is left out: {damaged}" in caplog.text
    with pytest.raises(StoreUnreadable):
        reading(["IBM"])
