"""No bar of an unfinished day is stored on either side of New York's clock changes: it is final at
22:45 there. Through the real flow, and a feed on the same clock."""

import shutil
from datetime import UTC, date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from flows.nightly import nightly
from stockml.home import current_home as home_of
from tests.support import replaying
from tests.support.scripted_feed import ScriptedFeed

# New York time; the newest bar that the feed shows, and the newest that may be stored
MOMENTS = (
    ("2012-03-12T22:44", date(2012, 3, 12), date(2012, 3, 9)),
    ("2012-03-12T22:45", date(2012, 3, 12), date(2012, 3, 12)),
    ("2012-11-05T22:44", date(2012, 11, 5), date(2012, 11, 2)),
    ("2012-11-05T22:45", date(2012, 11, 5), date(2012, 11, 5)),
)


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server", "home")
def test_no_bar_of_an_unfinished_day_is_stored_on_either_side_of_a_clock_change(
    feed: ScriptedFeed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, empty_database: Path
) -> None:
    """A first night with a free key: the 100 sessions of the answer are stored, and enough for a
    forecast."""
    replaying.use(feed, monkeypatch, plan="free")
    found = []
    for text, _, _ in MOMENTS:
        moment = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("America/New_York"))
        feed.set_clock(moment)
        monkeypatch.setenv("STOCKML_CLOCK", moment.astimezone(UTC).isoformat())
        monkeypatch.setenv("STOCKML_HOME", str(tmp_path / text))
        home_of().root.mkdir()
        shutil.copy(empty_database, home_of().root / "mlflow.db")
        state = nightly("IBM", settings=replaying.SMALL, late_retries=0, return_state=True)
        assert state.is_completed(), (text, state.message)
        found.append((text, feed.newest, replaying.store_of(home_of()).last_session("IBM")))
    assert found == list(MOMENTS)
