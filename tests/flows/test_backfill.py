"""Past sessions in order, on a real Prefect server and a real feed: what each night saw, and what
was requested."""

import json
from datetime import date

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, FlowRunFilter
from prefect.client.schemas.sorting import ArtifactSort

from flows.backfill import backfill
from stockml.forecasts.ledger import Ledger
from stockml.models.registry import Registry
from stockml.nights.record import read_night
from stockml.prices.series import PriceSeries
from tests.stockml.provider.test_tiingo import sends, tiingo_rows
from tests.support.loopback import Loopback
from tests.support.replaying import SMALL, fill, store_of, use
from tests.support.verdicts import check_every_page_says_the_same

pytestmark = pytest.mark.slow
WEDNESDAY, FRIDAY = date(2013, 2, 27), date(2013, 3, 1)


def run(ticker="IBM", first=WEDNESDAY, last=FRIDAY, **changes):
    return backfill(ticker, first, last, return_state=True, **{"settings": SMALL} | changes)


@pytest.fixture
def replay(with_tables, feed, monkeypatch, prefect_server):
    use(feed, monkeypatch)
    fill(with_tables, ["IBM"])
    return with_tables


def test_every_night_learns_in_order_and_sees_nothing_later(replay, feed):
    easily = {"evaluation": SMALL["evaluation"] | {"replace_after_sessions": 1}}
    state = run(learn="every night", mode="fine-tune", settings=easily)
    rows = state.result()
    nights = [WEDNESDAY, date(2013, 2, 28), FRIDAY]
    assert [(row.session, row.status) for row in rows] == [(day, "completed") for day in nights]
    assert state.name == "Completed"
    assert feed.requests == 1
    for row in rows:
        seen = PriceSeries.read(replay.datasets / "IBM" / f"{row.session}.parquet")
        assert seen.sessions[-1].item() == row.session
    assert [entry.forecast.origin for entry in Ledger(replay.ledger).entries("IBM")] == [
        row.session for row in rows
    ]


def test_nights_before_the_champions_own_never_see_it_and_leave_it_in_office(replay, feed):
    run(first=FRIDAY)
    champion = Registry(replay.models).champion("IBM")
    rows = run(last=date(2013, 2, 28), learn="every night").result()
    assert [(row.session.day, row.promoted) for row in rows] == [(27, False), (28, False)]
    decided = [json.loads(path.read_text()) for path in replay.nights.glob("IBM/decision-*.json")]
    earlier = [each for each in decided if each["session"] != str(FRIDAY)]
    assert [each["reason"] for each in earlier] == ["the champion is of a later session"] * 2
    assert [each["champion"] for each in earlier] == [None, None]
    assert Registry(replay.models).champion("IBM") == champion
    for night in map(read_night, replay.nights.glob("IBM/*/night.json")):
        check_every_page_says_the_same(replay, night)
    with get_client(sync_client=True) as client:
        of_ibm = ArtifactFilter.model_validate({"key": {"any_": ["night-ibm"]}})
        [shown] = client.read_artifacts(
            artifact_filter=of_ibm, sort=ArtifactSort.CREATED_DESC, limit=1
        )
    assert shown.description == f"IBM {FRIDAY}", (
        "the page under the ticker's name is its newest night's"
    )


def test_learning_once_at_the_end_stores_all_bars_and_trains_one_night(replay, feed):
    (row,) = run().result()
    assert row.session == FRIDAY
    assert store_of(replay).last_session("IBM") == FRIDAY
    assert len(Ledger(replay.ledger).entries("IBM")) == 1
    before = feed.requests
    assert run().result()[0].session == FRIDAY
    assert feed.requests == before
    with get_client(sync_client=True) as client:
        named = FlowRunFilter.model_validate({"name": {"any_": [f"IBM {FRIDAY}"]}})
        nights = client.read_flow_runs(flow_run_filter=named)
    assert {each.parameters.get("ticker") for each in nights} == {"IBM"}, "by which it is ended"


def test_a_newcomer_gets_its_history_and_splits_as_on_its_first_night(replay, feed):
    (row,) = run("MSFT").result()
    assert [asked.function for asked in feed.asked] == ["TIME_SERIES_DAILY", "SPLITS"]
    assert feed.asked[0].outputsize == "full"
    assert (row.status, row.session) == ("completed", FRIDAY)
    assert len(store_of(replay).adjusted("MSFT")) > 3_000
    assert store_of(replay).unexplained_jumps("MSFT") == ()


def test_a_free_key_does_not_ask_for_what_it_cannot_have_and_a_second_providers_key_brings_it(
    replay, feed, monkeypatch
):
    use(feed, monkeypatch, plan="free")
    past = date(2012, 1, 3)
    assert run("AAPL", past, past).name == "No bar"
    with Loopback(sends(tiingo_rows("MSFT"))) as second:
        monkeypatch.setenv("TIINGO_API_KEY", "mine1234567")
        monkeypatch.setenv("TIINGO_URL", second.address)
        [row] = run("MSFT", past, past).result()
        assert (row.status, row.session, len(second.asked)) == ("completed", past, 1)
        assert run("AAPL", past, past).name == "No bar"
        assert len(second.asked) == 1, "it has had its first night"
    assert {asked.outputsize for asked in feed.asked} == {"compact"}
