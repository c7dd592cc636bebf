"""`stockml forecast` and `size`: the card, with --details the steps and the outlook, with --past the
ledger's counts and figures."""

import json
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from deployments.cli.app import run
from stockml.forecasts.ledger import Ledger
from stockml.home import HomePaths
from stockml.nights.record import night_path, write_night
from tests.support.commands import Captured, shown
from tests.support.json_fields import check_fields
from tests.support.nights import recorded_night
from tests.support.publishing import FRIDAY, LAST, SATURDAY, publish, record
from tests.support.recordings import recorded

MONDAY, TUESDAY = date(2013, 2, 25), date(2013, 2, 26)


@pytest.fixture(autouse=True)
def _saturday(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STOCKML_CLOCK", SATURDAY)


def test_a_forecast_is_its_card_and_its_steps_come_with_details(
    home: HomePaths, capsys: Captured
) -> None:
    record(home, recorded("IBM").tail(300), date(2013, 3, 2))
    publish(home, LAST)
    card = shown(capsys, "forecast", "IBM").splitlines()
    assert card[0].startswith("IBM closed at 201.15")
    told = shown(capsys, "forecast", "IBM", "--details").splitlines()
    assert told[: len(card)] == card
    _, tomorrow, *rows = told[len(card) + 1 :]
    assert tomorrow.split()[:3] == ["1", "2013-03-04", "201.35"]
    assert [row.split()[0] for row in rows[:6]] == ["5", "10", "20", "30", "40", "50"]
    assert "chance of a higher price in 30 sessions: 60%" in told
    found: dict[str, Any] = json.loads(shown(capsys, "forecast", "IBM", "--json"))
    assert (found["last_close"], found["last_value"]) == (202.91, pytest.approx(201.15))
    assert (found["age_sessions"], found["expired"], found["timing"]) == (0, False, "live")


def test_what_its_night_says_of_a_forecast_is_shown_where_the_record_can_be_read(
    home: HomePaths, capsys: Captured
) -> None:
    publish(home, LAST)
    [entry] = Ledger(home.ledger).entries("IBM")
    outlook = recorded_night().forecast.outlook
    night = recorded_night(key=entry.key, forecast=replace(entry.forecast, outlook=outlook))
    write_night(night, path := night_path(home.nights, "IBM", entry.key))
    assert f"For IBM that is {outlook[1].mood}" in shown(capsys, "forecast", "IBM")
    assert outlook[0].place in shown(capsys, "forecast", "IBM", "--details")
    found: dict[str, Any] = json.loads(shown(capsys, "forecast", "IBM", "--json"))
    assert [each["sessions"] for each in found["outlook"]] == [5, 20, 50]
    path.write_bytes(b"{")
    assert run(["forecast", "IBM"]) == 0
    assert capsys.readouterr().out.startswith("IBM closed at")


@pytest.mark.parametrize(("of_its_night", "expired"), [(4, True), (5, False)])
def test_an_old_forecast_is_called_expired_by_its_nights_limit(
    home: HomePaths, capsys: Captured, of_its_night: int, expired: bool
) -> None:
    publish(home, FRIDAY)
    [entry] = Ledger(home.ledger).entries("IBM")
    night = recorded_night(key=entry.key, forecast=entry.forecast)
    night = replace(night, settings={**night.settings, "ageing.old_forecast": of_its_night})
    write_night(night, night_path(home.nights, "IBM", entry.key))
    told = shown(capsys, "forecast", "IBM", "--details")
    assert "on Friday 22 February 2013, 5 sessions ago." in told
    assert ("%" in told) is not expired
    assert json.loads(shown(capsys, "forecast", "IBM", "--json"))["expired"] is expired


def test_past_forecasts_are_shown_live_apart_from_late_and_as_first_known(
    home: HomePaths, capsys: Captured
) -> None:
    bars = recorded("IBM").tail(300)
    record(home, bars, LAST + timedelta(1))
    for origin, hours in ((TUESDAY, 0.0), (TUESDAY, 1.0), (MONDAY, 12.0), (FRIDAY, 24.0 * 5)):
        publish(home, origin, hours)
    lines = shown(capsys, "forecast", "IBM", "--past").splitlines()
    assert lines[0].startswith("IBM: 1 live forecast, 0 complete, 3 steps")
    assert lines[0].endswith("1 late, 1 backfilled")
    skills = [line.split()[2:4] for line in lines if line.strip().startswith("skill")]
    assert skills == [["3", "1"], ["4", "1"], ["5", "1"]]
    *_, backfilled, late, replaced, live, legend = lines
    assert [line.split()[-3] for line in (backfilled, late)] == ["backfilled", "late"]
    assert (replaced[-4:], live[-4:], legend[:2]) == ("0.0*", " 1.0", "*:")
    bar = bars.loc[str(TUESDAY)]
    end = (bar["high"] + bar["low"]) / 2 * 1.05
    # where the night's path began
    assert f"{TUESDAY}  close {bar['close']:.2f} → {end:.2f} on 2013-05-" in live
    before: dict[str, Any] = json.loads(shown(capsys, "forecast", "IBM", "--past", "--json"))
    assert (before["steps"], before["late"]) == (3, 2)
    assert (before["apart"]["late"]["steps"], before["apart"]["backfilled"]["steps"]) == (4, 5)
    corrected, wednesday = bars.copy(), TUESDAY + timedelta(1)
    corrected.loc[str(wednesday), ["high"]] *= 1.02
    record(home, corrected, LAST + timedelta(2))
    after: dict[str, Any] = json.loads(shown(capsys, "forecast", "IBM", "--past", "--json"))
    assert before["skill"] == after["first_known"]["skill"] != after["skill"]
    [changed] = after["restated_bars"]
    assert changed["session"] == str(wednesday)
    assert f"{wednesday}  mid " in shown(capsys, "forecast", "IBM", "--past")


def test_a_size_is_said_with_what_it_is_not_and_as_json(home: HomePaths, capsys: Captured) -> None:
    publish(home, LAST, price="close")
    told = shown(capsys, "size", "IBM", "--risk", "1%", "--capital", "50000")
    found: dict[str, Any] = json.loads(
        shown(capsys, "size", "IBM", "--risk", "1%", "--capital", "50000", "--json")
    )
    assert told.startswith(f"IBM: {found['shares']} shares at")
    assert "Not advice" in told
    assert "Not advice" in found["limits"]
    assert found["at_risk"] <= 500 < found["at_risk"] + found["close"] * found["loss"]
    check_fields("size", found)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--risk", "0%", "--capital", "50000"], "above 0% and up to 100%, such as 1%, found '0%'"),
        (["--risk", "nan%", "--capital", "50000"], "found 'nan%'"),
        (["--risk", "1%"], "Missing option '--capital'"),
        (["--risk", "1%", "--capital", "-5"], "capital to be an amount above 0"),
        (["--risk", "1%", "--capital", "50000", "--lead", "51"], "lead to be from 1 to 50"),
        (["--risk", "1%", "--capital", "50000"], "counts still, found expired"),
    ],
)
def test_bad_input_to_a_size_is_a_sentence_and_no_number(
    home: HomePaths,
    capsys: Captured,
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    says: str,
) -> None:
    publish(home, LAST, price="close")
    monkeypatch.setenv(
        "STOCKML_CLOCK", SATURDAY if "expired" not in says else "2013-03-20T12:00:00-04:00"
    )
    for form in ([], ["--json"]):
        assert run(["size", "IBM", *options, *form]) in (1, 2)
        told = capsys.readouterr()
        assert (told.out, len(told.err.splitlines())) == ("", 1)
        assert says in told.err
