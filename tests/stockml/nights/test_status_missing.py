"""The morning digest: which tickers lack a forecast of the newest session whose night is over, and
why, in one line."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from stockml.home import HomePaths
from stockml.nights.key_figures import keep_newest
from stockml.nights.status import (
    LastRun,
    digest,
    long_missing,
    missing,
    missing_line,
    record_run,
    rows,
)
from stockml.provider.listing import Delistings
from tests.support.nights import recorded_night

FINAL = datetime(2013, 3, 2, 3, 45, tzinfo=UTC)  # 22:45 in New York: the bar of 2013-03-01
MORNING = datetime(2013, 3, 1, 12, tzinfo=UTC)
NEXT = MORNING + timedelta(days=1)


def named(home: HomePaths, now: datetime, *tickers: str, **calendars: str) -> list[str]:
    return [row.ticker for row in missing(home, tickers, now, calendars)]


def test_a_forecast_is_not_missing_until_the_next_sessions_night_should_be_over(
    home: HomePaths,
) -> None:
    assert named(home, MORNING, "IBM") == ["IBM"]
    keep_newest(home.nights, recorded_night())
    assert named(home, MORNING, "IBM") == []
    assert named(home, FINAL + timedelta(minutes=119), "IBM") == []
    assert named(home, FINAL + timedelta(minutes=120), "IBM") == ["IBM"]
    monday = MORNING + timedelta(days=4)
    keep_newest(home.nights, replace(recorded_night(), session=date(2013, 3, 1)))
    assert named(home, monday - timedelta(hours=8), "IBM") == [], "no session on a weekend"


def test_the_tickers_own_calendar_decides_what_is_missing(home: HomePaths) -> None:
    keep_newest(home.nights, replace(recorded_night(), ticker="TSCO.LON"))
    # London's bar of 2013-03-01 has been final since 23:15, New York's is not yet
    evening = datetime(2013, 3, 2, 2, tzinfo=UTC)
    assert named(home, evening, "TSCO.LON") == ["TSCO.LON"]
    assert named(home, evening, "TSCO.LON", **{"TSCO.LON": "XNYS"}) == []


def test_the_digest_has_a_line_for_what_is_new_and_a_forecast_is_long_missing_on_one_morning(
    home: HomePaths,
) -> None:
    night = recorded_night(metrics={"answer/day_change_pct": -2.0})
    keep_newest(home.nights, replace(night, ticker="MSFT"))
    assert night.verdict
    promoted = replace(night, verdict=replace(night.verdict, promoted=True))
    keep_newest(home.nights, promoted)
    told = []
    for day in range(1, 9):
        now = datetime(2013, 3, day, 12, tzinfo=UTC)
        listed = rows(home, ["IBM", "MSFT"], now)
        lacking = missing(home, ["IBM", "MSFT"], now, {})
        told += [(row.ticker, day) for row in long_missing(home, lacking, now, {})]
        if day == 1:
            assert digest(listed, lacking) == "IBM: calm, -2.0%, new model\nnothing new on 1 share"
        if day == 8:
            assert digest(listed, lacking).startswith(
                "IBM: no forecast, 5 sessions behind\nMSFT: no forecast, 5"
            )
    assert told == [("IBM", 5), ("MSFT", 5)]


def test_a_share_at_rest_lacks_no_forecast(home: HomePaths) -> None:
    days = {
        "FB": date(2013, 2, 20),
        "GOOG": date(2013, 4, 1),
        "AAPL": date(1999, 2, 19),
        "SNOW": date(2008, 1, 2),
    }
    Delistings(MORNING, days).write(home.delistings)
    for ticker in ("FB", "GOOG", "SNOW"):
        keep_newest(
            home.nights, replace(recorded_night(), ticker=ticker, session=date(2013, 2, 19))
        )
    found = named(home, MORNING, "FB", "GOOG", "SNOW", "AAPL")
    assert found == ["AAPL", "GOOG", "SNOW"], (
        "AAPL has no forecast, GOOG is not delisted yet, SNOW was forecast after another "
        "company's delisting"
    )


@pytest.mark.parametrize(
    ("state", "why"),
    [
        ("Late", "the bar of 2013-03-01 is late"),
        ("Stale", "the feed is stale"),
        ("Set aside", "the bar of 2013-03-01 is set aside"),
        ("Skipped: quota", "today's requests are used up"),
        ("Failed", "expected a valid Alpha Vantage key"),
    ],
)
@pytest.mark.parametrize("named", ["", "IBM: "])
def test_the_line_says_why(home: HomePaths, state: str, why: str, named: str) -> None:
    keep_newest(home.nights, recorded_night())
    record_run(
        home.nights,
        "IBM",
        LastRun(state, f"{named}{why}", recorded_night().finished_at + timedelta(days=1)),
    )
    found = missing(home, ["IBM", "AAPL"], NEXT, {})
    line = f"AAPL (no night yet); IBM (1 session behind; {state.lower()}: {why})"
    assert missing_line(found, 3) == f"no forecast of the newest session for 2 of 3: {line}"


def test_a_ticker_that_cannot_be_judged_is_listed_with_its_error_beside_the_others(
    home: HomePaths,
) -> None:
    keep_newest(home.nights, replace(recorded_night(), ticker="VOD"))
    line = missing_line(missing(home, ["IBM", "VOD"], MORNING, {"VOD": "XMARS"}), 2)
    assert "for 2 of 2: IBM (no night yet); VOD (expected calendar to be" in line
