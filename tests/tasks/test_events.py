"""What a night tells on its ticker's resource: once, and again only for what is new."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from prefect.client.orchestration import get_client
from prefect.events.filters import EventFilter

from stockml.forecasts.ledger import Ledger, LedgerEntry
from tasks import events
from tests.support.nights import recorded_night
from tests.support.patience import until
from tests.support.replaying import THURSDAY, fill


def told(count, since, ticker):
    """The ticker's events, once the server has so many."""
    of_ticker = {"resource": {"id": [f"stockml.ticker.{ticker}"]}, "occurred": {"since": since}}

    def found():
        with get_client(sync_client=True) as client:
            page = client.read_events(EventFilter.model_validate(of_ticker), limit=50).events
        return page if len(page) >= count else []

    return until(found, every_s=0.3)


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
def test_a_new_night_tells_what_it_published_and_promoted_and_a_repeated_one_nothing(home):
    since = datetime.now(UTC)
    fill(home, {"T9": "IBM"}, THURSDAY)
    night = recorded_night()
    assert night.verdict
    assert night.forecast
    night = replace(night, ticker="T9", verdict=replace(night.verdict, promoted=True))
    events.tell_of_night(night, events.published_before("T9"))
    at = datetime(2013, 3, 1, 4, tzinfo=UTC)
    Ledger(home.ledger).publish(LedgerEntry("T9", night.key, at, night.forecast))
    events.tell_of_night(night, events.published_before("T9"))
    events.tell_of_skipped(replace(night, reason="the bar is late"), "Late")
    found = {event.event: event.payload for event in told(3, since, "T9")}
    told_of = ("forecast.published", "model.promoted", "run.skipped")
    assert {*found} == {f"stockml.{name}" for name in told_of}
    published, _, skipped = (found[f"stockml.{name}"] for name in told_of)
    assert {payload["session"] for payload in found.values()} == {str(night.session)}
    assert published["low_80"] < published["close"] < published["high_80"]
    assert skipped["reason"] == "the bar is late"
    said = "T9: closed at 200.83; 80% of closes in 20 sessions between "
    assert published["text"].startswith(said)
