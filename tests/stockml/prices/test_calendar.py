"""Exchange calendars: weekends, holidays, half days and both clock changes."""

import pickle
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from stockml.errors import InvalidSession, InvalidSetting
from stockml.prices.calendar import Sessions, sessions_for

NEW_YORK = sessions_for("IBM")


def at(text: str, zone: str = "America/New_York") -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


@pytest.mark.parametrize(
    ("ticker", "calendar", "zone"),
    [
        ("IBM", "XNYS", "America/New_York"),
        ("BRK-B", "XNYS", "America/New_York"),
        ("BRK.B", "XNYS", "America/New_York"),
        ("LON", "XNYS", "America/New_York"),
        ("TSCO.LON", "XLON", "Europe/London"),
        ("SHOP.TRT", "XTSE", "America/Toronto"),
        ("GPV.TRV", "XTSE", "America/Toronto"),
        ("MBG.DEX", "XETR", "Europe/Berlin"),
        ("RELIANCE.BSE", "XBOM", "Asia/Kolkata"),
        ("600104.SHH", "XSHG", "Asia/Shanghai"),
        ("000002.SHZ", "XSHG", "Asia/Shanghai"),
    ],
)
def test_the_suffix_names_the_exchange(ticker, calendar, zone):
    assert sessions_for(ticker) == Sessions(calendar)
    assert sessions_for(ticker).tz == ZoneInfo(zone)


def test_the_calendar_can_be_overridden_by_one_that_exists():
    assert sessions_for("IBM", "XLON").name == "XLON"
    with pytest.raises(InvalidSetting, match="XNOWHERE"):
        sessions_for("IBM", "XNOWHERE")


@pytest.mark.parametrize(
    ("day", "is_session"),
    [
        (date(2026, 11, 24), True),
        (date(2026, 11, 21), False),  # Saturday
        (date(2026, 11, 26), False),  # Thanksgiving
        (date(2026, 11, 27), True),  # the half day after it
        (date(2001, 9, 12), False),
        (date(2012, 10, 29), False),  # hurricane
        (date(1962, 1, 2), True),
        # exchange_calendars itself leaves out holidays from 1970 on only
        (
            date(1962, 12, 25),
            False,
        ),
        (date(1929, 7, 4), False),
        (date(1900, 1, 2), False),  # before any calendar
        (date(2040, 12, 31), True),  # its last
        (date(2041, 1, 2), False),
    ],
)
def test_weekends_holidays_and_closures_are_no_sessions(day, is_session):
    assert NEW_YORK.is_session(day) is is_session
    assert NEW_YORK.are_sessions(np.array([day], dtype="datetime64[D]")).tolist() == [is_session]


@pytest.mark.parametrize(
    ("now", "last_final"),
    [
        ("2026-11-24T22:44:59", date(2026, 11, 23)),
        ("2026-11-24T22:45:00", date(2026, 11, 24)),
        ("2026-11-25T09:00:00", date(2026, 11, 24)),
        ("2026-11-26T23:00:00", date(2026, 11, 25)),  # Thanksgiving
        # the half day has closed, its bar is not final
        (
            "2026-11-27T14:00:00",
            date(2026, 11, 25),
        ),
        ("2026-11-27T22:45:00", date(2026, 11, 27)),
        ("2026-11-29T12:00:00", date(2026, 11, 27)),  # Sunday
        ("2026-03-06T22:45:00", date(2026, 3, 6)),  # Friday before the clock goes forward
        ("2026-03-09T22:44:00", date(2026, 3, 6)),
        ("2026-03-09T22:45:00", date(2026, 3, 9)),
        ("2026-11-02T22:44:00", date(2026, 10, 30)),  # it went back
        ("2026-11-02T22:45:00", date(2026, 11, 2)),
    ],
)
def test_a_bar_is_final_at_a_quarter_to_eleven_in_new_york(now, last_final):
    assert NEW_YORK.last_final(at(now)) == last_final
    assert NEW_YORK.last_final(at(now).astimezone(UTC)) == last_final


@pytest.mark.parametrize(
    ("ticker", "now", "last_final"),
    [
        ("TSCO.LON", at("2026-11-24T23:14", "Europe/London"), date(2026, 11, 23)),
        ("TSCO.LON", at("2026-11-24T23:15", "Europe/London"), date(2026, 11, 24)),
        ("MBG.DEX", at("2026-11-25T00:15", "Europe/Berlin"), date(2026, 11, 24)),
        ("600104.SHH", at("2026-11-24T21:45", "Asia/Shanghai"), date(2026, 11, 24)),
    ],
)
def test_elsewhere_a_bar_is_final_as_long_after_the_usual_close_as_in_new_york(
    ticker, now, last_final
):
    assert sessions_for(ticker).last_final(now) == last_final


@pytest.mark.parametrize("name", ["24/7", "24/5"])
def test_where_trading_never_stops_a_bar_is_final_after_its_day_is_over(name):
    sessions, tuesday = sessions_for("BTCUSD", name), date(2026, 11, 24)
    assert sessions.last_final(at("2026-11-24T23:59", "UTC")) == date(2026, 11, 23)
    assert sessions.final_time(tuesday) == at("2026-11-25T06:45", "UTC")


@pytest.mark.parametrize(
    ("ticker", "day", "opens"),
    [
        # the clock went forward the night before
        ("IBM", date(2013, 3, 11), at("2013-03-11T09:30")),
        # closed by a hurricane: its usual open
        ("IBM", date(2012, 10, 29), at("2012-10-29T09:30")),
        ("MBG.DEX", date(2013, 3, 4), at("2013-03-04T09:00", "Europe/Berlin")),
        # no holidays known yet
        ("RELIANCE.BSE", date(2039, 3, 3), at("2039-03-03T09:15", "Asia/Kolkata")),
        # opens late on Ash Wednesday
        ("VALE3.SAO", date(2020, 2, 26), at("2020-02-26T13:00", "America/Sao_Paulo")),
    ],
)
def test_an_exchange_opens_at_its_own_hour(ticker, day, opens):
    found = sessions_for(ticker).open_time(day)
    assert (found, found.tzinfo) == (opens, sessions_for(ticker).tz)


def test_a_time_without_a_zone_is_refused():
    with pytest.raises(InvalidSession, match="zone"):
        NEW_YORK.last_final(datetime(2026, 11, 24, 12))


def test_sessions_are_counted_from_any_day():
    assert NEW_YORK.between(date(2026, 11, 25), date(2026, 11, 30)) == (
        date(2026, 11, 25),
        date(2026, 11, 27),
        date(2026, 11, 30),
    )
    assert NEW_YORK.between(date(2026, 11, 30), date(2026, 11, 25)) == ()
    assert NEW_YORK.after(date(2026, 11, 25), 2) == (date(2026, 11, 27), date(2026, 11, 30))
    assert NEW_YORK.after(date(2026, 11, 26), 1) == (date(2026, 11, 27),)
    assert NEW_YORK.before(date(2026, 11, 26), 2) == (date(2026, 11, 24), date(2026, 11, 25))
    assert NEW_YORK.before(date(1928, 1, 4), 1) == (NEW_YORK.first,)
    with pytest.raises(InvalidSession, match="has only 1 of 2"):
        NEW_YORK.before(date(1928, 1, 4), 2)
    with pytest.raises(InvalidSession, match="of 1928-01-03 to 2040-12-31, has only"):
        NEW_YORK.after(date(2040, 12, 28), 50)


def test_the_age_of_a_series_counts_final_sessions():
    ages = {date(2026, 11, 24): 0, date(2026, 11, 20): 2, date(2026, 11, 27): 0}
    assert {day: NEW_YORK.age(day, at("2026-11-24T23:00")) for day in ages} == ages


def test_sessions_travel_between_processes():
    assert pickle.loads(pickle.dumps(NEW_YORK)) == NEW_YORK
