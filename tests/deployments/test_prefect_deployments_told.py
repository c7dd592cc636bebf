"""Prefect is told of a changed list, also by the next command if the one that changed it was killed
before."""

import os
from datetime import UTC, datetime, timedelta

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType
from prefect.settings import PREFECT_API_URL
from prefect.states import AwaitingRetry, Running

from deployments.cli.app import run
from deployments.cli.tickers import register_all
from deployments.process import restored
from deployments.registration import ticker_list
from deployments.servers.prefect_api import settings_of
from tasks.artifacts import next_nights, next_runs
from tasks.run_records import in_state, runs_of
from tests.support.patience import until

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]


@pytest.fixture
def told(home, monkeypatch):
    """A home whose list of two tickers Prefect knows."""
    monkeypatch.setenv("PREFECT_API_URL", str(PREFECT_API_URL.value()))
    monkeypatch.setenv("ALPHAVANTAGE_API_KEY", "K" * 16)
    with restored(os.environ, settings_of(home)):
        home.root.mkdir()
        home.tickers.write_text("tickers: [STAYS, FB]\n")
        register_all(home)
        yield home


def nights():
    with get_client(sync_client=True) as client:
        return {each.name: each for each in client.read_deployments() if "nights" in each.tags}


def test_a_renamed_share_keeps_its_pause_and_the_schedules_that_a_person_added(told, monkeypatch):
    """Prefect may be told only later: it was not up, or the command was killed; and of several
    renames at once."""
    mine = {"schedule": {"cron": "0 12 * * 6", "timezone": "Europe/Berlin"}, "slug": "mine"}
    with get_client(sync_client=True) as client:
        known = nights()["FB"]
        client.update_deployment_schedule(known.id, known.schedules[0].id, active=False)
        client.request("POST", f"/deployments/{known.id}/schedules", json=[mine])
    with monkeypatch.context() as away:
        away.delenv("PREFECT_API_URL")
        for names in (["FB", "METAA"], ["METAA", "META"]):
            assert run(["tickers", "rename", *names]) == 0
    assert {*nights()} == {"STAYS", "FB"}
    register_all(told)
    after = nights()
    assert {*after} == {"STAYS", "META"}
    active = {each.slug: each.active for each in after["META"].schedules}
    assert active == {"nightly": False, "mine": True}
    assert ticker_list.earlier_names(told) == {}


def let_wait(client, **asked):
    """A run of FB's deployment that has begun and waits; when it goes on."""
    waiting = client.create_flow_run_from_deployment(nights()["FB"].id, **asked).id
    due = datetime.now(UTC) + timedelta(minutes=1)
    for state in (Running(), AwaitingRetry(scheduled_time=due, message="its bar is late")):
        client.set_flow_run_state(waiting, state, force=True)
    return waiting, due


def test_a_night_that_waits_goes_with_its_ticker_and_hides_no_other_tickers_next_run(told):
    """Prefect itself deletes with a deployment only those runs that have not begun."""
    with get_client(sync_client=True) as client:
        waiting, due = let_wait(client)
        assert next_runs(next_nights(client))["FB"] == due
        assert run(["tickers", "remove", "FB"]) == 0
        assert client.read_flow_run(waiting).state_type == StateType.CANCELLED
        starts = next_runs(next_nights(client))
        assert [ticker for ticker in starts if starts[ticker]] == ["STAYS"]


def test_a_night_that_waits_for_its_bar_goes_on_under_its_shares_new_name(told):
    """It was cancelled, and the session had no forecast until somebody ran the night by hand."""
    with get_client(sync_client=True) as client:
        planned = in_state([StateType.SCHEDULED], deployment_id={"any_": [nights()["FB"].id]})
        until(lambda: [*runs_of(client, planned)], every_s=0.5)  # by Prefect's scheduler
        old, due = let_wait(client, parameters={"ticker": "FB", "force": True})
        assert run(["tickers", "rename", "FB", "META"]) == 0
        before, after = client.read_flow_run(old), next_nights(client)["META"]
    assert before.state_type == StateType.CANCELLED
    messages = [each.state and each.state.message for each in (before, after)]
    assert messages == ["Goes on as META", "Waited as FB"]
    assert after.next_scheduled_start_time == due
    assert after.parameters == before.parameters | {"ticker": "META"}
    assert after.deployment_id == nights()["META"].id
