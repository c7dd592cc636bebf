"""Prefect automations that report failed, crashed and late runs and missing forecasts, and end runs without heartbeat.

They cover runs of the deployments made here, whoever starts them. An automation that a person disabled stays disabled.

Notices go to every Prefect notification block named `stockml-notices` (Slack, mail or another). A person creates it in
Prefect's page, or STOCKML_WEBHOOK_URL makes one here, for a webhook that takes `{"text": …}`, as Slack's and
Mattermost's do. Without any block, the flow `notice` logs the line and keeps it in STOCKML_HOME/notices.log.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit
from uuid import UUID

from prefect.blocks.notifications import SlackWebhook
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState, RunDeployment, SendNotification
from prefect.events.filters import EventFilter
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.exceptions import ObjectNotFound
from pydantic import SecretStr

from deployments.registration import MANAGED, NIGHTS, OTHERS, POOL
from deployments.registration.prefect_deployments import RegistrationResult, form_of, make_pool
from stockml.errors import InvalidSetting
from stockml.nights import states

Notify = Callable[[str], list[Any]]
TAKE_NOTICES = "see that STOCKML_WEBHOOK_URL or the block `stockml-notices` is right; start `stockml up` again"
ACTION, NOTICE_AGE = "prefect.automation.action", timedelta(days=3)
PREFIX = "stockml: "
# in these states a run has ended or waits, and sends no heartbeat; an event is named after its state's name
PREFECTS_OWN = (
    *("Completed", "Failed", "TimedOut", "Cancelled", "Crashed"),
    *("Scheduled", "Late", "AwaitingRetry", "AwaitingConcurrencySlot", "Resuming", "Paused", "Suspended"),
    *("Pending", "Submitting", "InfrastructurePending"),
)
ENDS = tuple(f"prefect.flow-run.{state}" for state in (*PREFECTS_OWN, *sorted(states.OWN)))
HEARTBEAT, PENDING, RUNNING, CRASHED = (
    f"prefect.flow-run.{event}" for event in ("heartbeat", "Pending", "Running", "Crashed")
)
SILENCE = timedelta(minutes=3)  # six heartbeats
UNBEGUN = timedelta(minutes=5)  # from Pending: a process has imported everything long before
MAX_RUNS = 3  # of a run whose process died; Prefect counts how often each has begun
EACH, HOUR = timedelta(0), timedelta(hours=1)
# a run is named by its flow when it begins; before, it has a random name of Prefect's
SUBJECT = (
    "{% set ticker = flow_run.parameters.ticker %}"
    "stockml: {{ flow.name ~ ' ' if not flow_run.name.startswith(flow.name) }}"
    "{{ flow_run.name if not ticker or ticker in flow_run.name else ticker ~ ' (' ~ flow_run.name ~ ')' }} "
    "{{ flow_run.state.name }}"
)
TEXT = f"{SUBJECT}: {{{{ flow_run.state.message or 'no message' }}}}"
NIGHT_TEXT = f"{TEXT} (more failures this hour are not sent; see stockml status)"
LATE_TEXT = f"{TEXT}; is a worker up? More late runs this hour are not sent"
DIGEST_TEXT = "stockml: {{ flow_run.state.message }}"
BLOCK = "stockml-notices"
OURS: Any = {"prefect.resource.role": "tag", "prefect.resource.id": [f"prefect.tag.{MANAGED}"]}
# Apprise's fields of a JSON message and their new names; fields with an empty name are left out
FIELDS = {":message": "text", ":title": "", ":version": "", ":attachments": "", ":type": ""}


def install(environ: Mapping[str, str], *, silence: timedelta = SILENCE) -> RegistrationResult:
    """Create or update the automations on the configured Prefect API. silence: at least 10 s."""
    done: dict[str, list[str]] = defaultdict(list)
    with get_client(sync_client=True) as client:
        for automation in templates(notifier(client, environ), silence):
            done[_apply(client, automation)].append(automation.name)
    return RegistrationResult(**{what: tuple(names) for what, names in done.items()})


def templates(notify: Notify, silence: timedelta) -> list[AutomationCore]:
    """notify: returns the actions that send a text. silence: how long a heartbeat may be missing.

    Each trigger matches a single tag: Prefect's page shows anything more complex as "a custom trigger".
    """

    def notice_of(
        name: str, meaning: str, tag: str, *ends: str, text: str = TEXT, kind: str = "*", once_in: timedelta = EACH
    ) -> AutomationCore:
        related: Any = {"prefect.resource.role": "tag", "prefect.resource.id": [f"prefect.tag.{tag}"]}
        trigger = EventTrigger(
            expect={f"prefect.flow-run.{end}" for end in ends},
            match={"prefect.resource.id": "prefect.flow-run.*", "prefect.state-type": kind},
            match_related=related,
            for_each=set() if once_in else {"prefect.resource.id"},
            posture=Posture.Reactive,
            threshold=1,
            within=once_in,
        )
        return AutomationCore(name=f"{PREFIX}{name}", description=meaning, trigger=trigger, actions=notify(text))

    nights = (
        "A night ended in an error, or its process kept dying. Only the first of an hour is sent: an outage ends all"
    )
    failed = "A run that is no ticker's night, or a part of it, ended in an error, or its process died"
    late = "A run did not start in time: is a worker up? Only the first of an hour is sent: without one all are late"
    missed = "Some tickers have no forecast of the newest session"
    return [
        notice_of("failed nights", nights, NIGHTS, "Failed", "Crashed", text=NIGHT_TEXT, once_in=HOUR),
        notice_of("failed runs", failed, OTHERS, "Failed", "Crashed", states.WITH_FAILURES),
        # by state type: a night ended as Late, for want of its bar, is left to the digest
        notice_of("late runs", late, MANAGED, "Late", text=LATE_TEXT, kind=StateType.SCHEDULED.value, once_in=HOUR),
        notice_of("missing forecasts", missed, OTHERS, states.FORECASTS_MISSING, text=DIGEST_TEXT),
        *lost_runs(silence),
    ]


def lost_runs(silence: timedelta) -> list[AutomationCore]:
    """A run that went silent is Crashed; a crashed one of our deployments is put back into the queue.

    So is one that a worker took and never began, which sends no heartbeat.
    """

    def after(event: str, expected: Sequence[str], within: timedelta) -> EventTrigger:
        return EventTrigger(
            after={event},
            expect=set(expected),
            match={"prefect.resource.id": "prefect.flow-run.*"},
            match_related=OURS,
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=within,
        )

    counts = [str(count) for count in range(1, MAX_RUNS + 1)]
    crashed = EventTrigger(
        expect={CRASHED},
        match={"prefect.resource.id": "prefect.flow-run.*", "prefect.run-count": counts},
        match_related=OURS,
        for_each={"prefect.resource.id"},
        posture=Posture.Reactive,
        threshold=1,
        within=EACH,
    )
    again = ChangeFlowRunState(
        state=StateType.SCHEDULED, name="AwaitingRetry", message="Its process died; it is run again"
    )
    unbegun = [end for end in (HEARTBEAT, RUNNING, *ENDS) if end != PENDING]
    silent = f"No heartbeat for {silence.total_seconds():.0f} s"
    return [
        AutomationCore(
            name=f"{PREFIX}zombie runs",
            description="A run that sends no heartbeat any more has crashed",
            trigger=after(HEARTBEAT, (HEARTBEAT, *ENDS), silence),
            actions=[ChangeFlowRunState(state=StateType.CRASHED, name="Crashed", message=silent)],
        ),
        AutomationCore(
            name=f"{PREFIX}runs never begun",
            description="A run that a worker took and did not begin goes back into the queue",
            trigger=after(PENDING, unbegun, UNBEGUN),
            actions=[again],
        ),
        AutomationCore(
            name=f"{PREFIX}crashed runs",
            description=f"A run whose process died is run again, at most {MAX_RUNS} times",
            trigger=crashed,
            actions=[again],
        ),
    ]


def _apply(client: SyncPrefectClient, automation: AutomationCore) -> str:
    existing = sorted(client.read_automations_by_name(automation.name), key=lambda each: (not each.enabled, each.id))
    for duplicate in existing[1:]:  # two workers that began at once have each made one: notices would come twice
        with suppress(ObjectNotFound):
            client.delete_automation(duplicate.id)
    if not existing:
        client.create_automation(automation)
        return "created"
    updated = automation.model_copy(update={"enabled": existing[0].enabled})
    if all(getattr(updated, part) == getattr(existing[0], part) for part in ("description", "trigger", "actions")):
        return "unchanged"
    client.update_automation(existing[0].id, updated)
    return "updated"


def notifier(client: SyncPrefectClient, environ: Mapping[str, str]) -> Notify:
    """Return the function from a text (a Prefect template) to the actions that send it. Raises InvalidSetting."""
    if url := environ.get("STOCKML_WEBHOOK_URL"):
        webhook: Any = SlackWebhook(url=SecretStr(webhook_address(url)))  # its type hints lack `_sync`
        webhook.save(BLOCK, overwrite=True, _sync=True)
    if blocks := _blocks(client):
        return lambda text: [SendNotification(block_document_id=each, subject=SUBJECT, body=text) for each in blocks]
    log = _notice_deployment(client)

    def run_log(text: str) -> list[Any]:
        what = {"__prefect_kind": "jinja", "template": text}
        return [RunDeployment(source="selected", deployment_id=log, parameters={"what": what})]

    return run_log


def refused_notice(client: SyncPrefectClient, now: datetime) -> str | None:
    """Say which notice was refused, if it is the newest that the webhook or a block was sent."""
    sent = {"event": {"name": [f"{ACTION}.executed", f"{ACTION}.failed"]}, "occurred": {"since": now - NOTICE_AGE}}
    newest: dict[int, Any] = {}  # of each block
    for event in client.read_events(EventFilter.model_validate(sent), limit=50).events:
        if event.payload.get("action_type") == "send-notification":
            newest.setdefault(event.payload["action_index"], event)
    for event in newest.values():
        if event.event == f"{ACTION}.failed":
            return f"the notice of {event.occurred:%Y-%m-%d %H:%M} UTC ({event.resource.name}) was not taken"
    return None


def webhook_address(url: str) -> str:
    """Return Apprise's URL for posting `{"text": …}` to the webhook. Raises InvalidSetting, without the address.

    Prefect's own Custom Webhook block is no alternative: it takes any answer for success, and logs the address.
    """
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        is_address = False
    if not is_address:
        raise InvalidSetting("STOCKML_WEBHOOK_URL", "…", "an address such as https://hooks.slack.com/services/…")
    # quoted twice, since Apprise decodes a query twice
    query = {f"-{name}": quote(value, safe="") for name, value in parse_qsl(parts.query, keep_blank_values=True)}
    fields = urlencode(query | FIELDS, safe=":", quote_via=quote)
    return f"{'jsons' if parts.scheme == 'https' else 'json'}://{parts.netloc}{parts.path or '/'}?{fields}"


def _blocks(client: SyncPrefectClient) -> tuple[UUID, ...]:
    block_filter = {
        "block_documents": {"name": {"any_": [BLOCK]}},
        "block_schemas": {"block_capabilities": {"all_": ["notify"]}},
    }
    blocks = client.request("POST", "/block_documents/filter", json=block_filter).json()
    return tuple(sorted(UUID(block["id"]) for block in blocks))


def _notice_deployment(client: SyncPrefectClient) -> UUID:
    make_pool(client)
    with suppress(ObjectNotFound):  # its name in earlier versions
        client.delete_deployment(client.read_deployment_by_name("notice/log").id)
    return client.create_deployment(
        flow_id=client.create_flow_from_name("notice"),
        name="log a notice",
        description="Logs what an automation has seen, and keeps it in STOCKML_HOME/notices.log.",
        entrypoint="flows.notices.notice",
        work_pool_name=POOL,
        parameter_openapi_schema=form_of("notices.notice"),
        pull_steps=[],
    )
