"""The pages of all tickers are updated by the last night that is due, and now and then by one of
many."""

import json
import os
import time
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Completed, Scheduled

from deployments.cli.app import run
from deployments.cli.tickers import register_all
from deployments.process import restored
from deployments.servers.prefect_api import settings_of
from flows.notices import missing_forecasts
from stockml.forecasts.ledger import Ledger, LedgerEntry
from tasks.artifacts import (
    EVERY_S,
    KEY,
    PAGE_MARK,
    is_due,
    is_last,
    next_nights,
    next_runs,
    show_status,
)
from tasks.run_records import in_state, runs_of
from tests.flows.test_nightly import pages
from tests.support.loopback import Loopback, whole
from tests.support.nights import recorded_night


def page():
    """The only one, once it has been updated after other tests."""
    (status,) = pages(KEY)
    return status


def test_the_first_and_last_nights_update_the_pages_and_others_once_the_pages_are_old(home):
    assert is_due(home.locks, lambda: False)  # never shown yet
    assert is_due(home.locks, lambda: True)
    assert not is_due(home.locks, lambda: False)
    past = time.time() - EVERY_S - 1
    os.utime(home.locks / PAGE_MARK, (past, past))
    assert is_due(home.locks, lambda: False)


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
def test_a_run_is_not_the_last_while_a_night_is_due_and_each_ticker_has_its_next_run():
    now = datetime.now(UTC)
    soon, monday, past = (now + timedelta(minutes=each) for each in (20, 3 * 24 * 60, -1))
    deployments: set[UUID] = set()
    with get_client(sync_client=True) as client:

        def scheduled(flow, ticker, start):
            deployment = client.create_deployment(client.create_flow_from_name(flow), name=ticker)
            deployments.add(deployment)
            state, given = Scheduled(scheduled_time=start), {"ticker": ticker}
            return client.create_flow_run_from_deployment(deployment, parameters=given, state=state)

        # left by other tests on this server
        for left in list(runs_of(client, in_state([StateType.SCHEDULED]))):
            client.delete_flow_run(left.id)
        scheduled("maintenance", "NONE", past)
        # a Friday night: a late bar is asked for again, others on Monday
        starts = {"LATE": soon, "NYC": monday, "TYO": monday}
        for ticker, start in (*starts.items(), ("NYC", monday + timedelta(days=1))):
            scheduled("nightly", ticker, start)
        assert next_runs(next_nights(client)) == starts
        due = scheduled("nightly", "NYC", past)
        assert next_runs(next_nights(client)) == starts | {"NYC": past}
        by_hand = due.model_copy(update={"deployment_id": None})
        assert is_last(by_hand), "a command's run leaves the update to no other"
        assert not is_last(due)
        client.set_flow_run_state(due.id, Completed(), force=True)
        assert is_last(due)
        for deployment in deployments:
            client.delete_deployment(deployment)


@pytest.mark.usefixtures("home")
def test_a_run_whose_nights_are_done_does_not_fail_for_a_page_that_prefect_refuses():
    """A night of many tickers was told as failed, although all were published."""
    with Loopback(whole(b"", 403)) as server, temporary_settings({PREFECT_API_URL: server.address}):
        show_status()
        assert server.asked


@pytest.mark.slow
def test_tickers_are_on_the_page_at_once_and_one_that_a_person_paused_is_called_paused(
    home,
    prefect_server,
    monkeypatch,
    capsys,
):
    """Without a forecast it was missing from the page; the dash in its row is also that of a
    deployment deleted."""
    before = recorded_night().forecast
    assert before
    known = LedgerEntry("LEFT", "0" * 64, datetime(2013, 3, 1, tzinfo=UTC), before, "run", "1")
    Ledger(home.ledger).publish(known)
    monkeypatch.setenv("PREFECT_API_URL", str(PREFECT_API_URL.value()))
    followed = ("GOES", "RESTS", "WHOLE")
    home.tickers.write_text(json.dumps({"tickers": followed}))
    with restored(os.environ, settings_of(home)):
        register_all(home)
    assert "| LEFT | – | – | – | – | not followed | – |" in page()
    lines = [line.strip("| ").split(" | ") for line in page().splitlines()]
    next_run = {cells[0]: cells[-1] for cells in lines}
    assert "–" not in {next_run[ticker] for ticker in followed}
    with get_client(sync_client=True) as client:
        client.pause_deployment(client.read_deployment_by_name("nightly/WHOLE").id)
        resting = client.read_deployment_by_name("nightly/RESTS")
        client.update_deployment_schedule(resting.id, resting.schedules[0].id, active=False)
        # as the server does itself, within a while
        waiting = in_state([StateType.SCHEDULED], deployment_id={"any_": [resting.id]})
        for due in list(runs_of(client, waiting)):
            client.delete_flow_run(due.id)
    show_status()
    assert "| RESTS | – | – | – | – | no night yet | paused |" in page()
    assert run(["status", "--json"]) == 0
    rows = {row["ticker"]: row for row in json.loads(capsys.readouterr().out)["tickers"]}
    for ticker, paused in (("GOES", False), ("RESTS", True), ("WHOLE", True)):
        row = rows[ticker]
        assert (row["paused"], row["next_run"] is None) == (paused, paused)
    said = str(missing_forecasts([*followed], return_state=True).message)
    assert "for 1 of 1: GOES" in said
    monkeypatch.setenv("STOCKML_CLOCK", "2013-03-02T04:00:00+00:00")
    show_status()
    assert "As of 2013-03-01 23:00 in New York, the recorded prices' time" in page()
