"""What kind of night it is: no session, an ordinary one, a late bar or a feed that has stopped."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from stockml.errors import InvalidSession
from stockml.nights import states
from stockml.nights.session_status import SessionStatus, past_sessions, session_status
from stockml.prices.calendar import sessions_for
from tests.stockml.prices.test_calendar import at

NEW_YORK = sessions_for("IBM")
WEDNESDAY, FRIDAY = date(2013, 2, 27), date(2013, 3, 1)
SUNDAY = datetime(2013, 3, 3, 12, tzinfo=UTC)


TUESDAY_NIGHT, THANKSGIVING_NIGHT = at("2026-11-24T23:00"), at("2026-11-26T23:00")


NONE_ON_THANKSGIVING = SessionStatus(
    date(2026, 11, 26), "no session on 2026-11-26; the next is 2026-11-27", states.NO_SESSION
)


def ordinary(session, half=""):
    return SessionStatus(session, f"session {session}{half}")


def late(session, newest):
    return SessionStatus(
        session, f"the bar of {session} is late; the newest published is {newest}", states.LATE
    )


def stale(session, newest, age):
    text = f"the feed is stale: its last bar is of {newest}, {age} sessions before {session}"
    return SessionStatus(session, text, states.STALE)


@pytest.mark.parametrize(
    ("requested", "now", "last_stored", "newest", "outcome"),
    [
        (None, TUESDAY_NIGHT, None, None, ordinary(date(2026, 11, 24))),
        (None, TUESDAY_NIGHT, date(2026, 11, 23), date(2026, 11, 24), ordinary(date(2026, 11, 24))),
        (None, TUESDAY_NIGHT, date(2026, 11, 24), None, ordinary(date(2026, 11, 24))),
        (
            None,
            at("2026-11-27T23:00"),
            date(2026, 11, 25),
            None,
            ordinary(date(2026, 11, 27), ", a half day"),
        ),
        (None, THANKSGIVING_NIGHT, date(2026, 11, 25), None, NONE_ON_THANKSGIVING),
        # catches up
        (
            None,
            THANKSGIVING_NIGHT,
            date(2026, 11, 24),
            None,
            ordinary(date(2026, 11, 25)),
        ),
        (None, THANKSGIVING_NIGHT, None, None, ordinary(date(2026, 11, 25))),  # a first night
        (date(2026, 11, 26), THANKSGIVING_NIGHT, None, None, NONE_ON_THANKSGIVING),
        (date(2026, 11, 20), TUESDAY_NIGHT, None, date(2026, 11, 24), ordinary(date(2026, 11, 20))),
        (
            None,
            TUESDAY_NIGHT,
            None,
            date(2026, 11, 23),
            late(date(2026, 11, 24), date(2026, 11, 23)),
        ),
        (
            None,
            TUESDAY_NIGHT,
            None,
            date(2026, 11, 18),
            late(date(2026, 11, 24), date(2026, 11, 18)),
        ),
        (
            None,
            TUESDAY_NIGHT,
            None,
            date(2026, 11, 17),
            stale(date(2026, 11, 24), date(2026, 11, 17), 5),
        ),
        (
            None,
            TUESDAY_NIGHT,
            None,
            date(2026, 6, 30),
            stale(date(2026, 11, 24), date(2026, 6, 30), 103),
        ),
    ],
)
def test_a_night_is_ordinary_late_stale_or_without_a_session(
    requested, now, last_stored, newest, outcome
):
    found = session_status(
        NEW_YORK, requested=requested, now=now, last_stored=last_stored, newest=newest
    )
    assert found == outcome
    assert str(found) == found.text


@pytest.mark.parametrize(
    ("now", "without"),
    [
        ("2026-08-31T12:00", "2026-08-31"),  # the bank holiday
        ("2026-09-01T06:05", "2026-08-31"),  # the morning after, at which its night is scheduled
        # by hand, once the exchange has opened: Friday's night again, as on any day
        (
            "2026-09-01T08:00",
            None,
        ),
        ("2026-09-01T23:30", None),
        ("2026-09-07T06:05", None),  # a Monday: the weekend had no night
        ("2026-04-07T06:05", "2026-04-06"),  # after Easter
    ],
)
def test_the_morning_after_a_foreign_holiday_asks_for_no_bar(now, without):
    """It ran Friday's night again, for a request."""
    london, moment = (
        sessions_for("TSCO.LON"),
        datetime.fromisoformat(now).replace(tzinfo=ZoneInfo("Europe/London")),
    )
    done = london.last_final(moment)
    found = session_status(london, requested=None, now=moment, last_stored=done)
    assert (found.state, str(found.session)) == (
        (states.NO_SESSION, without) if without else (None, str(done))
    )
    assert session_status(london, requested=None, now=moment, last_stored=None).session == done, (
        "still catches up"
    )


@pytest.mark.parametrize(
    ("now", "final"),
    [
        ("2026-11-24T12:00", "22:45 EST"),
        ("2012-11-23T13:01", "23 22:45 EST"),
        ("2012-03-12T22:44", "22:45 EDT"),
    ],
)
def test_an_unfinished_session_cannot_be_requested_even_after_a_half_days_close(now, final):
    with pytest.raises(InvalidSession, match=final):
        session_status(NEW_YORK, requested=at(now).date(), now=at(now), last_stored=None)


@pytest.mark.parametrize(
    ("first", "last", "why"),
    [
        (FRIDAY, WEDNESDAY, "exchange the two"),
        (WEDNESDAY, date(2013, 3, 4), "the newest that is final is 2013-03-01"),
        (date(2013, 3, 2), date(2013, 3, 2), "final|does not trade"),
        (date(2013, 2, 23), date(2013, 2, 24), "does not trade"),
        (date(2000, 1, 3), FRIDAY, "at most 1000 at a time"),
    ],
)
def test_a_range_that_makes_no_sense_is_refused(first: date, last: date, why: str) -> None:
    with pytest.raises(InvalidSession, match=why):
        past_sessions(sessions_for("IBM"), first, last, SUNDAY)
