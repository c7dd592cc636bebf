"""For notebooks: data frames with documented columns, no server, no heavy library; the shipped
notebook is current. `latest.parquet` and `latest.csv` hold every ticker's newest forecast."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

import stockml
from stockml.errors import InvalidSetting, NoBars, NoForecast
from stockml.forecasts.ledger import Ledger, LedgerEntry
from stockml.nights import frames as page
from stockml.nights.frames import BOUNDS, NAMES, latest, write_latest
from stockml.nights.record import Night, night_path, write_night
from stockml.prices.bars import Split
from stockml.prices.store import BarStore
from tests.support.forecasts import bars, day, entry
from tests.support.nights import recorded_night
from tests.support.notebook import NOTEBOOK, outputs
from tests.support.old_homes import moved_to, restored_to
from tests.support.publishing import FRIDAY, LAST, SATURDAY, publish, record
from tests.support.recordings import recorded


@pytest.fixture
def unset(monkeypatch):
    for name in ("ALPHAVANTAGE_API_KEY", "STOCKML_CLOCK"):
        monkeypatch.delenv(name, raising=False)


def test_frames_show_what_the_home_holds(home, unset, tmp_path):
    moved_to(home.root)
    old = stockml.Home()
    assert old.tickers() == ("IBM",)
    bars, forecast, ledger = old.bars("ibm"), old.forecast("IBM"), old.ledger("IBM")
    assert bars["close"].equals(recorded("IBM")["close"])
    forecast.to_parquet(tmp_path / "it")
    assert pd.read_parquet(tmp_path / "it").attrs == forecast.attrs
    assert (len(ledger), ledger["actual"].isna().all()) == (50, True)
    prices = ["forecast", *BOUNDS]
    assert ledger[prices].to_numpy().tolist() == forecast[prices].to_numpy().tolist()
    assert (np.diff(forecast[["low_95", "low_80", "low_50", "forecast", "high_50"]]) > 0).all()
    assert ledger["lead"].tolist() == forecast["lead"].tolist() == [*range(1, 51)]
    for name in ("origin", "key", "probability_of_rise", "direction_step"):
        assert {*ledger[name].astype(str)} == {str(forecast.attrs[name])}
    assert ledger["last_close"].tolist() == pytest.approx([bars["close"].iloc[-1]] * 50)
    [night] = old.nights("IBM").reset_index().to_dict("records")
    assert (str(night["session"].date()), night["key"]) == ("2013-03-01", forecast.attrs["key"])
    assert night["forecast"] == pytest.approx(forecast["forecast"].iloc[-1], rel=1e-5)


def test_what_was_recorded_last_is_told_from_the_newest_and_from_what_was_known_before(home):
    """A split that came later, a night of an earlier session that was run after the newest
    one's."""
    store, then = BarStore.of(home), datetime(2013, 3, 1, tzinfo=UTC)
    for count, at in ((20, then), (21, then + timedelta(1))):
        store.append("IBM", bars(count), recorded_at=at, source="test", session=day(count - 1))
    store.record_splits("IBM", [Split(day(10), 1.02)], recorded_at=at, source="test")
    for origin, key in ((20, "a" * 64), (19, "b" * 64)):
        Ledger(home.ledger).publish(entry(origin, key, hours_later=(20 - origin) * 99))
    limit = {"ageing.old_forecast": 10}
    night = replace(Night.skipped("IBM", day(20), "", then), key="a" * 64, settings=limit)
    write_night(night, path := night_path(home.nights, "IBM", night.key))
    seen, raw = stockml.Home(home.root), bars(21)["close"].tolist()
    assert seen.bars("IBM", adjusted=False)["close"].tolist() == raw
    divided = [price / 1.02 for price in raw[:10]]
    assert seen.bars("IBM")["close"].tolist() == pytest.approx(divided + raw[10:])
    for adjusted in (True, False):
        assert seen.bars("IBM", adjusted=adjusted, as_of=then)["close"].tolist() == raw[:20]
    for frame in (seen.nights("IBM"), seen.nights("KO")):  # the one night published nothing
        assert frame.index.dtype == seen.bars("IBM").index.dtype
    newest = seen.forecast("IBM").attrs
    assert (newest["origin"], newest["key"]) == (str(day(20)), night.key)
    assert newest["age"].endswith("(limit 10)")
    path.unlink()
    assert seen.forecast("IBM").attrs["age"].endswith("(limit 5)"), "of a night that is gone"


def test_missing_data_is_an_error_that_names_the_home_searched(home):
    empty = stockml.Home(home.root)
    for frame in (empty.bars, empty.forecast):
        with pytest.raises((NoBars, NoForecast), match=str(home.root)):
            frame("KO")
    assert empty.nights("KO").empty
    assert repr(empty) == f"stockml.Home({str(home.root)!r})"
    assert not home.root.exists()


@pytest.mark.parametrize("adjusted", [True, False])
@pytest.mark.parametrize("wrong", ["2013-03-01", LAST])
def test_as_of_is_a_time_and_never_a_day_that_the_command_line_would_read_to_its_end(
    home, wrong, adjusted
):
    with pytest.raises(InvalidSetting, match="expected as_of to be a datetime, such as"):
        stockml.Home(home.root).bars("IBM", adjusted=adjusted, as_of=wrong)


@pytest.mark.usefixtures("unset")
def test_without_a_market_home_the_replays_home_is_used(home, monkeypatch):
    moved_to(home.root / "replay")
    for seen in (stockml.Home(), stockml.Home(home.root / "replay")):
        assert seen.forecast("IBM").attrs["age"].endswith("2013-03-01, 0 sessions ago")
    assert stockml.Home(home.root).tickers() == ()
    for at, told in (("05", "2013-03-01, 1 session ago"), ("12", "6 sessions ago (limit 5)")):
        monkeypatch.setenv("STOCKML_CLOCK", f"2013-03-{at}T06:00:00-05:00")
        assert stockml.Home().forecast("IBM").attrs["age"].endswith(told)


@pytest.mark.usefixtures("unset")
def test_a_size_is_that_of_the_newest_forecast(home, monkeypatch):
    record(home, recorded("IBM").tail(300), date(2013, 3, 2))
    publish(home, LAST, price="close")
    monkeypatch.setenv("STOCKML_CLOCK", SATURDAY)
    found = stockml.Home(home.root).size("ibm", capital=50_000, risk=0.01, lead=5)
    assert (found.ticker, found.origin, found.lead) == ("IBM", LAST, 5)
    assert found.at_risk <= 500


@pytest.mark.usefixtures("unset")
def test_the_shipped_notebook_shows_what_its_cells_output_today(home):
    restored_to(home.root)
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    kept = [cell["outputs"] for cell in cells if cell["cell_type"] == "code"]
    now = [*outputs(cells)]
    for of_cell in (*kept, *now):
        for shown in of_cell:  # a PNG's bytes depend on the fonts and the machine
            shown.get("data", {}).pop("image/png", None)
    assert now == kept, "regenerate it with `python -m tests.support.notebook`"


def test_a_row_a_ticker_and_lead_says_what_was_published_last_however_old(home):
    night = recorded_night("MSFT", date(2013, 2, 28))
    forecast = night.forecast
    write_night(night, night_path(home.nights, "MSFT", night.key))
    at = datetime(2013, 3, 1, tzinfo=UTC)
    Ledger(home.ledger).publish(LedgerEntry("MSFT", night.key, at, forecast))
    publish(home, LAST)
    publish(home, FRIDAY, hours_later=500)  # an older session, run later
    write_latest(home)
    parquet, csv = (home.root / name for name in NAMES)
    found, plain = pd.read_parquet(parquet), pd.read_csv(csv, parse_dates=["session", "target"])
    pd.testing.assert_frame_equal(found, plain, check_dtype=False)
    assert all(name in page.__doc__ for name in found), "every column is told"
    leads = [(day, lead) for day in ("2013-03-01", "2013-02-28") for lead in range(1, 51)]
    assert [*zip(found["session"].astype(str), found["lead"], strict=True)] == leads
    of_80, of_95 = forecast.band(80), forecast.band(95)
    figures = {
        "close": forecast.last_close,
        "median": forecast.path[19],
        "low_80": of_80.low[19],
        "high_80": of_80.high[19],
        "low_95": of_95.low[19],
        "high_95": of_95.high[19],
        **{f"touch_{each.fall * 100:.0f}": each.shown for each in forecast.touches},
    }
    assert found.iloc[69][[*figures]].to_dict() == figures
    row = found.iloc[69]
    told = (row["ticker"], row["price"], row["target"].date())
    assert told == ("MSFT", "close", forecast.sessions[19])
    assert row["close"] * (1 - row["loss"]) == pytest.approx(row["low_80"], rel=0.05)
    assert pd.isna(found["touch_5"][0]), "the ledger keeps none"


def test_a_damaged_ledger_leaves_out_its_ticker_alone_and_an_empty_home_stays_empty(home):
    write_latest(home)
    assert not any((home.root / name).exists() for name in NAMES)
    publish(home, LAST)
    (home.ledger / "KO.parquet").write_bytes(b"damaged")
    assert latest(home)["ticker"].unique().tolist() == ["IBM"]
