"""Nights with a feed that makes every kind of error: the stored bars equal a clean feed's, or the
night says why."""

from dataclasses import replace

import pytest

from stockml.forecasts.ledger import Ledger
from stockml.home import HomePaths
from tests.bench import year
from tests.bench.year import Year, differing, play

pytestmark = pytest.mark.campaign


def test_after_faulty_nights_bars_and_forecasts_equal_a_clean_feeds_but_for_known_days(
    home: HomePaths,
) -> None:
    """Plays one cycle; the whole year, seven cycles, is a benchmark: `python -m
    tests.bench.year`."""
    played = play(replace(home, tracking_uri="http://127.0.0.1:9"), year.CYCLE)
    day = played.day
    bars, forecasts = differing(played)
    assert bars == {day(year.DOWN_AND_BACK)}, "set aside, and never restated"
    while_late = {day(year.LATE + nights) for nights in (1, 2, 3)}
    assert forecasts == {*while_late, day(year.DOWN_AND_BACK), day(year.RESTATED)}, (
        "nights on which other bars were known"
    )
    published = [entry.forecast.origin for entry in Ledger(home.ledger).entries("IBM")]
    silent = {year.LOST, year.LATE, year.TENFOLD, year.QUOTA, year.NO_DATA, *year.OUTAGE}
    assert published == [day(night) for night in range(year.CYCLE) if night not in silent]
    check_named(played)


def check_named(played: Year) -> None:
    """Check that each fault is named on its night."""
    day, said = played.day, {key: "\n".join(lines) for key, lines in played.said.items()}
    assert f"the bar of {day(year.LOST)} is late" in said["IBM", day(year.LOST)]
    assert f"no bar of {day(year.LOST)}" in said["IBM", day(year.CYCLE - 1)]
    assert str(day(year.LATE)) in said["IBM", day(year.LATE + 1)]
    assert str(day(year.LATE)) not in said["IBM", day(year.LATE + 6)]
    assert "times the close before" in said["IBM", day(year.TENFOLD)]
    assert str(day(year.TENFOLD)) not in said["IBM", day(year.TENFOLD + 2)]
    for night in (year.TENFOLD, year.RESTATED):
        assert f"the close of {day(night)} was restated from" in said["IBM", day(night + 1)]
    assert f"{day(year.DOWN_AND_BACK)}: close" in said["IBM", day(year.DOWN_AND_BACK + 1)]
    assert "imported history disagrees" in said["IBM", day(6)]
    assert "today's requests are used up" in said["IBM", day(year.QUOTA)]
    assert "HTTP 503" in said["IBM", day(year.NO_DATA)]
    assert "unknown symbol?" in said["OLD", day(year.RENAME)]
    assert said["NEW", day(year.RENAMED_BY_HAND)] == ""
    assert "it is delisted" in said["AAPL", day(year.OTHERS[-1])]
    assert played.requests["AAPL"] == year.DELISTED - year.OTHERS[0] + 5 + 1, (
        "five stale nights and the listing"
    )
    origins = [entry.forecast.origin for entry in Ledger(played.home.ledger).entries("NEW")]
    asked = [night for night in year.OTHERS if not year.RENAME <= night < year.RENAMED_BY_HAND]
    assert origins == [day(night) for night in asked]
