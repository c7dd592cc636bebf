"""The morning's digest as a flow: its state says whether a forecast is missing."""

from datetime import UTC, datetime, timedelta

import pytest
from prefect.client.schemas.objects import StateType
from prefect.states import AwaitingConcurrencySlot, Completed, Pending, Scheduled

from flows.notices import missing_forecasts, notice
from stockml.nights.key_figures import keep_newest
from stockml.nights.states import FORECASTS_MISSING
from tests.flows.test_tonight import deployed
from tests.support.nights import recorded_night

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server", "home")]


def test_the_digests_state_says_which_tickers_lack_a_forecast(home, monkeypatch):
    monkeypatch.setenv("STOCKML_CLOCK", "2013-03-01T12:00:00+00:00")
    keep_newest(home.nights, recorded_night())
    state = missing_forecasts(["ibm", "PEP"], return_state=True)
    said = "no forecast of the newest session for 1 of 2: PEP (no night yet)"
    assert (state.is_completed(), state.name, state.message) == (True, FORECASTS_MISSING, said)
    state = missing_forecasts(["IBM"], return_state=True)
    assert (state.name, state.message) == ("Completed", "no forecast is missing, of 1 ticker")
    state = missing_forecasts(["ibm"], {"ibm": "XXXX"}, return_state=True)
    assert "found 'XXXX'" in str(state.message)


def test_after_days_asleep_the_digests_that_are_due_tell_once():
    """Each says what is missing now, and so all would say the same."""
    now = datetime.now(UTC)
    with deployed(missing_forecasts, tickers=["IBM"]) as digest:
        client, asked = digest.client, {"tickers": ["IBM"]}
        [due] = digest.waiting()
        begun = client.create_flow_run_from_deployment(digest.id, parameters=asked, state=Pending())
        # for the deployment's only slot
        waits = AwaitingConcurrencySlot(scheduled_time=now + timedelta(minutes=1))
        client.set_flow_run_state(due.id, waits, force=True)
        tomorrow = Scheduled(scheduled_time=now + timedelta(days=1))
        client.create_flow_run_from_deployment(digest.id, state=tomorrow)
        assert digest.next_run(begun).name == "Completed"
        client.set_flow_run_state(due.id, Completed(), force=True)
        begun = client.create_flow_run_from_deployment(digest.id, parameters=asked, state=Pending())
        assert digest.next_run(begun).name == FORECASTS_MISSING


def test_without_a_block_the_notice_is_written_to_notices_log(home):
    state = notice("nightly KO 2013-02-28 Failed:\nno bars", return_state=True)
    assert (state.type, state.name) == (StateType.CANCELLED, "Notice")
    (line,) = (home.root / "notices.log").read_text().splitlines()
    assert line.endswith(" nightly KO 2013-02-28 Failed: no bars")
