"""tickers.yaml is checked, with clear messages, and says when each night and the digest are due."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from deployments.registration import NIGHTS
from deployments.registration.tickers_file import TickerEntry, digest_time, read_tickers, staggered
from deployments.replay import symbols
from stockml.errors import InvalidFile, InvalidSetting
from tests.deployments.test_prefect_deployments import listed

PROJECT = Path(__file__).parents[2]


def test_the_projects_tickers_yaml_and_prefect_yaml_agree():
    shipped = YAML(typ="safe").load((PROJECT / "prefect.yaml").read_text())["deployments"]
    nights = [each for each in shipped if each["entrypoint"] == "flows/nightly.py:nightly"]
    assert [(each["parameters"], each["schedules"]) for each in nights] == [
        ({"ticker": entry.ticker}, [{"slug": "nightly", "cron": cron, "timezone": entry.timezone}])
        for entry, cron in staggered(read_tickers().tickers)
    ]
    names = [each["name"] for each in nights]
    assert names == ["IBM", "AAPL", "MSFT"]
    assert set(symbols()) > set(names), "a newcomer's nights can be replayed"
    for each in shipped:
        assert each["concurrency_limit"]["limit"] == 1
        assert NIGHTS in each["tags"]
        assert not any("active" in schedule for schedule in each.get("schedules", []))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("tickers:\n- IBM\n- ../etc", "line 3: tickers.1.ticker"),
        ("tickers:\n- IBM\n# again\n- ibm", "line 4"),
        ("defaults:\ntickers:", "found none"),
        ("defaults: 5\ntickers: [IBM]", "`defaults:`"),
        ("tickers: [{ticker: IBM, at: '01:30'}]", "outside 00:00 to 03:00"),
        ("tickers: [{ticker: IBM, at: '16:00'}]", "after 22:45"),
        ("tickers: [{ticker: IBM, at: '23:00+01:00'}]", 'as "23:00", found'),
        ("tickers: [{ticker: IBM, profile: best}]", "'nightly' or 'tutorial'"),
        ("tickers:\n- ticker: IBM\n  calender: XNYS", "line 3: tickers.0.calender"),
        ("tickers: [{ticker: IBM, calendar: XMARS}]", "XMARS"),
        ("tickers: [{ticker: IBM, settings: {training.epochs: 0}}]", "training.epochs"),
        ("tickers: [{ticker: IBM, settings: {mode: keep}}]", "found 'mode'"),
        (
            "tickers: [{ticker: F, profile: tutorial, settings: {training.decay_on: test}}]",
            "found 'test'",
        ),
        ("tickers: [{at: '23:00'}]", "tickers.0.ticker: Field required"),
        ("tickers: [true]", 'found True; put one that YAML reads otherwise in quotes, as "TRUE"'),
        ("stocks: [IBM]", "found 'stocks'"),
        ("tickers: IBM", "found 'IBM'"),
        ("tickers: [IBM]\ntickers: [KO]", "line 2: expected YAML"),
        ("tickers: [{ticker: IBM, at: 2026-02-30}]", "expected YAML"),
        ("", "line 1: expected `tickers:`"),
        ("tickers: [IBM]  # caf\udce9", "UTF-8"),
    ],
)
def test_an_invalid_file_is_refused_with_a_clear_message(tmp_path, content, says):
    file = tmp_path / "tickers.yaml"
    file.write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(InvalidFile) as refused:
        read_tickers(file)
    assert says in str(refused.value)
    assert ("found none" in str(refused.value)) == ("found none" in says), (
        "a wrong value is not called a missing one"
    )
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("entry", "cron", "zone"),
    [
        ({"ticker": "IBM"}, "0 23 * * 1-5", "America/New_York"),
        ({"ticker": "TSCO.LON"}, "0 6 * * 2-6", "Europe/London"),
        ({"ticker": "SAP.DEX", "at": "03:00"}, "0 3 * * 2-6", "Europe/Berlin"),
        # its bar is final at 00:15
        ({"ticker": "SAP.DEX", "at": "20:00"}, "0 6 * * 2-6", "Europe/Berlin"),
        ({"ticker": "IBM", "at": "06:30"}, "30 6 * * 2-6", "America/New_York"),
        ({"ticker": "VOD", "calendar": "XLON", "at": "23:40"}, "40 23 * * 1-5", "Europe/London"),
        # its bar is final at 06:45 on the day after
        ({"ticker": "BTCUSD", "calendar": "24/7"}, "0 7 * * 0-6", "UTC"),
        ({"ticker": "EURUSD", "calendar": "24/5"}, "0 7 * * 2-6", "UTC"),
    ],
)
def test_a_night_starts_when_its_bar_is_final_in_the_exchanges_zone(entry, cron, zone):
    made = TickerEntry(**entry)
    assert (made.cron(), made.timezone) == (cron, zone)


def test_equal_start_times_are_spread_out_before_midnight():
    def crons(count, **defaults):
        lines = staggered(listed(*(f"T{number}" for number in range(count)), **defaults).tickers)
        return [cron for _, cron in lines]

    starts = [cron.split()[:2] for cron in crons(100)]
    assert {hour for _, hour in starts} == {"23"}
    assert max(Counter(minute for minute, _ in starts).values()) <= 3
    assert crons(40, at="23:45")[-1] == "59 23 * * 1-5"


@pytest.mark.parametrize("at", ["02:30", "7 am", "07:00+01:00"])
def test_an_invalid_time_for_the_digest_is_refused_with_a_clear_message(at):
    with pytest.raises(InvalidSetting, match=r'STOCKML_DIGEST_AT.*"07:00"'):
        digest_time({"STOCKML_DIGEST_AT": at})


def test_a_list_is_read_without_its_exchanges_calendars():
    asked = (
        "import sys; from deployments.registration.tickers_file import parsed; parsed('tickers: "
        "[SAP.DEX]', '')"
    )
    child = [sys.executable, "-c", f"{asked}; print('exchange_calendars' in sys.modules)"]
    assert subprocess.check_output(child, text=True) == "False\n"
