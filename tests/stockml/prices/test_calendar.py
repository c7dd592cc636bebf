"""Exchange calendars: weekends, holidays, half days and both clock changes."""

import pickle
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from stockml.errors import InvalidSession, InvalidSetting
from stockml.prices.calendar import Sessions, sessions_for

NEW_YORK = sessions_for("IBM")


def at(text, zone="America/New_York"):
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


@pytest.mark.parametrize(
    ("ticker", "calendar"),
    [
        ("IBM", "XNYS"),
        ("BRK-B", "XNYS"),
        ("BRK.B", "XNYS"),
        ("LON", "XNYS"),
        ("TSCO.LON", "XLON"),
        ("SHOP.TRT", "XTSE"),
        ("GPV.TRV", "XTSE"),
        ("MBG.DEX", "XETR"),
        ("RELIANCE.BSE", "XBOM"),
        ("600104.SHH", "XSHG"),
        ("000002.SHZ", "XSHG"),
    ],
)
def test_the_suffix_names_the_exchange(ticker, calendar):
    assert sessions_for(ticker) == Sessions(calendar)


def test_the_calendar_can_be_overridden_by_one_that_exists():
    assert sessions_for("IBM", "XLON").name == "XLON"
    with pytest.raises(InvalidSetting, match="XNOWHERE"):
        sessions_for("IBM", "XNOWHERE")


@pytest.mark.parametrize(
    ("day", "is_session"),
    [
        ("2026-11-24", True),
        ("2026-11-21", False),  # Saturday
        ("2026-11-26", False),  # Thanksgiving
        ("2026-11-27", True),  # the half day after it
        ("2001-09-12", False),
        ("2012-10-29", False),  # hurricane
        ("1962-01-02", True),
        # exchange_calendars itself leaves out holidays from 1970 on only
        ("1962-12-25", False),
        ("1929-07-04", False),
        ("1900-01-02", False),  # before any calendar
        ("2040-12-31", True),  # its last
        ("2041-01-02", False),
    ],
)
def test_weekends_holidays_and_closures_are_no_sessions(day, is_session):
    assert NEW_YORK.is_session(np.datetime64(day)) is is_session


@pytest.mark.parametrize(
    ("now", "last_final"),
    [
        ("2026-11-24T22:44:59", "2026-11-23"),
        ("2026-11-24T22:45:00", "2026-11-24"),
        ("2026-11-25T09:00:00", "2026-11-24"),
        ("2026-11-26T23:00:00", "2026-11-25"),  # Thanksgiving
        # the half day has closed, its bar is not final
        ("2026-11-27T14:00:00", "2026-11-25"),
        ("2026-11-27T22:45:00", "2026-11-27"),
        ("2026-11-29T12:00:00", "2026-11-27"),  # Sunday
        ("2026-03-06T22:45:00", "2026-03-06"),  # Friday before the clock goes forward
        ("2026-03-09T22:44:00", "2026-03-06"),
        ("2026-03-09T22:45:00", "2026-03-09"),
        ("2026-11-02T22:44:00", "2026-10-30"),  # it went back
        ("2026-11-02T22:45:00", "2026-11-02"),
    ],
)
def test_a_bar_is_final_at_a_quarter_to_eleven_in_new_york(now, last_final):
    assert str(NEW_YORK.last_final(at(now))) == last_final
    assert NEW_YORK.last_final(at(now).astimezone(UTC)) == NEW_YORK.last_final(at(now))


@pytest.mark.parametrize(
    ("ticker", "now", "last_final"),
    [
        ("TSCO.LON", "2026-11-24T23:14", "2026-11-23"),
        ("TSCO.LON", "2026-11-24T23:15", "2026-11-24"),
        ("MBG.DEX", "2026-11-25T00:15", "2026-11-24"),
        ("600104.SHH", "2026-11-24T21:45", "2026-11-24"),
    ],
)
def test_elsewhere_a_bar_is_final_as_long_after_the_usual_close_as_in_new_york(
    ticker, now, last_final
):
    assert str(sessions_for(ticker).last_final(at(now, str(sessions_for(ticker).tz)))) == last_final


@pytest.mark.parametrize("name", ["24/7", "24/5"])
def test_where_trading_never_stops_a_bar_is_final_after_its_day_is_over(name):
    sessions, tuesday = sessions_for("BTCUSD", name), date(2026, 11, 24)
    assert sessions.last_final(at("2026-11-24T23:59", "UTC")) == date(2026, 11, 23)
    assert sessions.final_time(tuesday) == at("2026-11-25T06:45", "UTC")


@pytest.mark.parametrize(
    ("ticker", "opens"),
    [
        ("IBM", "2013-03-11T09:30:00-04:00"),  # the clock went forward the night before
        ("IBM", "2012-10-29T09:30:00-04:00"),  # closed by a hurricane: its usual open
        ("MBG.DEX", "2013-03-04T09:00:00+01:00"),
        ("RELIANCE.BSE", "2039-03-03T09:15:00+05:30"),  # no holidays known yet
        ("VALE3.SAO", "2020-02-26T13:00:00-03:00"),  # opens late on Ash Wednesday
    ],
)
def test_an_exchange_opens_at_its_own_hour(ticker, opens):
    day = date.fromisoformat(opens[:10])
    assert sessions_for(ticker).open_time(day).isoformat() == opens


def test_a_time_without_a_zone_is_refused():
    with pytest.raises(InvalidSession, match="zone"):
        NEW_YORK.last_final(datetime(2026, 11, 24, 12))


def test_sessions_are_counted_from_any_day():
    tuesday, wednesday, thanksgiving, friday, _, _, monday = (
        date(2026, 11, 24) + timedelta(days=days) for days in range(7)
    )
    assert NEW_YORK.between(wednesday, monday) == (wednesday, friday, monday)
    assert NEW_YORK.between(monday, wednesday) == ()
    assert NEW_YORK.after(wednesday, 2) == (friday, monday)
    assert NEW_YORK.after(thanksgiving, 1) == (friday,)
    assert NEW_YORK.before(thanksgiving, 2) == (tuesday, wednesday)
    early, late = date(1928, 1, 4), date(2040, 12, 28)
    assert NEW_YORK.before(early, 1) == (NEW_YORK.first,)
    with pytest.raises(InvalidSession, match="has only 1 of 2"):
        NEW_YORK.before(early, 2)
    with pytest.raises(InvalidSession, match="of 1928-01-03 to 2040-12-31, has only"):
        NEW_YORK.after(late, 50)
    assert str(NEW_YORK.holidays_known_through) == "2040-12-31"
    # Bombay announces its own a year ahead
    assert sessions_for("RELIANCE.BSE").holidays_known_through < late


def test_the_age_of_a_series_counts_final_sessions():
    now = at("2026-11-24T23:00")
    assert [NEW_YORK.age(date(2026, 11, day), now) for day in (20, 24, 27)] == [2, 0, 0]


def test_sessions_travel_between_processes():
    assert pickle.loads(pickle.dumps(NEW_YORK)) == NEW_YORK
