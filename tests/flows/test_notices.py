"""The morning's digest as a flow: its state says whether a forecast is missing."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.flow_engine import run_flow
from prefect.states import AwaitingConcurrencySlot, Completed, Pending, Scheduled, State

from flows.notices import missing_forecasts, notice
from stockml.home import HomePaths
from stockml.nights.key_figures import keep_newest
from stockml.nights.states import FORECASTS_MISSING
from tests.support.nights import recorded_night

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server", "home")]


def test_the_digests_state_says_which_tickers_lack_a_forecast(
    home: HomePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STOCKML_CLOCK", "2013-03-01T12:00:00+00:00")
    keep_newest(home.nights, recorded_night())
    state = missing_forecasts(["ibm", "PEP"], return_state=True)
    said = "no forecast of the newest session for 1 of 2: PEP (no night yet)"
    assert (state.is_completed(), state.name, state.message) == (True, FORECASTS_MISSING, said)
    state = missing_forecasts(["IBM"], return_state=True)
    assert (state.name, state.message) == ("Completed", "no forecast is missing, of 1 ticker")
    state = missing_forecasts(["ibm"], {"ibm": "XXXX"}, return_state=True)
    assert "found 'XXXX'" in str(state.message)


def begun(client: SyncPrefectClient, deployment: UUID) -> FlowRun:
    """A run of the digest's deployment that a worker has taken."""
    asked = {"tickers": ["IBM"]}
    return client.create_flow_run_from_deployment(deployment, parameters=asked, state=Pending())


def done(run: FlowRun) -> State:
    state: Any = run_flow(missing_forecasts, flow_run=run, return_type="state")
    return state


def test_after_days_asleep_the_digests_that_are_due_tell_once() -> None:
    """Each says what is missing now, and so all would say the same."""
    now, name = datetime.now(UTC), "tell of missing forecasts"
    with get_client(sync_client=True) as client:
        deployment = client.create_deployment(
            client.create_flow_from_name("missing forecasts"), name=name
        )
        starts = (now - timedelta(days=1), now + timedelta(days=1))
        states = [Scheduled(scheduled_time=start) for start in starts]
        late, _ = [
            client.create_flow_run_from_deployment(deployment, state=state) for state in states
        ]
        # for the deployment's only slot
        waits = AwaitingConcurrencySlot(scheduled_time=now + timedelta(minutes=1))
        client.set_flow_run_state(late.id, waits, force=True)
        first = done(begun(client, deployment))
        assert first.name == "Completed"
        client.set_flow_run_state(late.id, Completed(), force=True)
        assert done(begun(client, deployment)).name == FORECASTS_MISSING
        client.delete_deployment(deployment)


def test_without_a_block_the_notice_is_written_to_notices_log(home: HomePaths) -> None:
    state = notice("nightly KO 2013-02-28 Failed:\nno bars", return_state=True)
    assert (state.type, state.name) == (StateType.CANCELLED, "Notice")
    (line,) = (home.root / "notices.log").read_text().splitlines()
    assert line.endswith(" nightly KO 2013-02-28 Failed: no bars")
