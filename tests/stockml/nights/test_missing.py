"""The morning digest: which tickers lack a forecast of the newest session whose night is over, and
why, in one line."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

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
from stockml.provider.client import Delistings
from tests.support.nights import recorded_night

FINAL = datetime(2013, 3, 2, 3, 45, tzinfo=UTC)  # 22:45 in New York: the bar of 2013-03-01
MORNING = datetime(2013, 3, 1, 12, tzinfo=UTC)


def keep(home, ticker="IBM", **changes):
    keep_newest(home.nights, replace(recorded_night(), ticker=ticker, **changes))


def named(home, now, *tickers, **calendars):
    return [row.ticker for row in missing(home, tickers, now, calendars)]


def test_a_forecast_is_not_missing_until_the_next_sessions_night_should_be_over(home):
    assert named(home, MORNING, "IBM") == ["IBM"]
    keep(home)
    assert named(home, MORNING, "IBM") == []
    assert named(home, FINAL + timedelta(minutes=119), "IBM") == []
    assert named(home, FINAL + timedelta(minutes=120), "IBM") == ["IBM"]
    keep(home, session=date(2013, 3, 1))
    assert named(home, MORNING + timedelta(days=3.7), "IBM") == [], "no session on a weekend"


def test_the_tickers_own_calendar_decides_what_is_missing(home):
    keep(home, "TSCO.LON")
    # London's bar of 2013-03-01 has been final since 23:15, New York's is not yet
    evening = datetime(2013, 3, 2, 2, tzinfo=UTC)
    assert named(home, evening, "TSCO.LON") == ["TSCO.LON"]
    assert named(home, evening, "TSCO.LON", **{"TSCO.LON": "XNYS"}) == []


def test_the_digest_has_a_line_for_what_is_new_and_a_forecast_is_long_missing_on_one_morning(home):
    change = {"answer/day_change_pct": -2.0}
    keep(home, "MSFT", metrics=change)
    keep(home, metrics=change, verdict=replace(recorded_night().verdict, promoted=True))
    told = []
    for day in range(1, 9):
        now = datetime(2013, 3, day, 12, tzinfo=UTC)
        listed = rows(home, ["IBM", "MSFT"], now)
        lacking = missing(home, ["IBM", "MSFT"], now, {})
        told += [(row.ticker, day) for row in long_missing(home, lacking, now, {})]
        if day == 1:
            assert digest(listed, lacking) == "IBM: calm, -2.0%, new model\nnothing new on 1 share"
    assert digest(listed, lacking).splitlines()[0] == "IBM: no forecast, 5 sessions behind"
    assert told == [("IBM", 5), ("MSFT", 5)]


def test_a_share_at_rest_lacks_no_forecast(home):
    """AAPL has no forecast, GOOG is not delisted yet, SNOW was forecast after another company's
    delisting."""
    days = {"FB": date(2013, 2, 20), "GOOG": date(2013, 4, 1)}
    days |= {"AAPL": date(1999, 2, 19), "SNOW": date(2008, 1, 2)}
    Delistings(MORNING, days).write(home.delistings)
    for ticker in ("FB", "GOOG", "SNOW"):
        keep(home, ticker, session=date(2013, 2, 19))
    assert named(home, MORNING, *days) == ["AAPL", "GOOG", "SNOW"]


def test_the_line_says_why(home):
    keep(home)
    at = recorded_night().finished_at + timedelta(days=1)
    record_run(home.nights, "IBM", LastRun("Skipped: quota", "IBM: used up", at))
    lacking = missing(home, ["IBM", "AAPL"], MORNING + timedelta(days=1), {})
    why = "AAPL (no night yet); IBM (1 session behind; skipped: quota: used up)"
    assert missing_line(lacking, 3) == f"no forecast of the newest session for 2 of 3: {why}"


def test_a_ticker_that_cannot_be_judged_is_listed_with_its_error_beside_the_others(home):
    keep(home, "VOD")
    line = missing_line(missing(home, ["IBM", "VOD"], MORNING, {"VOD": "XMARS"}), 2)
    assert "for 2 of 2: IBM (no night yet); VOD (expected calendar to be" in line
