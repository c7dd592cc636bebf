"""What kind of night it is: no session, an ordinary one, a late bar or a feed that has stopped."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from stockml.errors import InvalidSession
from stockml.nights import states
from stockml.nights.session_status import past_sessions, session_status
from stockml.prices.calendar import sessions_for
from tests.stockml.prices.test_calendar import at

NEW_YORK = sessions_for("IBM")
TUESDAY_NIGHT, THANKSGIVING_NIGHT = at("2026-11-24T23:00"), at("2026-11-26T23:00")


def november(day):
    return date(2026, 11, day) if day else None


@pytest.mark.parametrize(
    ("now", "last_stored", "newest", "session", "state"),
    [
        (TUESDAY_NIGHT, None, None, 24, None),
        (TUESDAY_NIGHT, 23, 24, 24, None),
        (TUESDAY_NIGHT, 24, None, 24, None),
        (THANKSGIVING_NIGHT, 25, None, 26, states.NO_SESSION),
        (THANKSGIVING_NIGHT, 24, None, 25, None),  # catches up
        (THANKSGIVING_NIGHT, None, None, 25, None),  # a first night
        (TUESDAY_NIGHT, None, 18, 24, states.LATE),
        (TUESDAY_NIGHT, None, 17, 24, states.STALE),
    ],
)
def test_a_night_is_ordinary_late_stale_or_without_a_session(
    now, last_stored, newest, session, state
):
    stored, published = november(last_stored), november(newest)
    found = session_status(NEW_YORK, requested=None, now=now, last_stored=stored, newest=published)
    assert (found.session, found.state) == (november(session), state)
    if state:
        told = {states.LATE: "2026-11-18", states.STALE: "5 sessions before"}
        assert told.get(state, "the next is 2026-11-27") in found.text


@pytest.mark.parametrize(("day", "state"), [(20, None), (26, states.NO_SESSION)])
def test_a_requested_day_is_that_days_night(day, state):
    asked, now = november(day), THANKSGIVING_NIGHT
    found = session_status(NEW_YORK, requested=asked, now=now, last_stored=None)
    assert (found.session, found.state) == (asked, state)


@pytest.mark.parametrize(
    ("now", "without"),
    [
        ("2026-08-31T12:00", "2026-08-31"),  # the bank holiday
        ("2026-09-01T06:05", "2026-08-31"),  # the morning after, at which its night is scheduled
        ("2026-09-01T08:00", None),  # by hand, once it has opened: Friday's night again
        ("2026-09-07T06:05", None),  # a Monday: the weekend had no night
    ],
)
def test_the_morning_after_a_foreign_holiday_asks_for_no_bar(now, without):
    """It ran Friday's night again, for a request."""
    london = sessions_for("TSCO.LON")
    moment = datetime.fromisoformat(now).replace(tzinfo=ZoneInfo("Europe/London"))
    done = london.last_final(moment)
    found = session_status(london, requested=None, now=moment, last_stored=done)
    expected = (states.NO_SESSION, without) if without else (None, str(done))
    assert (found.state, str(found.session)) == expected
    behind = session_status(london, requested=None, now=moment, last_stored=None)
    assert behind.session == done, "still catches up"


@pytest.mark.parametrize("now", ["2012-11-23T13:01", "2012-03-12T22:44"])
def test_an_unfinished_session_cannot_be_requested_even_after_a_half_days_close(now):
    with pytest.raises(InvalidSession, match=r"final at .* 22:45 E[SD]T"):
        session_status(NEW_YORK, requested=at(now).date(), now=at(now), last_stored=None)


@pytest.mark.parametrize(
    ("first", "last", "why"),
    [
        ("2013-03-01", "2013-02-27", "exchange the two"),
        ("2013-02-27", "2013-03-04", "the newest that is final is 2013-03-01"),
        ("2013-02-23", "2013-02-24", "does not trade"),
        ("2000-01-03", "2013-03-01", "at most 1000"),
    ],
)
def test_a_range_that_makes_no_sense_is_refused(first, last, why):
    sunday = datetime(2013, 3, 3, 12, tzinfo=UTC)
    with pytest.raises(InvalidSession, match=why):
        past_sessions(NEW_YORK, date.fromisoformat(first), date.fromisoformat(last), sunday)
