"""What a night tells on its ticker's resource: once, and again only for what is new."""

import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.events import Event
from prefect.events.filters import EventFilter

from stockml.forecasts.ledger import Ledger, LedgerEntry
from stockml.home import HomePaths
from stockml.nights.record import Night
from tasks import events
from tests.support.nights import recorded_night
from tests.support.patience import until
from tests.support.replaying import THURSDAY, fill


def told(count: int, since: datetime, ticker: str) -> list[Event]:
    """The ticker's events, once the server has so many."""
    of_ticker = {"resource": {"id": [f"stockml.ticker.{ticker}"]}, "occurred": {"since": since}}

    def found() -> list[Event]:
        with get_client(sync_client=True) as client:
            page = client.read_events(EventFilter.model_validate(of_ticker), limit=50).events
        return page if len(page) >= count else []

    return until(found, every_s=0.3)


def publish(home: HomePaths, night: Night) -> None:
    assert night.forecast
    at = datetime(2013, 3, 1, 4, tzinfo=UTC)
    Ledger(home.ledger).publish(LedgerEntry(night.ticker, night.key, at, night.forecast))


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
def test_a_new_night_tells_what_it_published_and_promoted_and_a_repeated_one_nothing(
    home: HomePaths,
) -> None:
    since = datetime.now(UTC)
    fill(home, {"T9": "IBM"}, THURSDAY)
    night = replace(recorded_night(), ticker="T9")
    assert night.verdict
    night = replace(night, verdict=replace(night.verdict, promoted=True))
    events.tell_of_night(night, events.published_before("T9"))
    publish(home, night)
    events.tell_of_night(night, events.published_before("T9"))
    events.tell_of_skipped(replace(night, reason="the bar is late"), "Late")
    found = {event.event: event.payload for event in told(3, since, "T9")}
    assert {*found} == {
        "stockml.forecast.published",
        "stockml.model.promoted",
        "stockml.run.skipped",
    }
    assert all(payload["session"] == str(night.session) for payload in found.values())
    published = found["stockml.forecast.published"]
    assert published["low_80"] < published["close"] < published["high_80"]
    assert found["stockml.run.skipped"]["reason"] == "the bar is late"
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "server.md").read_text()
    listed = {*re.findall(r"\| `(stockml\.\w+\.\w+)` \|", page)}
    assert published["text"].startswith(
        "T9: closed at 200.83; 80% of closes in 20 sessions between "
    )
    others = ("width.unusual", "band.missed", "coverage.wrong", "forecast.missing", "digest.ready")
    assert {*found, *(f"stockml.{name}" for name in others)} == listed
