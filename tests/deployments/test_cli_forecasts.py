"""`stockml forecast` and `size`: the card, with --details the steps and the outlook, with --past the
ledger's counts and figures."""

import json
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from deployments.cli.app import run
from stockml.forecasts.ledger import Ledger
from stockml.nights.record import night_path, write_night
from tests.support.commands import shown
from tests.support.json_fields import check_fields
from tests.support.nights import recorded_night
from tests.support.publishing import FRIDAY, LAST, SATURDAY, publish, record
from tests.support.recordings import recorded

MONDAY, TUESDAY = date(2013, 2, 25), date(2013, 2, 26)


@pytest.fixture(autouse=True)
def _saturday(monkeypatch):
    monkeypatch.setenv("STOCKML_CLOCK", SATURDAY)


def test_a_forecast_as_json_has_its_age_and_last_prices(home, capsys):
    """Its texts: screens.txt."""
    record(home, recorded("IBM").tail(300), date(2013, 3, 2))
    publish(home, LAST)
    found: dict[str, Any] = json.loads(shown(capsys, "forecast", "IBM", "--json"))
    assert (found["last_close"], found["last_value"]) == (202.91, pytest.approx(201.15))
    assert (found["age_sessions"], found["expired"], found["timing"]) == (0, False, "live")


def test_a_forecast_is_shown_without_what_its_night_says_where_the_record_cannot_be_read(
    home, capsys
):
    publish(home, LAST)
    [entry] = Ledger(home.ledger).entries("IBM")
    outlook = recorded_night().forecast.outlook
    night = recorded_night(key=entry.key, forecast=replace(entry.forecast, outlook=outlook))
    write_night(night, path := night_path(home.nights, "IBM", entry.key))
    found: dict[str, Any] = json.loads(shown(capsys, "forecast", "IBM", "--json"))
    assert [each["sessions"] for each in found["outlook"]] == [5, 20, 50]
    path.write_bytes(b"{")
    assert shown(capsys, "forecast", "IBM").startswith("IBM closed at")


@pytest.mark.parametrize(("of_its_night", "expired"), [(4, True), (5, False)])
def test_an_old_forecast_is_called_expired_by_its_nights_limit(home, capsys, of_its_night, expired):
    publish(home, FRIDAY)
    [entry] = Ledger(home.ledger).entries("IBM")
    night = recorded_night(key=entry.key, forecast=entry.forecast)
    night.settings["ageing.old_forecast"] = of_its_night
    write_night(night, night_path(home.nights, "IBM", entry.key))
    told = shown(capsys, "forecast", "IBM", "--details")
    assert "on Friday 22 February 2013, 5 sessions ago." in told
    assert ("%" in told) is not expired
    assert json.loads(shown(capsys, "forecast", "IBM", "--json"))["expired"] is expired


def test_past_forecasts_are_shown_live_apart_from_late_and_as_first_known(home, capsys):
    bars = recorded("IBM").tail(300)
    record(home, bars, LAST + timedelta(1))
    for origin, hours in ((TUESDAY, 0.0), (TUESDAY, 1.0), (MONDAY, 12.0), (FRIDAY, 24.0 * 5)):
        publish(home, origin, hours)
    first, *_, backfilled, late, replaced, live, _ = shown(
        capsys, "forecast", "IBM", "--past"
    ).splitlines()
    assert first.startswith("IBM: 1 live forecast, 0 complete, 3 steps")
    assert first.endswith("1 late, 1 backfilled")
    assert [line.split()[-3] for line in (backfilled, late)] == ["backfilled", "late"]
    assert (replaced[-4:], live[-4:]) == ("0.0*", " 1.0")
    before: dict[str, Any] = json.loads(shown(capsys, "forecast", "IBM", "--past", "--json"))
    assert (before["steps"], before["late"]) == (3, 2)
    assert [before["apart"][each]["steps"] for each in ("late", "backfilled")] == [4, 5]
    corrected, wednesday = bars.copy(), str(TUESDAY + timedelta(1))
    corrected.loc[wednesday, ["high"]] *= 1.02
    record(home, corrected, LAST + timedelta(2))
    after: dict[str, Any] = json.loads(shown(capsys, "forecast", "IBM", "--past", "--json"))
    assert before["skill"] == after["first_known"]["skill"] != after["skill"]
    assert [changed["session"] for changed in after["restated_bars"]] == [wednesday]


def test_a_size_as_json_risks_as_much_as_is_asked_at_most(home, capsys):
    publish(home, LAST, price="close")
    asked = ("size", "IBM", "--risk", "1%", "--capital", "50000", "--json")
    found: dict[str, Any] = json.loads(shown(capsys, *asked))
    assert "Not advice" in found["limits"]
    assert found["at_risk"] <= 500 < found["at_risk"] + found["close"] * found["loss"]
    check_fields("size", found)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("--risk 0% --capital 50000", "above 0% and up to 100%, such as 1%, found '0%'"),
        ("--risk nan% --capital 50000", "found 'nan%'"),
        ("--risk 1%", "Missing option '--capital'"),
        ("--risk 1% --capital -5", "capital to be an amount above 0"),
        ("--risk 1% --capital 50000 --lead 51", "lead to be from 1 to 50"),
        ("--risk 1% --capital 50000", "counts still, found expired"),
    ],
)
def test_bad_input_to_a_size_is_a_sentence_and_no_number(home, capsys, monkeypatch, options, says):
    publish(home, LAST, price="close")
    if "expired" in says:
        monkeypatch.setenv("STOCKML_CLOCK", "2013-03-20T12:00:00-04:00")
    for form in ([], ["--json"]):
        assert run(["size", "IBM", *options.split(), *form]) in (1, 2)
        told = capsys.readouterr()
        assert (told.out, len(told.err.splitlines())) == ("", 1)
        assert says in told.err
