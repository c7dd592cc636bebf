"""The night by the clock, through the real flow and a feed on the same clock: holidays, half days,
and both of New York's clock changes. A bar is final at 22:45 there, on either side of a change and
on half days too.
"""

import shutil
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from prefect.states import State

from flows.nightly import nightly
from stockml.home import HomePaths
from stockml.home import current_home as home_of
from tests.support import replaying
from tests.support.scripted_feed import ScriptedFeed

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]

NEW_YORK = ZoneInfo("America/New_York")
ASKED: dict[str, Any] = {"ticker": "IBM", "settings": replaying.SMALL, "late_retries": 0}


class Evening:
    """A replayed clock that the night and the feed share."""

    def __init__(self, feed: ScriptedFeed, monkeypatch: pytest.MonkeyPatch) -> None:
        self.feed, self._monkeypatch = feed, monkeypatch

    def night(self, moment: datetime, session: date | None = None) -> State:
        """The night that is started at this moment."""
        self.feed.set_clock(moment)
        self._monkeypatch.setenv("STOCKML_CLOCK", moment.astimezone(UTC).isoformat())
        return nightly(**ASKED, session=session or "", return_state=True)


@pytest.fixture
def evening(with_tables: HomePaths, feed: ScriptedFeed, monkeypatch: pytest.MonkeyPatch) -> Evening:
    replaying.use(feed, monkeypatch, plan="free")
    return Evening(feed, monkeypatch)


def at(text: str, fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=NEW_YORK, fold=fold)


Step = tuple[str, date | None, str, int]
THANKSGIVING: tuple[Step, ...] = (
    # New York time, the session asked for (None: the newest final one), how it ends, requests
    ("2012-11-21T23:00", None, "2012-11-21", 1),
    ("2012-11-22T23:00", None, "No session", 0),  # the holiday
    ("2012-11-22T23:00", date(2012, 11, 22), "No session", 0),
    # the half day trades until 13:00: Wednesday's night again
    (
        "2012-11-23T12:59",
        None,
        "2012-11-21",
        0,
    ),
    ("2012-11-23T12:59", date(2012, 11, 23), "InvalidSession", 0),
    ("2012-11-23T13:01", date(2012, 11, 23), "InvalidSession", 0),
    # the feed shows a bar that may still change
    (
        "2012-11-23T18:31",
        date(2012, 11, 23),
        "InvalidSession",
        0,
    ),
    ("2012-11-23T22:45", None, "2012-11-23", 1),
    ("2012-11-24T12:00", None, "No session", 0),  # the weekend
    ("2012-11-25T23:00", None, "No session", 0),
)


@pytest.mark.campaign
def test_holidays_and_weekends_end_at_once_and_a_half_day_is_a_session_once_final(
    evening: Evening, home: HomePaths
) -> None:
    replaying.fill(home, ["IBM"], until=date(2012, 11, 20))
    for moment, session, expected, requests in THANKSGIVING:
        before = evening.feed.requests
        state = evening.night(at(moment), session)
        assert (ended(state), evening.feed.requests - before) == (expected, requests), (
            moment,
            state.message,
        )
    stored = replaying.store_of(home).read("IBM").loc["2012-11-21":]
    assert [day.date() for day in stored.index] == [date(2012, 11, 21), date(2012, 11, 23)]


@pytest.mark.campaign
def test_a_past_night_after_an_outage_of_months_fetches_the_history_that_it_lacks(
    evening: Evening, home: HomePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its session is within a hundred of the last bar stored, but not within the newest hundred,
    which are asked."""
    replaying.use(evening.feed, monkeypatch)
    replaying.fill(home, ["IBM"], until=date(2012, 7, 24))
    state = evening.night(at("2013-03-01T23:00"), date(2012, 8, 21))
    assert ended(state) == "2012-08-21", state.message
    assert [asked.outputsize for asked in evening.feed.asked] == ["compact", "full"]


def ended(state: State) -> str:
    """How a night ended: its session, the name of what it skipped for, or its error."""
    if state.is_failed():
        return type(state.result(raise_on_failure=False)).__name__
    night = state.result()
    return str(night.session) if night.status == "completed" else str(state.name)


FORWARD = (
    # New York time, fold; the newest bar that the feed shows, and the newest that may be stored
    ("2012-03-11T01:59", 0, date(2012, 3, 9), date(2012, 3, 9)),
    ("2012-03-11T03:00", 0, date(2012, 3, 9), date(2012, 3, 9)),  # a minute later
    ("2012-03-12T22:44", 0, date(2012, 3, 12), date(2012, 3, 9)),
    ("2012-03-12T22:45", 0, date(2012, 3, 12), date(2012, 3, 12)),
)
BACK = (
    ("2012-11-04T01:30", 0, date(2012, 11, 2), date(2012, 11, 2)),
    ("2012-11-04T01:30", 1, date(2012, 11, 2), date(2012, 11, 2)),  # an hour later
    ("2012-11-05T22:44", 0, date(2012, 11, 5), date(2012, 11, 2)),
    ("2012-11-05T22:45", 0, date(2012, 11, 5), date(2012, 11, 5)),
)


@pytest.mark.parametrize("moments", [FORWARD, BACK], ids=["forward", "back"])
def test_no_bar_of_an_unfinished_day_is_stored_on_either_side_of_a_clock_change(
    moments: tuple[Any, ...],
    evening: Evening,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    empty_database: Path,
) -> None:
    """A first night with a free key: the 100 sessions of the answer are stored, and enough for a
    forecast."""
    found = []
    for number, (moment, fold, _, _) in enumerate(moments):
        monkeypatch.setenv("STOCKML_HOME", str(tmp_path / str(number)))
        home_of().root.mkdir()
        shutil.copy(empty_database, home_of().root / "mlflow.db")
        state = evening.night(at(moment, fold))
        assert state.is_completed(), (moment, state.message)
        newest = replaying.store_of(home_of()).last_session("IBM")
        found.append((moment, fold, evening.feed.newest, newest))
    assert found == list(moments)
