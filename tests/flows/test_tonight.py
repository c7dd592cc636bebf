"""A worker's run whose bar is late goes back into Prefect's queue, and holds neither process nor lock meanwhile."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.exceptions import ObjectAlreadyExists, Pause
from prefect.flow_engine import run_flow
from prefect.states import AwaitingRetry, Cancelling, Running, State

from flows.nightly import nightly
from stockml.forecasts.ledger import Ledger
from stockml.home import HomePaths
from tasks.lost_runs import MAX_DEATHS, requeue
from tests.stockml.provider.test_tiingo import sends, tiingo_rows
from tests.support import PAYLOADS, patience
from tests.support.loopback import Loopback
from tests.support.night_process import held_locks, nights
from tests.support.replaying import SMALL, THURSDAY, fill, store_of, use
from tests.support.scripted_feed import Fault, ScriptedFeed
from tests.support.workers import one_slot, until

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]

FRIDAY = date(2013, 3, 1)
POOL = "late bars"
TWENTY_MINUTES = timedelta(minutes=20)


@contextmanager
def deployed_run(
    late_retries: int, late_wait_s: float = 1200.0, session: date = FRIDAY
) -> Iterator[tuple[SyncPrefectClient, UUID]]:
    """A run of IBM's deployment for the session, due now, that nobody has picked up yet."""
    with get_client(sync_client=True) as client:
        with suppress(ObjectAlreadyExists):
            client.create_work_pool(WorkPoolCreate(name=POOL, type="process"))
        deployment = client.create_deployment(
            client.create_flow(nightly),
            "IBM",
            concurrency_limit=1,
            work_pool_name=POOL,
            entrypoint="flows.nightly.nightly",  # with a path, Prefect copies the checkout, environment and all
        )
        asked = {"ticker": "IBM", "session": str(session), "settings": SMALL}
        waits = {"late_retries": late_retries, "late_wait_s": late_wait_s}
        yield client, client.create_flow_run_from_deployment(deployment, parameters=asked | waits).id


def picked_up(client: SyncPrefectClient, run_id: UUID) -> State | None:
    """How the run ends in a worker's process; None where it left without an end."""
    try:
        state: Any = run_flow(nightly, flow_run=client.read_flow_run(run_id), return_type="state")
    except Pause:
        return None
    return state


def make_due(client: SyncPrefectClient, run_id: UUID) -> None:
    """Make the run due now."""
    client.set_flow_run_state(run_id, AwaitingRetry(scheduled_time=datetime.now(UTC)), force=True)


def assert_waits(run: FlowRun, home: HomePaths, since: datetime, wait: timedelta) -> None:
    """The run is in the queue, due when the bar is asked for again; it holds no lock and has published nothing."""
    assert run.state
    assert (run.state.name, run.state.type.value) == ("AwaitingRetry", "SCHEDULED")
    assert f"the bar of {FRIDAY} is late; the newest published is {THURSDAY}; asked again at " in str(run.state.message)
    due = run.state.state_details.scheduled_time
    assert due
    assert since + wait <= due <= datetime.now(UTC) + wait
    assert list(held_locks(home)) == []
    assert Ledger(home.ledger).entries("IBM") == ()
    assert not list((home.nights / "IBM").rglob("*.json")), "no end is remembered"
    assert store_of(home).last_session("IBM") == THURSDAY, "the bars that came are kept"


def test_after_the_last_attempt_the_run_ends_as_late(ready: HomePaths, feed: ScriptedFeed) -> None:
    with deployed_run(late_retries=2) as (client, run_id):
        for _ in range(2):
            assert picked_up(client, run_id) is None
            make_due(client, run_id)
        state = picked_up(client, run_id)
        run = client.read_flow_run(run_id)
    assert state
    assert (state.name, state.is_completed(), run.run_count) == ("Late", True, 3)
    assert feed.requests == 3, "asked anew at each attempt"
    assert Ledger(ready.ledger).entries("IBM") == ()


def test_a_first_night_that_waits_has_its_history_from_the_second_provider_and_asks_it_once(
    with_tables: HomePaths, feed: ScriptedFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its next attempt finds the newest hundred sessions in the store, where no history seems to be missing."""
    use(feed, monkeypatch, plan="free")
    feed.set_clock(THURSDAY)
    with Loopback(sends(tiingo_rows("IBM"))) as second, deployed_run(late_retries=1) as (client, run_id):
        monkeypatch.setenv("TIINGO_API_KEY", "mine1234567")
        monkeypatch.setenv("TIINGO_URL", second.address)
        assert picked_up(client, run_id) is None
        assert len(store_of(with_tables).adjusted("IBM")) > 3_000
        feed.set_clock(FRIDAY)
        make_due(client, run_id)
        state = picked_up(client, run_id)
        assert state
        assert (state.name, len(second.asked)) == ("Completed", 1)
    assert {asked.outputsize for asked in feed.asked} == {"compact"}
    [night] = nights(with_tables)
    assert night.session == FRIDAY


def test_a_weeks_first_night_that_waits_asks_the_second_provider_once(
    with_tables: HomePaths, feed: ScriptedFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(feed, monkeypatch, plan="free")
    monday, before = date(2013, 2, 25), date(2013, 2, 22)
    feed.set_clock(before)
    short = sends([row for row in tiingo_rows("IBM") if row["date"] < str(monday)][-100:])
    with Loopback(short) as second, deployed_run(late_retries=1, session=monday) as (client, run_id):
        monkeypatch.setenv("TIINGO_API_KEY", "mine1234567")
        monkeypatch.setenv("TIINGO_URL", second.address)
        assert picked_up(client, run_id) is None
        make_due(client, run_id)
        state = picked_up(client, run_id)
    assert state
    assert (state.name, store_of(with_tables).last_session("IBM")) == ("Late", before)
    assert (feed.requests, len(second.asked)) == (2, 1)


def test_kills_use_up_no_attempts_for_a_late_bar_and_waits_use_up_no_requeues(
    ready: HomePaths, feed: ScriptedFeed
) -> None:
    with deployed_run(late_retries=MAX_DEATHS) as (client, run_id):
        for _ in range(MAX_DEATHS):
            client.set_flow_run_state(run_id, Running(), force=True)
            assert requeue(client, run_id, "killed")
            make_due(client, run_id)
            assert picked_up(client, run_id) is None, "waits"
            make_due(client, run_id)
        state = picked_up(client, run_id)
    assert state
    assert state.name == "Late"


def test_a_waiting_run_can_be_cancelled_at_once(ready: HomePaths, feed: ScriptedFeed) -> None:
    with deployed_run(late_retries=3) as (client, run_id):
        assert picked_up(client, run_id) is None
        client.set_flow_run_state(run_id, Cancelling())  # as the page's button does
        run = client.read_flow_run(run_id)
    assert (run.state_name, run.state_type) == ("Cancelled", StateType.CANCELLED)
    assert Ledger(ready.ledger).entries("IBM") == ()


def test_a_worker_puts_the_run_back_and_picks_it_up_again(ready: HomePaths, feed: ScriptedFeed, tmp_path: Path) -> None:
    with deployed_run(late_retries=1) as (client, run_id), one_slot(tmp_path, POOL, every_s=1) as worker:
        began = datetime.now(UTC)
        until(client, run_id, "AwaitingRetry")
        patience.until(lambda: len(psutil.Process(worker.pid).children(recursive=True)) == 1)  # the warm process
        assert_waits(client.read_flow_run(run_id), ready, began, TWENTY_MINUTES)
        feed.set_clock(FRIDAY)
        make_due(client, run_id)
        until(client, run_id, "Completed")
        assert client.read_flow_run(run_id).run_count == 2
        names = [state.name for state in client.read_flow_run_states(run_id)]
        assert "Crashed" not in names, names
    [night] = nights(ready)
    assert (night.session, night.rows_added, night.rows_restated) == (FRIDAY, 7, 1), "what both attempts brought"
    assert feed.requests == 2
    assert Ledger(ready.ledger).last_session("IBM") == FRIDAY


def test_on_the_first_night_without_a_series_one_listing_tells_delisted_shares_from_a_typo(
    with_tables: HomePaths, feed: ScriptedFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed.set_clock(THURSDAY)
    use(feed, monkeypatch, plan="free")
    monkeypatch.setenv("STOCKML_CLOCK", "2013-02-28T23:00-05:00")
    wednesday = date(2013, 2, 27)
    fill(with_tables, ["IBM"], until=wednesday)
    feed.delisted = {"IBM": wednesday, "GONE": date(2009, 6, 1)}
    feed.script(*[Fault.file(PAYLOADS / "err_invalid_symbol.json")] * 2, symbol="IBM")
    ends, asked = [], []
    for ticker in ("IBM", "GONE", "IBN"):
        requests = feed.requests
        state = nightly(ticker, session=THURSDAY, settings=SMALL, late_retries=0, return_state=True)
        ends.append((state.name, "taken off its exchange on" in str(state.message)))
        asked.append([request.function for request in feed.asked[requests:]])
    assert asked == [["TIME_SERIES_DAILY"] * 2 + ["LISTING_STATUS"], *[["TIME_SERIES_DAILY"] * 2] * 2]
    assert ends == [("At rest", True), ("At rest", True), ("Failed", False)]
