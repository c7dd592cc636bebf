"""Many tickers in one run, on a real Prefect server, a real feed and real worker processes: which
tickers run, what stands afterwards, and what the run's end says."""

import csv
import os
import signal
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import psutil
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter

from flows.nightly import nightly
from flows.tonight import NightRequest, turn
from flows.universe import universe
from stockml import clock
from stockml.forecasts.ledger import Ledger
from stockml.nights.status import last_run
from stockml.nights.universe import NightRow
from stockml.prices.calendar import sessions_for
from stockml.provider.quota import Plan, QuotaLedger, noted_turns
from stockml.settings import Settings
from stockml.storage.locks import FileNotes
from tasks.artifacts import final_state
from tasks.provider import join_turns, provider, stalest_of, turn_of
from tests.flows.test_tonight import deployed
from tests.support.replaying import SMALL, fill, store_of, use
from tests.support.scripted_feed import ScriptedFeed

THURSDAY = date(2013, 2, 28)


class Killer:
    """Sends SIGKILL, once, to the worker process that asks for `symbol`; the feed calls it during
    that request."""

    symbol: str | None = None
    killed: int | None = None

    def __call__(self, asked):
        if self.killed is None and asked.symbol == self.symbol:
            self.killed = next(process.pid for process in workers() if is_connected(process))
            os.kill(self.killed, signal.SIGKILL)


def workers():
    """This test's worker processes."""
    children = psutil.Process().children(recursive=True)
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]


def is_connected(process):
    port = int(os.environ["ALPHAVANTAGE_URL"].rpartition(":")[2])
    return any(held.raddr and held.raddr.port == port for held in process.net_connections("tcp"))


@pytest.fixture
def replay(home, monkeypatch, prefect_server):
    with ScriptedFeed(aliases={"T1": "IBM", "T2": "AAPL"}) as feed:
        use(feed, monkeypatch)
        feed.set_clock(THURSDAY)
        yield feed


def run(tickers, **changes):
    usual = {"session": THURSDAY, "settings": SMALL, "late_retries": 0, "processes": 2}
    return universe(tickers, return_state=True, **usual | changes)


def nights_of(state):
    children = FlowRunFilter(parent_flow_run_id={"any_": [state.state_details.flow_run_id]})
    with get_client(sync_client=True) as client:
        return list(client.read_flow_runs(flow_run_filter=children))


@pytest.mark.campaign
@pytest.mark.slow
@pytest.mark.usefixtures("with_tables")
def test_what_is_late_is_asked_again_by_another_run_of_those_tickers_only(home, replay):
    """And the session's table keeps the nights of the first run."""
    fill(home, {"T1": "IBM"}, date(2013, 2, 27))
    Path(store_of(home).path("BAD")).write_bytes(b"PAR1")
    replay.set_clock(date(2013, 2, 27))
    asked = {"tickers": ["T1", "BAD"], "session": str(THURSDAY), "late_retries": 2}
    with deployed(universe, **asked) as nights:
        state = nights.next_run()
        [again] = nights.waiting()
        assert again.parameters == asked | {"settings": SMALL, "tickers": ["T1"], "late_retries": 1}
        outcomes = {row.ticker: row.outcome for row in state.result()}
        assert outcomes == {"T1": "Late", "BAD": "Failed"}
        assert "; 1 ticker asked again at " in str(state.message)
        replay.set_clock(THURSDAY)
        nights.next_run()
    lines = csv.DictReader((home.universe / "2013-02-28.csv").read_text().splitlines())
    table = [(line["ticker"], line["outcome"]) for line in lines]
    assert table == [("T1", "Completed"), ("BAD", "Failed")]


@pytest.mark.slow
@pytest.mark.usefixtures("with_tables")
def test_neither_a_failure_nor_a_killed_process_stops_the_other_nights(home, replay):
    """Two recorded tickers, an unknown one, one whose store is damaged; and a process is killed at
    work."""
    fill(home, {"T1": "IBM", "T2": "AAPL"})
    damaged = Path(store_of(home).path("BAD"))
    damaged.write_bytes(b"PAR1")
    replay.then = killer = Killer()
    killer.symbol = "T2"
    state = run(["T1", "T2", "NOPE", "BAD"])
    assert killer.killed
    rows = {row.ticker: row for row in state.result()}
    assert state.name == "Completed with failures"
    expected = {"T1": "Completed", "T2": "Crashed", "NOPE": "Failed", "BAD": "Failed"}
    assert {ticker: row.outcome for ticker, row in rows.items()} == expected
    assert rows["BAD"].why.startswith(str(damaged))
    assert [len(Ledger(home.ledger).entries(ticker)) for ticker in ("T1", "T2")] == [1, 0]
    ends = {str(night.parameters["ticker"]): night.state_name for night in nights_of(state)}
    assert ends == expected
    assert last_run(home.nights, "T2").state == "Crashed"
    table = csv.DictReader((home.universe / "2013-02-28.csv").read_text().splitlines())
    assert [line["ticker"] for line in table] == ["BAD", "NOPE", "T2", "T1"]


@pytest.mark.slow
@pytest.mark.usefixtures("with_tables")
def test_a_scarce_quota_goes_to_the_stalest_ticker_and_the_others_are_skipped(
    home, replay, monkeypatch
):
    """On a free key with one request left, the ticker that waited longest is asked; the others keep
    what they have. To ask for a past session makes none the stalest."""
    use(replay, monkeypatch, plan="free")
    stored = {"IBM": date(2013, 2, 19), "AAPL": date(2013, 2, 20), "MSFT": THURSDAY}
    for ticker, until in stored.items():
        fill(home, [ticker], until)
    past = NightRequest("MSFT", Settings(), None, force=False)
    assert turn(past, date(2013, 2, 18)) is None
    assert noted_turns(FileNotes(home.quota), clock.now()) == {"MSFT": THURSDAY}
    spend_all_but(home, 1)
    assert stalest_of(dict.fromkeys(("MSFT", "AAPL", "IBM"), "")) == ["IBM", "AAPL", "MSFT"]
    state = run(["AAPL", "IBM"], processes=1)
    assert (state.name, state.message) == ("Completed", "1 completed, 1 skipped")
    assert {run.state_name for run in nights_of(state)} == {"Completed", "Skipped: quota"}
    asked = [(asked.function, asked.symbol) for asked in replay.asked]
    assert asked == [("TIME_SERIES_DAILY", "IBM")]
    assert last_run(home.nights, "AAPL").state == "Skipped: quota"


@pytest.mark.slow
@pytest.mark.usefixtures("with_tables")
def test_a_ticker_whose_request_is_under_way_gets_no_second_one_of_the_days_quota(
    home, replay, monkeypatch
):
    """Its request is counted, its bar is not there yet: the one request left is the next
    ticker's."""
    use(replay, monkeypatch, plan="free")
    fill(home, ["IBM"], date(2013, 2, 19))
    spend_all_but(home, 2)
    join_turns({"AAPL": date(2013, 2, 20)})
    turns = []

    replay.then = lambda request: turns.append(turn_of("AAPL", THURSDAY, sessions_for("AAPL")))
    state = nightly("IBM", session=THURSDAY, settings=SMALL, late_retries=0, return_state=True)
    assert state.name == "Completed"
    assert turns == [None]


def spend_all_but(home, left):
    """Use up requests of the quota, today's and tomorrow's, at a rate that the next one need not
    wait for."""
    key = os.environ["ALPHAVANTAGE_API_KEY"]
    ledger = QuotaLedger.of(FileNotes(home.quota), key, Plan(1_200, None))
    with provider() as asked:
        for _ in range((asked.remaining() or 0) - left):
            # requests that follow count on that day too
            ledger.spend("IBM", datetime.now(UTC) + timedelta(days=1))


def row(ticker, status, outcome="", why=""):
    return NightRow(ticker, THURSDAY, status, outcome or status, why=why)


GOOD, SKIPPED = row("IBM", "completed"), row("KO", "skipped", "Skipped: quota")
BAD, WORSE = row("AAPL", "failed", why="BadKey: no"), row("MSFT", "failed", why="Diverged: inf")


@pytest.mark.parametrize(
    ("rows", "fail_when", "name", "message"),
    [
        ([GOOD, SKIPPED], "all fail", "Completed", "1 completed, 1 skipped"),
        ([SKIPPED], "all fail", "Skipped: quota", "1 skipped"),
        ([GOOD, BAD], "all fail", "Completed with failures", "Failed: AAPL 2013-02-28: BadKey: no"),
        ([GOOD, BAD], "any fails", "Failed", "1 completed, 1 failed"),
        ([BAD, WORSE], "all fail", "Failed", "BadKey: no; MSFT 2013-02-28: Diverged: inf"),
        ([], "all fail", "Skipped", "nothing to do"),
    ],
)
def test_the_runs_state_and_message_say_how_its_nights_ended(rows, fail_when, name, message):
    state = final_state(rows, fail_when)
    assert (state.name, state.is_failed()) == (name, name == "Failed")
    assert message in str(state.message)
