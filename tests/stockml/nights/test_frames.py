"""For notebooks: data frames with documented columns, no server, no heavy library; the shipped
notebook is current."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import stockml
from stockml.errors import InvalidSetting, NoBars, NoForecast
from stockml.forecasts.ledger import Ledger
from stockml.home import HomePaths
from stockml.nights.frames import BOUNDS
from stockml.nights.record import Night, night_path, write_night
from stockml.prices.bars import Split
from stockml.prices.store import BarStore
from tests.support.forecasts import bars, day, entry
from tests.support.notebook import NOTEBOOK, outputs
from tests.support.old_homes import moved_to, restored_to
from tests.support.publishing import LAST, SATURDAY, publish, record
from tests.support.recordings import recorded


@pytest.fixture
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ALPHAVANTAGE_API_KEY", "STOCKML_CLOCK"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def old(home: HomePaths, unset: None) -> stockml.Home:
    moved_to(home.root)
    return stockml.Home()


def test_frames_show_what_the_home_holds(old: stockml.Home, tmp_path: Path) -> None:
    assert old.tickers() == ("IBM",)
    assert old.bars("ibm")["close"].equals(recorded("IBM")["close"])
    forecast = old.forecast("IBM")
    assert forecast["lead"].tolist() == list(range(1, 51))
    assert (forecast["low_95"] < forecast["low_80"]).all()
    assert forecast["forecast"].between(forecast["low_50"], forecast["high_50"]).all()
    assert (forecast.attrs["origin"], forecast.attrs["direction_step"]) == ("2013-03-01", 30)
    forecast.to_parquet(tmp_path / "forecast.parquet")
    assert pd.read_parquet(tmp_path / "forecast.parquet").attrs == forecast.attrs
    ledger = old.ledger("IBM")
    assert (len(ledger), ledger["actual"].isna().all()) == (50, True)
    prices = ["forecast", *BOUNDS]
    assert ledger[prices].to_numpy().tolist() == forecast[prices].to_numpy().tolist()
    for name in ("key", "probability_of_rise", "direction_step"):
        assert set(ledger[name]) == {forecast.attrs[name]}
    nights = old.nights("IBM").reset_index().rename(columns={"session": "origin"})
    assert len(ledger.merge(nights, on=["origin", "key"])) == 50
    assert ledger["last_close"].tolist() == pytest.approx([old.bars("IBM")["close"].iloc[-1]] * 50)
    assert nights["forecast"].tolist() == pytest.approx([forecast["forecast"].iloc[-1]], rel=1e-5)


def test_what_was_recorded_last_is_told_from_the_newest_and_from_what_was_known_before(
    home: HomePaths,
) -> None:
    """A split that came later, a night of an earlier session that was run after the newest
    one's."""
    store, then = BarStore.of(home), datetime(2013, 3, 1, tzinfo=UTC)
    for count, at in ((20, then), (21, then + timedelta(1))):
        store.append("IBM", bars(count), recorded_at=at, source="test", session=day(count - 1))
    store.record_splits(
        "IBM", [Split(day(10), 1.02)], recorded_at=then + timedelta(1), source="test"
    )
    for at, key in ((20, "a" * 64), (19, "b" * 64)):
        Ledger(home.ledger).publish(entry(at, key, hours_later=(20 - at) * 99))
        limit = {"ageing.old_forecast": 30 - at}
        night = replace(Night.skipped("IBM", day(at), "", then), key=key, settings=limit)
        write_night(night, night_path(home.nights, "IBM", key))
    seen, raw = stockml.Home(home.root), bars(21)["close"].tolist()
    assert seen.bars("IBM", adjusted=False)["close"].tolist() == raw
    assert seen.bars("IBM")["close"].tolist() == pytest.approx(
        [price / 1.02 for price in raw[:10]] + raw[10:]
    )
    for adjusted in (True, False):
        assert seen.bars("IBM", adjusted=adjusted, as_of=then)["close"].tolist() == raw[:20]
    nights = seen.nights("IBM")
    assert nights.loc[str(day(20)) :, "key"].tolist() == ["a" * 64]
    for frame in (nights, seen.nights("KO")):  # these nights published nothing
        assert frame.index.dtype == seen.bars("IBM").index.dtype
        assert not (frame["skill"] > 0).any()
    newest, published_at = seen.forecast("IBM").attrs, entry(20).published_at.isoformat()
    assert (newest["origin"], newest["published_at"]) == (str(day(20)), published_at)
    assert newest["age"].endswith("(limit 10)")
    night_path(home.nights, "IBM", "a" * 64).unlink()
    assert seen.forecast("IBM").attrs["age"].endswith("(limit 5)"), "of a night that is gone"


def test_missing_data_is_an_error_that_names_the_home_searched(home: HomePaths) -> None:
    empty = stockml.Home(home.root)
    for frame in (empty.bars, empty.forecast):
        with pytest.raises((NoBars, NoForecast), match=str(home.root)):
            frame("KO")
    assert empty.nights("KO").empty
    assert repr(empty) == f"stockml.Home({str(home.root)!r})"
    assert not home.root.exists()


@pytest.mark.parametrize("wrong", ["2013-03-01", date(2013, 3, 1)])
def test_as_of_is_a_time_and_never_a_day_that_the_command_line_would_read_to_its_end(
    home: HomePaths, wrong: Any
) -> None:
    for adjusted in (True, False):
        with pytest.raises(InvalidSetting, match="expected as_of to be a datetime, such as"):
            stockml.Home(home.root).bars("IBM", adjusted=adjusted, as_of=wrong)


@pytest.mark.usefixtures("unset")
def test_without_a_market_home_the_replays_home_is_used(
    home: HomePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved_to(home.root / "replay")
    for seen in (stockml.Home(), stockml.Home(home.root / "replay")):
        assert seen.forecast("IBM").attrs["age"].endswith("2013-03-01, 0 sessions ago")
    assert stockml.Home(home.root).tickers() == ()
    for at, told in (("05", "2013-03-01, 1 session ago"), ("12", "6 sessions ago (limit 5)")):
        monkeypatch.setenv("STOCKML_CLOCK", f"2013-03-{at}T06:00:00-05:00")
        assert stockml.Home().forecast("IBM").attrs["age"].endswith(told)


@pytest.mark.usefixtures("unset")
def test_a_size_is_that_of_the_newest_forecast(
    home: HomePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(home, recorded("IBM").tail(300), date(2013, 3, 2))
    publish(home, LAST, price="close")
    monkeypatch.setenv("STOCKML_CLOCK", SATURDAY)
    found = stockml.Home(home.root).size("ibm", capital=50_000, risk=0.01, lead=5)
    assert (found.ticker, found.origin, found.lead) == ("IBM", LAST, 5)
    assert found.at_risk <= 500


@pytest.mark.usefixtures("unset")
def test_the_shipped_notebook_shows_what_its_cells_output_today(home: HomePaths) -> None:
    restored_to(home.root)
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    kept = [cell["outputs"] for cell in cells if cell["cell_type"] == "code"]
    assert [[without_picture(each) for each in shown] for shown in outputs(cells)] == [
        [without_picture(each) for each in shown] for shown in kept
    ], "regenerate it with `python -m tests.support.notebook`"


def without_picture(shown: dict[str, object]) -> object:
    """The output without its PNG, whose bytes depend on the fonts and the machine."""
    data = shown.get("data")
    if not isinstance(data, dict):
        return shown
    return {**shown, "data": {name: part for name, part in data.items() if name != "image/png"}}
