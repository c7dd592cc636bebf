"""`stockml forecast` and `stockml ledger`: age, counts before figures, live apart from late, restatements."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

import stockml
from deployments.cli.app import run
from stockml.evaluation.evaluate import LSTM
from stockml.forecasts.forecast import Band, Forecast
from stockml.forecasts.ledger import Ledger, LedgerEntry
from stockml.forecasts.ledger_scores import first_known
from stockml.home import Home
from stockml.models.pooled_regression import POOLED
from stockml.nights.record import night_path, write_night
from stockml.pipeline.log import live_metrics
from stockml.prices.bars import PRICES, Bars, Split
from stockml.prices.calendar import sessions_for
from stockml.prices.series import PriceSeries
from stockml.prices.store import BarStore
from tests.support.nights import recorded_night
from tests.support.recordings import recorded_bars

HORIZON, DIRECTION = 50, 30
NEW_YORK = sessions_for("IBM")
FRIDAY, LAST = date(2013, 2, 22), date(2013, 3, 1)
Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _saturday(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the clock to noon in New York on the day after the recording's last session."""
    monkeypatch.setenv("STOCKML_CLOCK", "2013-03-02T12:00:00-05:00")


def record(home: Home, bars: Bars, at: date, ticker: str = "IBM") -> None:
    store, recorded_at = BarStore.of(home), datetime.combine(at, time(4), UTC)
    store.append(ticker, bars, recorded_at=recorded_at, source="test", session=bars.index[-1].date())


def publish(home: Home, origin: date, hours_later: float = 0.0, ticker: str = "IBM") -> None:
    """Publish a path that rises by a thousandth a session, at 04:00 UTC after its session, plus `hours_later`."""
    bar = recorded_bars("IBM").loc[str(origin)]
    last, lead = (bar["high"] + bar["low"]) / 2, np.arange(1, HORIZON + 1)
    path = last * (1 + lead / 1_000)
    bands = tuple(
        Band(band, tuple((path * (1 - width)).tolist()), tuple((path * (1 + width)).tolist()))
        for band, width in ((50, 0.02), (80, 0.04), (95, 0.06))
    )
    sessions = sessions_for(ticker).after(origin, HORIZON)
    said = Forecast(origin, last, sessions, tuple(path.tolist()), bands, 0.6, (0.5,) * HORIZON, DIRECTION)
    published = datetime.combine(origin, time(4), UTC) + timedelta(days=1, hours=hours_later)
    Ledger(home.ledger).publish(LedgerEntry(ticker, f"{origin} {hours_later}", published, said))


def shown(capsys: Captured, *arguments: str) -> str:
    assert run(list(arguments)) == 0
    return capsys.readouterr().out


def test_every_page_judges_timing_by_the_nights_own_calendar(
    home: Home, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """London was open on Presidents' Day, so the forecast came after its open; `tickers.yaml` had told the night so."""
    friday, monday = date(2013, 2, 15), date(2013, 2, 18)
    monkeypatch.setenv("STOCKML_CLOCK", "2013-02-19T05:00:00-05:00")
    record(home, recorded_bars("IBM").loc[:"2013-02-15"].tail(300), date(2013, 2, 16), "VOD")
    said = recorded_night().forecast
    assert said
    due = sessions_for("VOD", "XLON").after(friday, len(said.sessions))
    forecast = replace(said, origin=friday, sessions=due)
    Ledger(home.ledger).publish(LedgerEntry("VOD", "k" * 64, datetime(2013, 2, 18, 12, tzinfo=UTC), forecast))
    night = replace(recorded_night(), ticker="VOD", session=friday, key="k" * 64, forecast=forecast, calendar="XLON")
    write_night(night, night_path(home.nights, "VOD", night.key))
    assert due[0] == monday
    assert "1 session behind" in shown(capsys, "status", "VOD", "--json")
    assert "2013-02-15, 1 session ago" in shown(capsys, "forecast", "VOD")
    assert "2013-02-15, 1 session ago" in stockml.Home(home.root).forecast("VOD").attrs["age"]
    assert json.loads(shown(capsys, "ledger", "VOD", "--json"))["entries"][0]["timing"] == "late"
    assert set(stockml.Home(home.root).ledger("VOD")["timing"]) == {"late"}


def test_a_single_step_is_counted_but_too_few_to_judge(home: Home, capsys: Captured) -> None:
    record(home, recorded_bars("IBM").tail(300), date(2013, 3, 2))
    publish(home, date(2013, 2, 28))
    heading, live, columns, *rows = shown(capsys, "ledger", "IBM").splitlines()
    assert heading == "IBM: 1 live forecast, 0 complete, 1 step came due; apart: 0 late, 0 backfilled"
    assert live == "live: each was published before the market opened on its first session"
    assert columns.split() == ["observations", "independent"]
    told = {row[:22].strip(): row[22:].split(maxsplit=3) for row in rows[:7]}
    for name in ("skill", "coverage 50", "coverage 80", "coverage 95"):
        assert told[name][1:] == ["1", "1", "too few to judge"], name
    for name in ("direction accuracy", "base rate", "brier"):
        assert " ".join(told[name]).split() == ["not", "known", "yet", "0", "0"], name


def test_a_forecast_that_another_of_its_session_replaced_is_marked(home: Home, capsys: Captured) -> None:
    record(home, recorded_bars("IBM").tail(300), date(2013, 3, 2))
    for hours in (0.0, 1.0):
        publish(home, date(2013, 2, 28), hours)
    heading, *_, first, second, legend = shown(capsys, "ledger", "IBM").splitlines()
    assert heading.startswith("IBM: 1 live forecast, ")
    assert (first[-4:], second[-4:], legend[:15]) == ("0.0*", " 1.0", "*: in no count ")


def test_late_and_backfilled_forecasts_have_their_own_tables(home: Home, capsys: Captured) -> None:
    record(home, recorded_bars("IBM").tail(300), date(2013, 3, 2))
    publish(home, date(2013, 2, 26))
    alone: dict[str, Any] = json.loads(shown(capsys, "ledger", "IBM", "--json"))
    publish(home, date(2013, 2, 25), hours_later=12)
    publish(home, FRIDAY, hours_later=24 * 5)
    lines = shown(capsys, "ledger", "IBM").splitlines()
    assert lines[0] == "IBM: 1 live forecast, 0 complete, 3 steps came due; apart: 1 late, 1 backfilled"
    assert [line for line in lines if line.startswith(("live:", "late:", "backfilled:"))] == [
        "live: each was published before the market opened on its first session",
        "late: each was published after the market had opened on its first session",
        "backfilled: each was published when the bar of its first session was final",
    ]
    skills = [line.split()[2:4] for line in lines if line.strip().startswith("skill")]
    assert skills == [["3", "1"], ["4", "1"], ["5", "1"]]
    assert [line.split()[-3] for line in lines[-3:]] == ["live", "late", "backfilled"]
    bar = recorded_bars("IBM").loc["2013-02-26"]
    end = (bar["high"] + bar["low"]) / 2 * 1.05
    assert f"2013-02-26  close {bar['close']:.2f} → {end:.2f} on 2013-05-" in lines[-3]  # where the night's path began
    found: dict[str, Any] = json.loads(shown(capsys, "ledger", "IBM", "--json"))
    figures = ("forecasts", "steps", "skill", "coverage_50", "coverage_80", "coverage_95", "matured", "directions")
    figures += ("direction_accuracy", "base_rate", "brier")  # keys that scripts read
    assert {name: found[name] for name in figures} == {name: alone[name] for name in figures}
    assert (found["late"], found["apart"]["late"]["steps"], found["apart"]["backfilled"]["steps"]) == (2, 4, 5)
    assert [entry["timing"] for entry in found["entries"]] == ["live", "late", "backfilled"]


def test_a_restated_bar_is_named_and_scores_are_shown_as_restated_and_as_first_known(
    home: Home, capsys: Captured
) -> None:
    bars = recorded_bars("IBM").tail(300)
    record(home, bars, date(2013, 3, 2))
    for origin in (FRIDAY, date(2013, 2, 25)):
        publish(home, origin)
    before: dict[str, Any] = json.loads(shown(capsys, "ledger", "IBM", "--json"))
    assert "restated: no bar that these figures lean on" in shown(capsys, "ledger", "IBM")
    night = live_metrics(home, "IBM", PriceSeries.from_bars(BarStore.of(home).adjusted("IBM")), None)
    assert first_known(night, "skill") == night["live/skill"] == before["skill"]
    assert "live/first_known_skill" not in night
    corrected = bars.copy()
    corrected.loc[pd.Timestamp(2013, 2, 25), ["high"]] *= 1.02
    record(home, corrected, date(2013, 3, 3))
    lines = shown(capsys, "ledger", "IBM").splitlines()
    assert lines[2].split() == ["as", "restated", "first", "known", "observations", "independent"]
    [skill] = [line.split() for line in lines if line.strip().startswith("skill")]
    assert skill[1] != skill[2]
    assert skill[2] == f"{before['skill']:+.3f}"
    [changed] = [line.strip() for line in lines if "→" in line and "in 1 step" in line]
    assert changed == "2013-02-25  mid 200.00 → 202.02 (+1.01%), in 1 step"
    assert "restated: 1 bar changed after being first recorded; the figures differ" in lines
    after: dict[str, Any] = json.loads(shown(capsys, "ledger", "IBM", "--json"))
    assert after["skill"] != before["skill"]
    assert after["first_known"]["skill"] == before["skill"]
    night = live_metrics(home, "IBM", PriceSeries.from_bars(BarStore.of(home).adjusted("IBM")), None)
    assert (night["live/skill"], night["live/first_known_skill"]) == (after["skill"], before["skill"])
    assert first_known(night, "skill") == before["skill"]
    [bar] = after["restated_bars"]
    assert (bar["session"], bar["steps"]) == ("2013-02-25", 1)
    assert bar["restated"] > bar["first_known"]


@pytest.mark.parametrize("factor", [1.0, 2.0])
def test_a_restated_high_of_an_origin_moves_no_path_with_or_without_a_split_since(
    home: Home, capsys: Captured, factor: float
) -> None:
    bars, split = recorded_bars("IBM").tail(300), pd.Timestamp(2013, 2, 26)
    bars.loc[split:, list(PRICES)] /= factor
    record(home, bars, date(2013, 3, 2))
    BarStore.of(home).record_splits("IBM", [Split(split.date(), factor)], recorded_at=datetime.now(UTC), source="test")
    publish(home, FRIDAY)
    before: dict[str, Any] = json.loads(shown(capsys, "ledger", "IBM", "--json"))
    steps = stockml.Home(home.root).ledger("IBM")
    assert (before["steps"], before["restated_bars"]) == (5, [])
    listed = [line for line in shown(capsys, "ledger", "IBM").splitlines() if "  close " in line]
    corrected = bars.copy()
    corrected.loc[str(FRIDAY), "high"] *= 1.02
    record(home, corrected, date(2013, 3, 3))
    assert len(listed) == 1
    assert listed[0] in shown(capsys, "ledger", "IBM").splitlines()
    assert json.loads(shown(capsys, "ledger", "IBM", "--json")) == {
        name: pytest.approx(value) if isinstance(value, float) else value for name, value in before.items()
    }
    pd.testing.assert_frame_equal(stockml.Home(home.root).ledger("IBM"), steps)


def test_steps_to_and_from_a_bar_that_is_set_aside_are_counted_and_in_no_figure(home: Home, capsys: Captured) -> None:
    bars = recorded_bars("IBM").tail(300)
    bars.loc[pd.Timestamp(2013, 2, 26), list(PRICES)] *= 20
    record(home, bars, date(2013, 3, 2))
    publish(home, date(2013, 2, 25))
    publish(home, date(2013, 2, 26))
    lines = shown(capsys, "ledger", "IBM").splitlines()
    assert "no believed bar of 2013-02-26: in no figure 4 steps to or from it" in lines
    found: dict[str, Any] = json.loads(shown(capsys, "ledger", "IBM", "--json"))
    assert (found["steps"], found["without_bar"]) == (3, {"2013-02-26": 4})


def test_steps_across_a_change_of_units_are_reported_but_not_scored(home: Home, capsys: Captured) -> None:
    bars = recorded_bars("IBM").tail(300)
    bars.loc["2013-02-21":, ["open", "high", "low", "close"]] /= 10
    record(home, bars, date(2013, 3, 2))
    publish(home, date(2013, 2, 19))
    assert "change of units on 2013-02-21: in no figure 7 steps across it" in shown(capsys, "ledger", "IBM")
    found: dict[str, Any] = json.loads(shown(capsys, "ledger", "IBM", "--json"))
    assert (found["steps"], found["across_units"]) == (1, {"2013-02-21": 7})


def test_a_forecast_shows_its_age_and_the_last_close_beside_the_mid_price(home: Home, capsys: Captured) -> None:
    record(home, recorded_bars("IBM").tail(300), date(2013, 3, 2))
    publish(home, LAST)
    age, prices, *_ = shown(capsys, "forecast", "IBM").splitlines()
    assert age == "IBM: made after the close of 2013-03-01, 0 sessions ago"
    assert prices == "last close 202.91, last mid price 201.15; the forecast is of mid prices, (high + low) / 2"
    found: dict[str, Any] = json.loads(shown(capsys, "forecast", "IBM", "--json"))
    assert (found["last_close"], found["last_value"]) == (202.91, pytest.approx(201.15))
    assert (found["age_sessions"], found["expired"], found["timing"]) == (0, False, "live")


def test_the_last_close_shown_is_the_one_the_forecast_was_made_from_even_if_restated_since(
    home: Home, capsys: Captured
) -> None:
    bars = recorded_bars("IBM").tail(300)
    record(home, bars, date(2013, 3, 2))
    publish(home, LAST)
    [entry] = Ledger(home.ledger).entries("IBM")
    night = recorded_night(key=entry.key, forecast=replace(entry.forecast, last_close=202.91))
    write_night(night, night_path(home.nights, "IBM", entry.key))
    restated = bars.copy()
    restated.loc[str(LAST), "close"] = 202.5
    record(home, restated, date(2013, 3, 3))
    assert shown(capsys, "forecast", "IBM").splitlines()[1].startswith("last close 202.91, ")
    assert json.loads(shown(capsys, "forecast", "IBM", "--json"))["last_close"] == 202.91


def test_of_two_forecasts_published_at_the_same_time_every_page_shows_the_last(home: Home, capsys: Captured) -> None:
    publish(home, LAST)
    [first] = Ledger(home.ledger).entries("IBM")
    Ledger(home.ledger).publish(replace(first, key="run again"))
    assert json.loads(shown(capsys, "forecast", "IBM", "--json"))["key"] == "run again"
    assert stockml.Home(home.root).forecast("IBM").attrs["key"] == "run again"


def test_the_chance_of_a_rise_is_shown_beside_how_often_the_price_rose(home: Home, capsys: Captured) -> None:
    publish(home, LAST)
    chance = "60% that the price is higher in 30 sessions"
    assert chance in shown(capsys, "forecast", "IBM").splitlines(), "without its night's record"
    [entry] = Ledger(home.ledger).entries("IBM")
    night = recorded_night(key=entry.key, forecast=entry.forecast)
    write_night(night, night_path(home.nights, "IBM", entry.key))
    told = " ".join(shown(capsys, "forecast", "IBM").split())
    assert f" {chance}; it was higher after 68% of 93 origins (Brier score " in told
    (path := night_path(home.nights, "IBM", entry.key)).write_bytes(b"{")
    assert run(["forecast", "IBM"]) == 0
    found = capsys.readouterr()
    assert chance in found.out.splitlines()
    assert found.err.startswith(f"stockml: left out, what its night says of it: {path}: expected a night's record, ")


@pytest.mark.parametrize(("publisher", "without"), [(LSTM, False), (POOLED, True)])
def test_a_forecast_whose_nights_record_is_kept_shows_its_outlook_and_its_author(
    home: Home, capsys: Captured, publisher: str, without: bool
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


@pytest.mark.parametrize(("limit", "expired"), [([], False), (["--expires-after", "4"], True)])
def test_an_old_forecast_is_called_expired(home: Home, capsys: Captured, limit: list[str], expired: bool) -> None:
    publish(home, FRIDAY)
    first, prices, *_ = shown(capsys, "forecast", "IBM", *limit).splitlines()
    made = "made after the close of 2013-02-22, 5 sessions ago"
    assert first == (f"IBM: expired: {made} (limit 4)" if expired else f"IBM: {made}")
    assert prices.startswith("last mid price"), "there are no bars"
    assert json.loads(shown(capsys, "forecast", "IBM", "--json", *limit))["expired"] is expired


def test_a_backfilled_forecast_says_so(home: Home, capsys: Captured) -> None:
    publish(home, FRIDAY, hours_later=24 * 4)
    told = shown(capsys, "forecast", "IBM").splitlines()[1]
    assert told == "backfilled: published 2013-02-27 04:00 UTC, when the bar of its first session was final"


def test_a_forecast_says_from_when_its_sessions_may_be_holidays(home: Home, capsys: Captured) -> None:
    publish(home, LAST)
    [entry], known = Ledger(home.ledger).entries("IBM"), sessions_for("600104.SHH").holidays_known_through
    said = replace(entry.forecast, sessions=sessions_for("600104.SHH").after(known - timedelta(30), HORIZON))
    Ledger(home.ledger).publish(replace(entry, ticker="600104.SHH", forecast=said))
    told = [" ".join(shown(capsys, "forecast", ticker).split()) for ticker in ("IBM", "600104.SHH")]
    assert [f"XSHG are known through {known}: after it every weekday counts" in each for each in told] == [False, True]
