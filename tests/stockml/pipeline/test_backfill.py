"""Which past sessions are asked for, which of them lack a bar, and what a night finds in the store."""

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from stockml.errors import InvalidSession
from stockml.home import Home
from stockml.pipeline.backfill import as_stored, past_sessions, without_bar
from stockml.prices.calendar import sessions_for
from tests.stockml.pipeline.test_data_notes import IBM, append, store_of

WEDNESDAY, FRIDAY = date(2013, 2, 27), date(2013, 3, 1)
NOW = datetime(2013, 3, 3, 12, tzinfo=UTC)


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
        past_sessions(sessions_for("IBM"), first, last, NOW)


def test_a_range_is_its_sessions_in_order() -> None:
    assert past_sessions(sessions_for("IBM"), date(2013, 2, 23), FRIDAY, NOW) == (
        date(2013, 2, 25),
        date(2013, 2, 26),
        WEDNESDAY,
        date(2013, 2, 28),
        FRIDAY,
    )


def test_sessions_lack_a_bar_unless_it_was_fetched_or_imported(home: Home) -> None:
    days, bars = tuple(day.date() for day in IBM.index[-20:]), IBM.iloc[-20:]
    assert without_bar(home, "IBM", days, None) == days, "before the first bar"
    append(home, bars.drop(bars.index[[4, 11]]))
    assert without_bar(home, "IBM", days, None) == (days[4], days[11])
    store_of(home).record_import("IBM", bars.iloc[:9], recorded_at=NOW, source="test")
    assert without_bar(home, "IBM", days, None) == (days[11],)


def test_where_history_does_not_reach_the_bars_all_sessions_are_asked_for(home: Home) -> None:
    store_of(home).record_import("IBM", IBM.iloc[-40:-20], recorded_at=NOW, source="test")
    append(home, IBM.iloc[-10:])
    days = tuple(day.date() for day in IBM.index[-40:])
    assert without_bar(home, "IBM", days, None) == days


def test_a_night_on_the_store_as_it_is_adds_nothing_to_it(home: Home) -> None:
    appended = append(home, IBM.iloc[-20:])
    found = as_stored(home, "IBM", appended.session)
    assert found == replace(appended, added=0, restated=0, unchanged=0)
    assert found.identity() == appended.identity()
    assert found.is_reusable()
