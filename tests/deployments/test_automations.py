"""Automations on a real Prefect server: what is installed, that it stays as a person left it, and that it tells."""

import json
import queue
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.events import emit_event
from prefect.states import Running
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from deployments.registration.automations import HEARTBEAT, PREFIX, install
from flows.notice import notice
from stockml.home import Home

KINDS = tuple(f"{PREFIX}{kind} runs" for kind in ("failed", "crashed", "late", "zombie"))


@pytest.fixture
def prefect_client(prefect_server: None) -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as client:
        yield client
        for automation in client.read_automations():
            client.delete_automation(automation.id)


@pytest.fixture
def webhook() -> Iterator[tuple[str, "queue.Queue[Any]"]]:
    """An address on the loopback, and what was posted to it."""
    posted: queue.Queue[Any] = queue.Queue()

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Receiver) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", posted
        server.shutdown()


@flow(name="nightly", flow_run_name="KO 2013-02-28")
def failing() -> None:
    raise ValueError('no "bars" today')


@pytest.mark.slow
def test_installing_again_changes_nothing_and_what_was_switched_off_stays_off(
    prefect_client: SyncPrefectClient,
) -> None:
    assert install({}).created == KINDS
    assert install({}).unchanged == KINDS
    (late,) = prefect_client.read_automations_by_name(KINDS[2])
    prefect_client.pause_automation(late.id)
    assert install({}).unchanged == KINDS
    changed = install({"STOCKML_WEBHOOK_URL": "http://127.0.0.1:9/hook"})
    assert (changed.updated, changed.unchanged) == (KINDS[:3], KINDS[3:])
    known = {automation.name: automation for automation in prefect_client.read_automations()}
    assert set(known) == set(KINDS)
    assert [known[name].enabled for name in KINDS] == [True, True, False, True]
    assert known[KINDS[2]].id == late.id


@pytest.mark.slow
def test_a_failed_night_is_told_to_the_webhook(
    prefect_client: SyncPrefectClient, webhook: tuple[str, "queue.Queue[Any]"]
) -> None:
    address, posted = webhook
    install({"STOCKML_WEBHOOK_URL": address})
    failing(return_state=True)
    told = posted.get(timeout=60)
    assert told == {
        "text": 'stockml: nightly KO 2013-02-28 Failed: Flow run encountered an exception: ValueError: no "bars" today'
    }


@pytest.mark.slow
def test_without_a_webhook_a_run_of_notice_is_asked_for(prefect_client: SyncPrefectClient) -> None:
    """With the same line; a worker runs it."""
    install({})
    failing(return_state=True)
    notices = FlowRunFilter(deployment_id={"any_": [prefect_client.read_deployment_by_name("notice/log a notice").id]})
    for attempt in Retrying(retry=retry_if_exception_type(IndexError), wait=wait_fixed(0.1), stop=stop_after_delay(60)):
        with attempt:
            asked = prefect_client.read_flow_runs(flow_run_filter=notices)[0]
    assert asked.parameters == {
        "what": 'stockml: nightly KO 2013-02-28 Failed: Flow run encountered an exception: ValueError: no "bars" today'
    }


@pytest.mark.slow
def test_a_run_whose_heartbeat_stops_is_ended_and_told(
    prefect_client: SyncPrefectClient, webhook: tuple[str, "queue.Queue[Any]"]
) -> None:
    address, posted = webhook
    install({"STOCKML_WEBHOOK_URL": address}, silence=timedelta(seconds=10))
    run = prefect_client.create_flow_run(failing, name="KO 2013-03-01", state=Running())
    emit_event(HEARTBEAT, {"prefect.resource.id": f"prefect.flow-run.{run.id}", "prefect.resource.name": run.name})
    assert posted.get(timeout=120) == {"text": "stockml: nightly KO 2013-03-01 Crashed: No heartbeat for 10 s"}
    assert prefect_client.read_flow_run(run.id).state_name == "Crashed"


@pytest.mark.slow
def test_without_a_webhook_a_line_is_kept(home: Home, prefect_client: SyncPrefectClient) -> None:
    notice("nightly KO 2013-02-28 Failed:\nno bars")
    (line,) = (home.root / "notices.log").read_text().splitlines()
    assert line.endswith(" nightly KO 2013-02-28 Failed: no bars")
