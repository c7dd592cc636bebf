"""Which past sessions lack a bar, and what a night finds in the store."""

from dataclasses import replace
from datetime import UTC, datetime

from stockml.home import HomePaths
from stockml.nights.ingest import as_stored, without_bar
from tests.stockml.nights.test_data_notes import IBM, append, store_of

NOW = datetime(2013, 3, 3, 12, tzinfo=UTC)


def test_sessions_lack_a_bar_unless_it_was_fetched_or_imported(home: HomePaths) -> None:
    days, bars = tuple(day.date() for day in IBM.index[-20:]), IBM.iloc[-20:]
    assert without_bar(home, "IBM", days, None) == days, "before the first bar"
    append(home, bars.drop(bars.index[[4, 11]]))
    assert without_bar(home, "IBM", days, None) == (days[4], days[11])
    store_of(home).record_import("IBM", bars.iloc[:9], recorded_at=NOW, source="test")
    assert without_bar(home, "IBM", days, None) == (days[11],)


def test_where_history_does_not_reach_the_bars_all_sessions_are_asked_for(home: HomePaths) -> None:
    store_of(home).record_import("IBM", IBM.iloc[-40:-20], recorded_at=NOW, source="test")
    append(home, IBM.iloc[-10:])
    days = tuple(day.date() for day in IBM.index[-40:])
    assert without_bar(home, "IBM", days, None) == days


def test_a_night_on_the_store_as_it_is_adds_nothing_to_it(home: HomePaths) -> None:
    appended = append(home, IBM.iloc[-20:])
    found = as_stored(home, "IBM", appended.session)
    assert found == replace(appended, added=0, restated=0, unchanged=0)
    assert found.identity() == appended.identity()
    assert found.is_reusable()
