"""`latest.parquet` and `latest.csv` hold every ticker's newest forecast, whole, whoever writes at
once."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime

import pandas as pd
import pytest

from stockml.forecasts.ledger import Ledger, LedgerEntry
from stockml.home import HomePaths
from stockml.nights import frames as page
from stockml.nights.frames import NAMES, latest, write_latest
from stockml.nights.record import night_path, write_night
from tests.support.nights import recorded_night
from tests.support.publishing import FRIDAY, LAST, publish

COLUMNS = "session ticker lead target close price median low_80 high_80 low_95 high_95 loss"


def test_a_row_a_ticker_and_lead_says_what_was_published_last_however_old(home: HomePaths) -> None:
    night = recorded_night("MSFT", date(2013, 2, 28))
    forecast = night.forecast
    assert forecast
    write_night(night, night_path(home.nights, "MSFT", night.key))
    at = datetime(2013, 3, 1, tzinfo=UTC)
    Ledger(home.ledger).publish(LedgerEntry("MSFT", night.key, at, forecast))
    publish(home, LAST)
    publish(home, FRIDAY, hours_later=500)  # an older session, run later
    write_latest(home)
    parquet, csv = (home.root / name for name in NAMES)
    found, plain = pd.read_parquet(parquet), pd.read_csv(csv, parse_dates=["session", "target"])
    pd.testing.assert_frame_equal(found, plain, check_dtype=False)
    assert [*found] == [*COLUMNS.split(), "touch_5", "touch_10"]
    assert all(name in (page.__doc__ or "") for name in found), "every column is told"
    leads = [(day, lead) for day in ("2013-03-01", "2013-02-28") for lead in range(1, 51)]
    assert [*zip(found["session"].astype(str), found["lead"], strict=True)] == leads
    ibm, row = found.iloc[0], found.iloc[69]
    assert (row["ticker"], row["target"].date()) == ("MSFT", forecast.sessions[19])
    assert (row["close"], row["price"]) == (forecast.last_close, "close")
    ends = (forecast.path[19], forecast.band(80).low[19], forecast.band(95).high[19])
    assert (row["median"], row["low_80"], row["high_95"]) == ends
    assert row["close"] * (1 - row["loss"]) == pytest.approx(row["low_80"], rel=0.05)
    assert [row["touch_5"], row["touch_10"]] == [each.shown for each in forecast.touches]
    assert pd.isna(ibm["touch_5"]), "the ledger keeps none"


def test_a_damaged_ledger_leaves_out_its_ticker_alone_and_an_empty_home_stays_empty(
    home: HomePaths,
) -> None:
    write_latest(home)
    assert not any((home.root / name).exists() for name in NAMES)
    publish(home, LAST)
    (home.ledger / "KO.parquet").write_bytes(b"damaged")
    assert latest(home)["ticker"].unique().tolist() == ["IBM"]


def test_of_many_writers_at_once_each_leaves_whole_files(home: HomePaths) -> None:
    publish(home, LAST)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write_latest, [home] * 8))
    parquet, csv = (home.root / name for name in NAMES)
    assert len(pd.read_parquet(parquet)) == len(pd.read_csv(csv)) == 50
    assert sorted(path.name for path in home.root.glob("*latest*")) == sorted(NAMES)
