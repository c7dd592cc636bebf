"""Automations on a real Prefect server: which are installed, that a person's changes stay, who is
notified of what."""

import json
import queue
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prefect import flow
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import FlowRunFilter
from prefect.events import emit_event
from prefect.events.filters import EventFilter, EventNameFilter
from prefect.exceptions import ObjectAlreadyExists
from prefect.flow_engine import run_flow
from prefect.settings import PREFECT_API_URL
from prefect.states import AwaitingRetry, Completed, Crashed, Running, Scheduled
from prefect.utilities.callables import get_call_parameters

from deployments.cli.runs import result_of
from deployments.doctor import notices
from deployments.registration import MANAGED, NIGHTS, OTHERS, POOL
from deployments.registration.automations import (
    AGAIN,
    ALERTS,
    BLOCK,
    PREFIX,
    RUN,
    install,
    refused_notice,
    switch_alerts,
    webhook_address,
)
from flows.notices import missing_forecasts
from stockml.errors import InvalidSetting, InvalidTicker
from stockml.nights import states
from stockml.nights.status import TickerRow
from tasks.events import tell_of_morning
from tests.support import workers
from tests.support.loopback import Loopback, whole
from tests.support.patience import PATIENCE_S, until

TELLING = tuple(
    f"{PREFIX}{kind}" for kind in ("failed nights", "failed runs", "late runs", "missing forecasts")
)
ALERTING = tuple(f"{PREFIX}{name}" for name in ALERTS)
LOST = tuple(f"{PREFIX}{kind}" for kind in ("silent runs", "crashed runs", "dying runs"))
SILENT = LOST[0]
KINDS = (*TELLING, *LOST, *ALERTING)
SHORT = timedelta(seconds=10)  # the least that Prefect takes
Posted = tuple[str, "queue.Queue[Any]"]
HOOK = "/hooks/12:T0-K3N_a%20b?to=me&sig=%2541%2B%26&empty="


@pytest.fixture
def prefect_client(lasting_server):
    with get_client(sync_client=True) as client:
        yield client
        for automation in client.read_automations():
            client.delete_automation(automation.id)
        for block in client.read_block_documents():
            if block.name == BLOCK:
                client.delete_block_document(block.id)


@pytest.fixture
def webhook():
    """An address on the loopback, and what was posted to it."""
    posted: queue.Queue[Any] = queue.Queue()

    def receive(exchange):
        posted.put((exchange.path, json.loads(exchange.posted)))
        exchange.send(b"")

    with Loopback(receive) as server:
        yield f"{server.address}{HOOK}", posted


def told(posted):
    """The next notification's text, which is all that was posted, to exactly the webhook's path."""
    path, content = posted.get(timeout=PATIENCE_S)
    assert (path, list(content)) == (HOOK, ["text"])
    return str(content["text"])


def is_told_of(text, posted):
    """Whether this digest is posted. Prefect answers before a changed automation is in use: what is
    emitted meanwhile is told to nobody."""
    tell_of_morning(text, [])
    with suppress(queue.Empty):
        _, content = posted.get(timeout=5.0)
        assert content["text"] == f"stockml: {text}", "and nothing of before"
        return True
    return False


@flow(name="nightly", flow_run_name="KO 2013-02-28")
def failing(ticker="KO"):
    raise ValueError(f'no "bars" of {ticker} today')


@flow(name="nightly")
def late_bar():
    return Completed(name=states.LATE, message="the bar of 2013-03-01 is late")


@flow(name="universe", flow_run_name="universe of the list")
def in_part():
    return Completed(name=states.WITH_FAILURES, message="1 failed. Failed: KO: no bars")


FIRST = "(more failures this hour are not sent; see stockml status)"
FAILED = (
    "stockml: nightly KO 2013-02-28 Failed: Flow run encountered an exception: "
    f'ValueError: no "bars" of KO today {FIRST}'
)
PARTS = "stockml: universe of the list Completed with failures: 1 failed. Failed: KO: no bars"


def of_worker(client, wanted, parameters=None, **more):
    """A run of the flow's deployment `KO`, as a worker gets it."""
    with suppress(ObjectAlreadyExists):
        client.create_work_pool(WorkPoolCreate(name=POOL, type="process"))
    tags = [MANAGED, NIGHTS if wanted.name == "nightly" else OTHERS]
    deployment = client.create_deployment(
        client.create_flow(wanted), "KO", work_pool_name=POOL, tags=tags
    )
    asked = {"parameters": parameters, "state": Running()} | more
    return client.create_flow_run_from_deployment(deployment, **asked)


def work(client, wanted, **parameters):
    """Run the flow to its end as a worker does."""
    run, whole = (
        of_worker(client, wanted, parameters),
        get_call_parameters(wanted.fn, (), parameters),
    )
    run_flow(wanted, flow_run=run, parameters=whole, return_type="state")


def test_installing_again_changes_nothing_and_a_paused_automation_stays_paused(prefect_client):
    assert install({}).created == KINDS
    (late,) = prefect_client.read_automations_by_name(KINDS[2])
    prefect_client.pause_automation(late.id)
    assert install({}).unchanged == KINDS
    changed = install({"STOCKML_WEBHOOK_URL": "http://127.0.0.1:9/hook"})
    assert (changed.updated, changed.unchanged) == ((*TELLING, *ALERTING), LOST)
    assert install({}).unchanged == KINDS, "an existing block is notified, whoever made it"
    found = {automation.name: automation for automation in prefect_client.read_automations()}
    assert sorted(found) == sorted(KINDS)
    off = [name for name in KINDS if not found[name].enabled]
    assert off == [KINDS[2], *ALERTING], "alerts are a person's choice"
    assert found[KINDS[2]].id == late.id


def test_failed_and_late_runs_of_a_deployment_are_posted_and_a_mistyped_ticker_is_not(
    prefect_client, webhook, home
):
    address, posted = webhook
    install({"STOCKML_WEBHOOK_URL": address})
    of_worker(prefect_client, failing, state=Completed())
    with pytest.raises(InvalidTicker):
        result_of(missing_forecasts, ["../etc"])
    work(prefect_client, late_bar)  # left to the digest
    work(prefect_client, failing)
    assert told(posted) == FAILED
    work(prefect_client, failing)  # what fails one night often fails five hundred
    for _ in range(2):  # runs other than nights are reported each time
        work(prefect_client, in_part)
        assert told(posted) == PARTS
    now = datetime.now(UTC)
    in_turn, late = (Scheduled(scheduled_time=now - timedelta(minutes=ago)) for ago in (30, 70))
    waits = of_worker(prefect_client, failing, state=in_turn)  # five hundred take twenty minutes
    unnamed = [  # without a worker all nights are late: one line is enough
        of_worker(prefect_client, failing, {"ticker": "KO"}, state=late) for _ in range(3)
    ]
    lines = tuple(f"stockml: nightly KO ({run.name}) Late: " for run in unnamed)
    assert told(posted).startswith(lines)
    work(prefect_client, missing_forecasts, tickers=["KO"])
    said = "stockml: no forecast of the newest session for 1 of 1: KO (no night yet)"
    assert told(posted) == said
    assert posted.empty()
    assert state(prefect_client, waits) == "Scheduled"
    for run in (waits, *unnamed):
        prefect_client.delete_flow_run(run.id)


def test_a_webhook_that_refuses_is_told_of_until_it_takes_one(prefect_client, home, monkeypatch):
    def refused():
        return refused_notice(prefect_client, datetime.now(UTC))

    with Loopback(whole(b"", 500)) as server:
        install({"STOCKML_WEBHOOK_URL": f"{server.address}/T0K3N"})
        assert refused() is None
        work(prefect_client, in_part)
        said = until(refused, every_s=0.3)
        assert "(stockml: failed runs) was not taken" in said
        assert "T0K3N" not in said
        monkeypatch.setenv("PREFECT_API_URL", PREFECT_API_URL.value())
        [check] = notices(home)
        assert (check.verdict, check.found) == ("problem", said)
        server.answers[:] = [whole(b"")]
        work(prefect_client, in_part)
        until(lambda: refused() is None, every_s=0.3)


def test_a_block_of_any_kind_that_a_person_made_is_notified_too(prefect_client, webhook):
    address, posted = webhook
    content = {"title": "{{subject}}", "text": "{{body}}"}
    own: Any = CustomWebhookNotificationBlock(name="mine", url=address, json_data=content)
    own.save(BLOCK, _sync=True)
    install({"STOCKML_WEBHOOK_URL": address})
    work(prefect_client, failing)
    both = sorted((posted.get(timeout=PATIENCE_S)[1] for _ in range(2)), key=len)
    assert both == [
        {"text": FAILED},
        {"title": "stockml: nightly KO 2013-02-28 Failed", "text": FAILED},
    ]


def test_without_a_block_a_run_of_notice_is_requested(prefect_client):
    """It gets the same line, and a worker runs it."""
    install({})
    work(prefect_client, failing)
    notices = FlowRunFilter(
        deployment_id={"any_": [prefect_client.read_deployment_by_name("notice/log a notice").id]}
    )
    asked, *_ = until(lambda: prefect_client.read_flow_runs(flow_run_filter=notices), every_s=0.3)
    assert asked.parameters == {"what": FAILED}


def test_alerts_are_sent_once_each_after_they_are_switched_on(prefect_client, webhook):
    address, posted = webhook
    install({"STOCKML_WEBHOOK_URL": address})
    tell_of_morning("IBM: off", [])
    switch_alerts(enabled=True)
    until(lambda: is_told_of("on?", posted))
    late = TickerRow("KO", None, "failed: no key")
    tell_of_morning("IBM: wild, -2.0%, was calm\nnothing new on 9 shares", [late])
    said = set[str]()
    while len(said) < 2:
        said |= {told(posted)} - {"stockml: on?"}
    digest = "stockml: IBM: wild, -2.0%, was calm\nnothing new on 9 shares"
    assert said == {digest, "stockml: KO: no forecast for two sessions: failed: no key"}
    switch_alerts(enabled=False)
    tell_of_morning("IBM: off", [late])
    work(prefect_client, in_part)
    assert told(posted) == PARTS
    assert posted.empty()


def state(client, run):
    return client.read_flow_run(run.id).state_name


def test_a_run_that_goes_silent_is_ended_and_ended_and_waiting_runs_are_not(prefect_client):
    def emit_heartbeat(run, occurred):
        beat = {RUN: f"prefect.flow-run.{run.id}", "prefect.resource.name": run.name}
        ours = {RUN: f"prefect.tag.{MANAGED}", "prefect.resource.role": "tag"}
        emit_event("prefect.flow-run.heartbeat", beat, occurred=occurred, related=[ours])

    def ended_as_silent():
        """The runs that set off the automation, as far as the server has recorded it."""
        fired = EventFilter(event=EventNameFilter(name=["prefect.automation.triggered"]))
        events = prefect_client.read_events(fired, limit=50).events
        of_silent = [each.payload for each in events if each.resource.name == SILENT]
        return {payload["triggering_labels"][RUN] for payload in of_silent}

    install({}, silence=SHORT)
    skipped, waiting, dead = (
        of_worker(prefect_client, failing, name=f"KO 2013-03-0{day}") for day in (1, 4, 5)
    )
    again = AwaitingRetry(scheduled_time=datetime.now(UTC) + timedelta(hours=1))
    for run, ended in ((skipped, Completed(name=states.QUOTA)), (waiting, again)):
        prefect_client.set_flow_run_state(run.id, ended, force=True)
        # however long the calls took, it was alive a second before it ended or waited
        reached = prefect_client.read_flow_run(run.id).state
        assert reached
        emit_heartbeat(run, reached.timestamp - timedelta(seconds=1))
    emit_heartbeat(dead, datetime.now(UTC))
    workers.until(prefect_client, dead.id, "Crashed")
    found = [state(prefect_client, run) for run in (skipped, waiting)]
    assert found == [states.QUOTA, "AwaitingRetry"]
    assert until(ended_as_silent, every_s=0.3) == {f"prefect.flow-run.{dead.id}"}


def test_a_run_whose_process_died_is_done_again_and_fails_when_it_keeps_dying(prefect_client):
    install({}, quiet=SHORT)
    often, once = (of_worker(prefect_client, failing).id for _ in range(2))
    for run in (once, *[often] * (AGAIN + 1)):
        for reached in (Running(), Crashed(message="killed")):
            prefect_client.set_flow_run_state(run, reached, force=True)
    for run, name in ((once, "AwaitingRetry"), (often, "Failed")):
        workers.until(prefect_client, run, name)


@pytest.mark.parametrize("url", ["hooks.slack.com/T0K3N", "http:///T0K3N", "http://host:T0K3N/"])
def test_an_invalid_webhook_address_is_refused_without_being_shown(url):
    with pytest.raises(InvalidSetting) as refused:
        webhook_address(url)
    assert "expected STOCKML_WEBHOOK_URL to be" in str(refused.value)
    assert "T0K3N" not in str(refused.value)
