"""`stockml forecast --past`: counts before figures, live apart from late, restatements."""

import json
from datetime import date
from typing import Any

import pandas as pd
import pytest

from stockml.forecasts.ledger_scores import first_known
from stockml.home import HomePaths
from stockml.prices.series import PriceSeries
from stockml.prices.store import BarStore
from stockml.tracking.night_log import live_metrics
from tests.support.commands import Captured, shown
from tests.support.publishing import FRIDAY, SATURDAY, publish, record
from tests.support.recordings import recorded


@pytest.fixture(autouse=True)
def _saturday(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STOCKML_CLOCK", SATURDAY)


def test_a_forecast_that_another_of_its_session_replaced_is_marked(
    home: HomePaths, capsys: Captured
) -> None:
    record(home, recorded("IBM").tail(300), date(2013, 3, 2))
    for hours in (0.0, 1.0):
        publish(home, date(2013, 2, 28), hours)
    heading, *_, first, second, legend = shown(capsys, "forecast", "IBM", "--past").splitlines()
    assert heading.startswith("IBM: 1 live forecast, ")
    assert (first[-4:], second[-4:], legend[:15]) == ("0.0*", " 1.0", "*: in no count ")


def test_late_and_backfilled_forecasts_have_their_own_tables(
    home: HomePaths, capsys: Captured
) -> None:
    record(home, recorded("IBM").tail(300), date(2013, 3, 2))
    publish(home, date(2013, 2, 26))
    alone: dict[str, Any] = json.loads(shown(capsys, "forecast", "IBM", "--past", "--json"))
    publish(home, date(2013, 2, 25), hours_later=12)
    publish(home, FRIDAY, hours_later=24 * 5)
    lines = shown(capsys, "forecast", "IBM", "--past").splitlines()
    assert (
        lines[0]
        == "IBM: 1 live forecast, 0 complete, 3 steps came due; apart: 1 late, 1 backfilled"
    )
    skills = [line.split()[2:4] for line in lines if line.strip().startswith("skill")]
    assert skills == [["3", "1"], ["4", "1"], ["5", "1"]]
    assert [line.split()[-3] for line in lines[-3:]] == ["backfilled", "late", "live"]
    bar = recorded("IBM").loc["2013-02-26"]
    end = (bar["high"] + bar["low"]) / 2 * 1.05
    # where the night's path began
    assert f"2013-02-26  close {bar['close']:.2f} → {end:.2f} on 2013-05-" in lines[-1]
    found: dict[str, Any] = json.loads(shown(capsys, "forecast", "IBM", "--past", "--json"))
    figures = [
        "forecasts",
        "steps",
        "skill",
        "coverage_50",
        "coverage_80",
        "coverage_95",
        "matured",
        "directions",
    ]
    figures += ["direction_accuracy", "base_rate", "brier"]  # keys that scripts read
    assert {name: found[name] for name in figures} == {name: alone[name] for name in figures}
    assert (
        found["late"],
        found["apart"]["late"]["steps"],
        found["apart"]["backfilled"]["steps"],
    ) == (2, 4, 5)
    assert [entry["timing"] for entry in found["entries"]] == ["live", "late", "backfilled"]


def test_a_restated_bar_is_named_and_scores_are_shown_as_restated_and_as_first_known(
    home: HomePaths, capsys: Captured
) -> None:
    bars = recorded("IBM").tail(300)
    record(home, bars, date(2013, 3, 2))
    for origin in (FRIDAY, date(2013, 2, 25)):
        publish(home, origin)
    before: dict[str, Any] = json.loads(shown(capsys, "forecast", "IBM", "--past", "--json"))
    night = live_metrics(
        home, "IBM", PriceSeries.from_bars(BarStore.of(home).adjusted("IBM")), None
    )
    assert first_known(night, "skill") == night["live/skill"] == before["skill"]
    assert "live/first_known_skill" not in night
    corrected = bars.copy()
    corrected.loc[pd.Timestamp(2013, 2, 25), ["high"]] *= 1.02
    record(home, corrected, date(2013, 3, 3))
    lines = shown(capsys, "forecast", "IBM", "--past").splitlines()
    [skill] = [line.split() for line in lines if line.strip().startswith("skill")]
    assert skill[1] != skill[2]
    assert skill[2] == f"{before['skill']:+.3f}"
    [changed] = [line.strip() for line in lines if "→" in line and "in 1 step" in line]
    assert changed == "2013-02-25  mid 200.00 → 202.02 (+1.01%), in 1 step"
    after: dict[str, Any] = json.loads(shown(capsys, "forecast", "IBM", "--past", "--json"))
    assert after["skill"] != before["skill"]
    assert after["first_known"]["skill"] == before["skill"]
    night = live_metrics(
        home, "IBM", PriceSeries.from_bars(BarStore.of(home).adjusted("IBM")), None
    )
    assert (night["live/skill"], night["live/first_known_skill"]) == (
        after["skill"],
        before["skill"],
    )
    assert first_known(night, "skill") == before["skill"]
    [bar] = after["restated_bars"]
    assert (bar["session"], bar["steps"]) == ("2013-02-25", 1)
    assert bar["restated"] > bar["first_known"]


def test_steps_across_a_change_of_units_are_reported_but_not_scored(
    home: HomePaths, capsys: Captured
) -> None:
    bars = recorded("IBM").tail(300)
    bars.loc["2013-02-21":, ["open", "high", "low", "close"]] /= 10
    record(home, bars, date(2013, 3, 2))
    publish(home, date(2013, 2, 19))
    assert "change of units on 2013-02-21: in no figure 7 steps across it" in shown(
        capsys, "forecast", "IBM", "--past"
    )
    found: dict[str, Any] = json.loads(shown(capsys, "forecast", "IBM", "--past", "--json"))
    assert (found["steps"], found["across_units"]) == (1, {"2013-02-21": 7})
