"""`stockml ledger`: counts before figures, live apart from late, restatements."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pandas as pd
import pytest

import stockml
from stockml.forecasts.ledger import Ledger, LedgerEntry
from stockml.forecasts.ledger_scores import first_known
from stockml.home import HomePaths
from stockml.nights.record import night_path, write_night
from stockml.prices.bars import PRICES, Split
from stockml.prices.calendar import sessions_for
from stockml.prices.series import PriceSeries
from stockml.prices.store import BarStore
from stockml.tracking.night_log import live_metrics
from tests.support.commands import Captured, shown
from tests.support.nights import recorded_night
from tests.support.publishing import FRIDAY, SATURDAY, publish, record
from tests.support.recordings import recorded


@pytest.fixture(autouse=True)
def _saturday(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STOCKML_CLOCK", SATURDAY)


def test_every_page_judges_timing_by_the_nights_own_calendar(
    home: HomePaths, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """London was open on Presidents' Day, so the forecast came after its open; `tickers.yaml` had told the night so."""
    friday, monday = date(2013, 2, 15), date(2013, 2, 18)
    monkeypatch.setenv("STOCKML_CLOCK", "2013-02-19T05:00:00-05:00")
    record(home, recorded("IBM").loc[:"2013-02-15"].tail(300), date(2013, 2, 16), "VOD")
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


def test_a_single_step_is_counted_but_too_few_to_judge(home: HomePaths, capsys: Captured) -> None:
    record(home, recorded("IBM").tail(300), date(2013, 3, 2))
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
    assert rows[7].startswith("independent: no two of them cover the same session; below ")


def test_a_first_evenings_ledger_says_that_nothing_came_due_yet(home: HomePaths, capsys: Captured) -> None:
    record(home, recorded("IBM").tail(300), date(2013, 3, 2))
    publish(home, date(2013, 3, 1))
    heading, _, told, *entries = shown(capsys, "ledger", "IBM").splitlines()
    assert heading == "IBM: 1 live forecast, 0 complete, 0 steps came due; apart: 0 late, 0 backfilled"
    assert (told, len(entries)) == ("  nothing came due yet", 1)


def test_a_forecast_that_another_of_its_session_replaced_is_marked(home: HomePaths, capsys: Captured) -> None:
    record(home, recorded("IBM").tail(300), date(2013, 3, 2))
    for hours in (0.0, 1.0):
        publish(home, date(2013, 2, 28), hours)
    heading, *_, first, second, legend = shown(capsys, "ledger", "IBM").splitlines()
    assert heading.startswith("IBM: 1 live forecast, ")
    assert (first[-4:], second[-4:], legend[:15]) == ("0.0*", " 1.0", "*: in no count ")


def test_the_newest_sessions_are_listed_also_where_earlier_ones_were_published_after_them(
    home: HomePaths, capsys: Captured
) -> None:
    """As a backfill with --every-night does: its nights hid the newest forecast."""
    record(home, recorded("IBM").tail(300), date(2013, 3, 2))
    publish(home, date(2013, 2, 28))
    for day in range(1, 16):
        if day not in (2, 3, 9, 10):
            publish(home, date(2013, 2, day), hours_later=720)
    listed = [line.split()[0] for line in shown(capsys, "ledger", "IBM").splitlines() if " → " in line]
    assert listed[-1] == "2013-02-28"
    assert listed == sorted(listed)


def test_late_and_backfilled_forecasts_have_their_own_tables(home: HomePaths, capsys: Captured) -> None:
    record(home, recorded("IBM").tail(300), date(2013, 3, 2))
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
    assert [line.split()[-3] for line in lines[-3:]] == ["backfilled", "late", "live"]
    bar = recorded("IBM").loc["2013-02-26"]
    end = (bar["high"] + bar["low"]) / 2 * 1.05
    assert f"2013-02-26  close {bar['close']:.2f} → {end:.2f} on 2013-05-" in lines[-1]  # where the night's path began
    found: dict[str, Any] = json.loads(shown(capsys, "ledger", "IBM", "--json"))
    figures = ("forecasts", "steps", "skill", "coverage_50", "coverage_80", "coverage_95", "matured", "directions")
    figures += ("direction_accuracy", "base_rate", "brier")  # keys that scripts read
    assert {name: found[name] for name in figures} == {name: alone[name] for name in figures}
    assert (found["late"], found["apart"]["late"]["steps"], found["apart"]["backfilled"]["steps"]) == (2, 4, 5)
    assert [entry["timing"] for entry in found["entries"]] == ["live", "late", "backfilled"]


def test_a_restated_bar_is_named_and_scores_are_shown_as_restated_and_as_first_known(
    home: HomePaths, capsys: Captured
) -> None:
    bars = recorded("IBM").tail(300)
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


def test_what_was_restated_is_shown_to_the_cent_whatever_the_price(home: HomePaths, capsys: Captured) -> None:
    bars = recorded("IBM").tail(300)
    bars[[*PRICES]] *= 1000.0
    record(home, bars, date(2013, 3, 2))
    publish(home, date(2013, 2, 25))
    bars.loc[pd.Timestamp(2013, 2, 26), ["high"]] += 0.8
    record(home, bars, date(2013, 3, 3))
    [changed] = [line for line in shown(capsys, "ledger", "IBM").splitlines() if "→" in line and "in 1 step" in line]
    before, after = changed.split()[2], changed.split()[4]
    assert float(after.replace(",", "")) - float(before.replace(",", "")) == pytest.approx(0.4)


@pytest.mark.parametrize("factor", [1.0, 2.0])
def test_a_restated_high_of_an_origin_moves_no_path_with_or_without_a_split_since(
    home: HomePaths, capsys: Captured, factor: float
) -> None:
    bars, split = recorded("IBM").tail(300), pd.Timestamp(2013, 2, 26)
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


def test_steps_to_and_from_a_bar_that_is_set_aside_are_counted_and_in_no_figure(
    home: HomePaths, capsys: Captured
) -> None:
    bars = recorded("IBM").tail(300)
    bars.loc[pd.Timestamp(2013, 2, 26), list(PRICES)] *= 20
    record(home, bars, date(2013, 3, 2))
    publish(home, date(2013, 2, 25))
    publish(home, date(2013, 2, 26))
    lines = shown(capsys, "ledger", "IBM").splitlines()
    assert "no believed bar of 2013-02-26: in no figure 4 steps to or from it" in lines
    found: dict[str, Any] = json.loads(shown(capsys, "ledger", "IBM", "--json"))
    assert (found["steps"], found["without_bar"]) == (3, {"2013-02-26": 4})


def test_steps_across_a_change_of_units_are_reported_but_not_scored(home: HomePaths, capsys: Captured) -> None:
    bars = recorded("IBM").tail(300)
    bars.loc["2013-02-21":, ["open", "high", "low", "close"]] /= 10
    record(home, bars, date(2013, 3, 2))
    publish(home, date(2013, 2, 19))
    assert "change of units on 2013-02-21: in no figure 7 steps across it" in shown(capsys, "ledger", "IBM")
    found: dict[str, Any] = json.loads(shown(capsys, "ledger", "IBM", "--json"))
    assert (found["steps"], found["across_units"]) == (1, {"2013-02-21": 7})
