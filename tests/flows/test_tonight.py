"""What is not there tonight, a late bar or any answer, is asked for by another run of the same
deployment."""

from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType
from prefect.flow_engine import run_flow
from prefect.states import Scheduled

from flows.nightly import nightly
from stockml.forecasts.ledger import Ledger
from tasks.run_records import in_state, runs_of
from tasks.steps import fetch_daily
from tests.stockml.provider.test_tiingo import sends, tiingo_rows
from tests.support import PAYLOADS
from tests.support.loopback import Loopback
from tests.support.night_process import held_locks, nights
from tests.support.replaying import SMALL, THURSDAY, fill, store_of, use
from tests.support.scripted_feed import Fault

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]

FRIDAY = date(2013, 3, 1)
BUSY = Fault.of((PAYLOADS / "html_503_heroku_2018.html").read_bytes(), 503)


class Deployed:
    """A flow's deployment, whose runs a worker takes as they come due."""

    def __init__(self, client, flow):
        self.client, self.flow = client, flow
        self.id = client.create_deployment(client.create_flow(flow), "IBM", concurrency_limit=1)

    def waiting(self):
        filtered = in_state([StateType.SCHEDULED], deployment_id={"any_": [self.id]})
        return list(runs_of(self.client, filtered))

    def next_run(self, again=None):
        """The end of the only one that waits, taken as if it were due, or of this one again."""
        [run] = [again] if again else self.waiting()
        due = Scheduled(scheduled_time=datetime.now(UTC))
        self.client.set_flow_run_state(run.id, due, force=True)
        run = self.client.read_flow_run(run.id)
        state: Any = run_flow(self.flow, flow_run=run, return_type="state")
        return state


@contextmanager
def deployed(flow=nightly, **asked):
    """With a first run of Friday's session that nobody has taken yet."""
    usual = {} if "tickers" in asked else {"ticker": "IBM"}
    parameters = {"session": str(FRIDAY), "settings": SMALL, **usual, **asked}
    with get_client(sync_client=True) as client:
        night = Deployed(client, flow)
        client.create_flow_run_from_deployment(night.id, parameters=parameters)
        yield night
        client.delete_deployment(night.id)


def test_a_late_bar_is_asked_for_by_runs_with_one_retry_less_each_until_the_last_ends_as_late(
    ready, feed
):
    """Each asks anew, and holds neither slot nor lock until the next is due."""
    with deployed(late_retries=2, mode="keep") as night:
        since, wait = datetime.now(UTC), timedelta(minutes=20)
        state = night.next_run()
        assert (state.name, state.is_completed()) == ("Waiting", True)
        assert "asked again at " in str(state.message)
        [again] = night.waiting()
        due = again.next_scheduled_start_time
        assert due
        assert since + wait <= due <= datetime.now(UTC) + wait
        assert (again.parameters["late_retries"], again.parameters["mode"]) == (1, "keep")
        assert list(held_locks(ready)) == []
        assert store_of(ready).last_session("IBM") == THURSDAY, "the bars that came are kept"
        assert [night.next_run().name for _ in range(2)] == ["Waiting", "Late"]
        assert night.waiting() == []
    assert feed.requests == 3
    assert Ledger(ready.ledger).entries("IBM") == ()


def test_the_run_that_finds_the_bar_completes_the_night(ready, feed):
    with deployed(late_retries=1) as night:
        assert night.next_run().name == "Waiting"
        feed.set_clock(FRIDAY)
        assert night.next_run().name == "Completed"
    [done] = nights(ready)
    assert (done.session, done.rows_added) == (FRIDAY, 1), "what its own answer brought"


def test_an_evening_without_answers_is_waited_for_and_then_skipped_with_the_reason(
    ready, feed, monkeypatch
):
    """A burst notice and then HTTP 503 used to end the night, with 23 of the day's 25 requests
    unspent."""
    monkeypatch.setattr("flows.tonight.fetch_daily", fetch_daily.with_options(retries=0))
    feed.outage(BUSY)
    with deployed(late_retries=1, session=str(THURSDAY)) as night:
        assert night.next_run().name == "Waiting"
        state = night.next_run()
        assert (state.name, state.is_completed()) == ("Skipped: no answer", True)
        assert "HTTP 503" in str(state.message)
        assert night.waiting() == []


def test_a_run_that_is_repeated_after_a_kill_asks_for_no_second_one(ready):
    with deployed(late_retries=3) as night:
        [first] = night.waiting()
        assert night.next_run().name == "Waiting"
        night.next_run(again=first)
        assert len(night.waiting()) == 1


def test_with_a_frozen_clock_a_late_bar_ends_the_night(ready, feed, monkeypatch):
    monkeypatch.setenv("STOCKML_CLOCK", "2013-03-02T12:00:00+00:00")
    with deployed(late_retries=3) as night:
        assert (night.next_run().name, night.waiting()) == ("Late", [])


def test_a_first_night_that_waits_has_its_history_from_the_second_provider_and_asks_it_once(
    with_tables, feed, monkeypatch
):
    """The next run finds the newest hundred sessions in the store, where no history seems to be
    missing."""
    use(feed, monkeypatch, plan="free")
    feed.set_clock(THURSDAY)
    with Loopback(sends(tiingo_rows("IBM"))) as second, deployed(late_retries=1) as night:
        monkeypatch.setenv("TIINGO_API_KEY", "mine1234567")
        monkeypatch.setenv("TIINGO_URL", second.address)
        assert night.next_run().name == "Waiting"
        assert len(store_of(with_tables).adjusted("IBM")) > 3_000
        feed.set_clock(FRIDAY)
        assert (night.next_run().name, len(second.asked)) == ("Completed", 1)
    assert {asked.outputsize for asked in feed.asked} == {"compact"}
    [done] = nights(with_tables)
    assert done.session == FRIDAY


def test_a_past_night_after_an_outage_of_months_fetches_the_history_that_it_lacks(
    with_tables, feed, monkeypatch
):
    """Its session is within a hundred of the last bar stored, but not within the newest hundred,
    which are asked."""
    use(feed, monkeypatch)
    feed.set_clock(FRIDAY)
    fill(with_tables, ["IBM"], until=date(2012, 7, 24))
    past = date(2012, 8, 21)
    state = nightly("IBM", session=past, settings=SMALL, late_retries=0, return_state=True)
    assert (state.name, state.result().session) == ("Completed", past)
    assert [asked.outputsize for asked in feed.asked] == ["compact", "full"]
