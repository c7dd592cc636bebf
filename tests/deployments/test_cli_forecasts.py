"""`stockml forecast`: age, the prices that it begins from, the chance of a rise, what its night says of it."""

import json
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

import stockml
from deployments.cli.app import run
from stockml.evaluation.path_scores import LSTM
from stockml.forecasts.ledger import Ledger
from stockml.home import HomePaths
from stockml.models.pooled_regression import POOLED
from stockml.nights.record import night_path, write_night
from tests.support.commands import Captured, shown
from tests.support.nights import recorded_night
from tests.support.publishing import FRIDAY, HORIZON, LAST, SATURDAY, publish, record
from tests.support.recordings import recorded


@pytest.fixture(autouse=True)
def _saturday(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STOCKML_CLOCK", SATURDAY)


def test_a_forecast_shows_its_age_and_the_last_close_beside_the_mid_price(home: HomePaths, capsys: Captured) -> None:
    record(home, recorded("IBM").tail(300), date(2013, 3, 2))
    publish(home, LAST)
    age, prices, heads, tomorrow, *rows = shown(capsys, "forecast", "IBM").splitlines()
    assert age == "IBM: made after the close of 2013-03-01, 0 sessions ago"
    assert prices == "last close 202.91, last mid price 201.15; the forecast is of mid prices, (high + low) / 2"
    assert heads.split() == ["step", "session", "forecast", "80%", "interval"]
    assert tomorrow.split()[:3] == ["1", "2013-03-04", "201.35"]
    assert [row.split()[0] for row in rows[:6]] == ["5", "10", "20", "30", "40", "50"]
    found: dict[str, Any] = json.loads(shown(capsys, "forecast", "IBM", "--json"))
    assert (found["last_close"], found["last_value"]) == (202.91, pytest.approx(201.15))
    assert (found["age_sessions"], found["expired"], found["timing"]) == (0, False, "live")


def test_the_chance_of_a_rise_is_shown_beside_how_often_the_price_rose(home: HomePaths, capsys: Captured) -> None:
    publish(home, LAST)
    chance = "60% that the price is higher in 30 sessions"
    assert chance in shown(capsys, "forecast", "IBM").splitlines(), "without its night's record"
    [entry] = Ledger(home.ledger).entries("IBM")
    night = recorded_night(key=entry.key, forecast=entry.forecast)
    write_night(night, night_path(home.nights, "IBM", entry.key))
    told = " ".join(shown(capsys, "forecast", "IBM").split())
    assert f" {chance}; it was higher after " in told
    (path := night_path(home.nights, "IBM", entry.key)).write_bytes(b"{")
    assert run(["forecast", "IBM"]) == 0
    found = capsys.readouterr()
    assert chance in found.out.splitlines()
    assert found.err.startswith(f"stockml: its night's record is left out: {path}: expected a night's record, ")


@pytest.mark.parametrize(("publisher", "without"), [(LSTM, False), (POOLED, True)])
def test_a_forecast_whose_nights_record_is_kept_shows_its_outlook_and_its_author(
    home: HomePaths, capsys: Captured, publisher: str, without: bool
) -> None:
    """A network that forecasts a path has no share of the width, but does have a part in the forecast."""
    publish(home, LAST)
    [entry] = Ledger(home.ledger).entries("IBM")
    outlook = recorded_night().forecast.outlook
    said = replace(entry.forecast, outlook=outlook, weights=(0.0,) * HORIZON)
    night = recorded_night(key=entry.key, forecast=said, publisher=publisher)
    write_night(night, night_path(home.nights, "IBM", entry.key))
    told = shown(capsys, "forecast", "IBM")
    assert ("no network has a part in it" in told) is without
    assert outlook[0].place in told
    found: dict[str, Any] = json.loads(shown(capsys, "forecast", "IBM", "--json"))
    assert [each["sessions"] for each in found["outlook"]] == [5, 20, 50]


@pytest.mark.parametrize(
    ("limit", "of_its_night", "expired"),
    [([], None, False), ([], 4, True), (["--expires-after", "4"], None, True), (["--expires-after", "5"], 4, False)],
)
def test_an_old_forecast_is_called_expired_by_the_limit_given_or_else_its_nights(
    home: HomePaths, capsys: Captured, limit: list[str], of_its_night: int | None, expired: bool
) -> None:
    publish(home, FRIDAY)
    if of_its_night:
        [entry] = Ledger(home.ledger).entries("IBM")
        night = recorded_night(key=entry.key, forecast=entry.forecast)
        night = replace(night, settings={**night.settings, "ageing.old_forecast": of_its_night})
        write_night(night, night_path(home.nights, "IBM", entry.key))
    first, prices, *_ = shown(capsys, "forecast", "IBM", *limit).splitlines()
    made = "made after the close of 2013-02-22, 5 sessions ago"
    assert first == (f"IBM: expired: {made} (limit 4)" if expired else f"IBM: {made}")
    assert limit or first == f"IBM: {stockml.Home(home.root).forecast('IBM').attrs['age']}"
    assert prices.startswith("last mid price"), "there are no bars"
    assert json.loads(shown(capsys, "forecast", "IBM", "--json", *limit))["expired"] is expired
