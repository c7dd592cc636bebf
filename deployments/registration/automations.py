"""Prefect automations that report failed, lost and late runs and missing forecasts, and do again
what crashed.

The alerts about the shares themselves are disabled until a person switches them on.

They cover runs of the deployments made here, whoever starts them. An automation that a person
disabled stays disabled.

Notices go to every Prefect notification block named `stockml-notices` (Slack, mail or another). A
person creates it in Prefect's page, or STOCKML_WEBHOOK_URL makes one here, for a webhook that takes
`{"text": …}`, as Slack's and Mattermost's do. Without any block, the flow `notice` logs the line
and keeps it in STOCKML_HOME/notices.log.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Set
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, Literal
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
from stockml import clock
from stockml.errors import InvalidSetting
from stockml.nights import states

Notify = Callable[[str, str], list[Any]]  # text and subject, as Prefect's templates
TAKE_NOTICES = (
    "see that STOCKML_WEBHOOK_URL or the block `stockml-notices` is right and answers; then "
    "start `stockml up` again"
)
ACTION, NOTICE_AGE = "prefect.automation.action", timedelta(days=3)
PREFIX = "stockml: "
# after each of these, a run is heard of again, or its process or its worker is gone
BEGUN = frozenset(
    f"prefect.flow-run.{event}"
    for event in ("Pending", "Submitting", "InfrastructurePending", "Running", "heartbeat")
)
SILENCE = timedelta(minutes=5)  # ten heartbeats
# after a crash: a worker reports it twice, the second time seconds later
QUIET = timedelta(minutes=1)
AGAIN = 3  # times that a run is done again after its process died
RUN, CRASHED = "prefect.resource.id", "prefect.flow-run.Crashed"
EACH, HOUR, DAY = timedelta(0), timedelta(hours=1), timedelta(days=1)
# a run is named by its flow when it begins; before, it has a random name of Prefect's
SUBJECT = (
    "{% set ticker = flow_run.parameters.ticker %}stockml: {{ flow.name ~ ' ' if not "
    "flow_run.name.startswith(flow.name) }}{{ flow_run.name if not ticker or ticker in "
    "flow_run.name else ticker ~ ' (' ~ flow_run.name ~ ')' }} {{ flow_run.state.name }}"
)
TEXT = f"{SUBJECT}: {{{{ flow_run.state.message or 'no message' }}}}"
NIGHT_TEXT = f"{TEXT} (more failures this hour are not sent; see stockml status)"
LATE_TEXT = f"{TEXT}; is a worker up? More late runs this hour are not sent"
DIGEST_TEXT = "stockml: {{ flow_run.state.message }}"
BLOCK = "stockml-notices"
ALERTS = {  # name → event, meaning
    "unusual range": (
        "width.unusual",
        "A share's range for the next session has left its usual widths",
    ),
    "price outside": ("band.missed", "A share closed outside the 95 % range of the session before"),
    "wrong coverage": (
        "coverage.wrong",
        "Of a share's last 60 ranges of 80 %, under 70 or over 90 % were right",
    ),
    "new champion": ("model.promoted", "A share has a new champion"),
    "no forecast": ("forecast.missing", "A share has had no forecast for two sessions"),
    "morning digest": ("digest.ready", "What is new in the morning, at most a line a share"),
}
ALERT = "stockml: {{ event.payload.text }}"
FIELDS = {":message": "text", ":title": "", ":version": "", ":attachments": "", ":type": ""}


def install(
    environ: Mapping[str, str], *, silence: timedelta = SILENCE, quiet: timedelta = QUIET
) -> RegistrationResult:
    """Create or update the automations on the configured Prefect API.

    silence: how long a run may be unheard of; quiet: how long after its death it is done again.
    Each at least 10 s.
    """
    done: dict[str, list[str]] = defaultdict(list)
    with get_client(sync_client=True) as client:
        for automation in templates(notifier(client, environ), silence, quiet):
            done[_apply(client, automation)].append(automation.name)
    return RegistrationResult(**{what: tuple(names) for what, names in done.items()})


def templates(notify: Notify, silence: timedelta, quiet: timedelta) -> list[AutomationCore]:
    """notify: returns the actions that send a text; the times are those of `install`.

    Each notice matches a single tag: Prefect's page shows anything more complex as "a custom
    trigger".
    """

    def notice_of(
        name: str,
        meaning: str,
        tag: str,
        *ends: str,
        text: str = TEXT,
        once_in: timedelta = EACH,
        **labels: str | list[str],
    ) -> AutomationCore:
        expect = {f"prefect.flow-run.{end}" for end in ends}
        trigger = _trigger(expect, tag, labels, set() if once_in else {RUN}, within=once_in)
        return AutomationCore(
            name=f"{PREFIX}{name}",
            description=meaning,
            trigger=trigger,
            actions=notify(text, SUBJECT),
        )

    nights = "A night ended in an error. Only the first of an hour is sent: an outage ends all"
    failed = "A run that is no ticker's night, or a part of it, ended in an error"
    late = (
        "A run did not start in time: is a worker up? Only the first of an hour is sent: without "
        "one all are late"
    )
    missed = "Some tickers have no forecast of the newest session"
    # by state type: a night ended as Late, for want of its bar, is left to the digest
    scheduled = {"prefect.state-type": StateType.SCHEDULED.value}
    return [
        notice_of("failed nights", nights, NIGHTS, "Failed", text=NIGHT_TEXT, once_in=HOUR),
        notice_of("failed runs", failed, OTHERS, "Failed", states.WITH_FAILURES),
        notice_of("late runs", late, MANAGED, "Late", text=LATE_TEXT, once_in=HOUR, **scheduled),
        notice_of("missing forecasts", missed, OTHERS, states.FORECASTS_MISSING, text=DIGEST_TEXT),
        _silent_runs(silence),
        _crashed_runs(quiet),
        _dying_runs(),
        *(_alert(name, *told, notify) for name, told in ALERTS.items()),
    ]


def switch_alerts(*, enabled: bool) -> None:
    """Enable or disable all alerts on the configured Prefect API, where they are installed."""
    with get_client(sync_client=True) as client:
        for name in ALERTS:
            for alert in client.read_automations_by_name(f"{PREFIX}{name}"):
                (client.resume_automation if enabled else client.pause_automation)(alert.id)


def _alert(name: str, event: str, meaning: str, notify: Notify) -> AutomationCore:
    matched: Any = {RUN: "stockml.*"}
    trigger = EventTrigger(
        expect={f"stockml.{event}"},
        match=matched,
        posture=Posture.Reactive,
        threshold=1,
        within=EACH,
    )
    actions = notify(ALERT, "stockml: {{ event.resource.name or 'this morning' }}")
    return AutomationCore(
        name=f"{PREFIX}{name}", description=meaning, trigger=trigger, actions=actions, enabled=False
    )


def _silent_runs(silence: timedelta) -> AutomationCore:
    """Ends a run of which nothing is heard any more, begun or not: that of a killed machine or
    worker."""
    trigger = _trigger(
        {"prefect.flow-run.*"},
        MANAGED,
        {},
        {RUN},
        within=silence,
        after=BEGUN,
        posture=Posture.Proactive,
    )
    message = f"nothing was heard of it for {silence.total_seconds():.0f} s"
    crash = ChangeFlowRunState(state=StateType.CRASHED, name="Crashed", message=message)
    meaning = (
        "A run that was taken by a worker, and of which nothing is heard any more, is ended as "
        "Crashed"
    )
    return AutomationCore(
        name=f"{PREFIX}silent runs", description=meaning, trigger=trigger, actions=[crash]
    )


def _crashed_runs(quiet: timedelta) -> AutomationCore:
    """Puts a run whose process died back into the queue, unless something else becomes of it."""
    trigger = _trigger(
        {"prefect.flow-run.*"},
        MANAGED,
        {},
        {RUN},
        within=quiet,
        after={CRASHED},
        posture=Posture.Proactive,
    )
    again = ChangeFlowRunState(
        state=StateType.SCHEDULED,
        name="AwaitingRetry",
        message="its process died; it is done again",
    )
    meaning = f"A run whose process died is done again, at most {AGAIN} times"
    return AutomationCore(
        name=f"{PREFIX}crashed runs", description=meaning, trigger=trigger, actions=[again]
    )


def _dying_runs() -> AutomationCore:
    """Ends a run that keeps dying as Failed, which is told; being at once, it comes before
    `_crashed_runs`."""
    deaths = AGAIN + 1
    trigger = _trigger({CRASHED}, MANAGED, {}, {RUN}, within=DAY, threshold=deaths)
    message = f"its process died {deaths} times; see the machine's memory and the worker's log"
    fail = ChangeFlowRunState(state=StateType.FAILED, name="Failed", message=message)
    meaning = f"A run whose process died {deaths} times within a day has failed"
    return AutomationCore(
        name=f"{PREFIX}dying runs", description=meaning, trigger=trigger, actions=[fail]
    )


def _trigger(
    expect: Set[str],
    tag: str,
    labels: Mapping[str, str | list[str]],
    for_each: Set[str],
    within: timedelta,
    after: Set[str] = frozenset(),
    posture: Literal[Posture.Reactive, Posture.Proactive] = Posture.Reactive,
    threshold: int = 1,
) -> EventTrigger:
    """The trigger by events of runs with this tag and these labels."""
    related: Any = {"prefect.resource.role": "tag", RUN: [f"prefect.tag.{tag}"]}
    matched: Any = {RUN: "prefect.flow-run.*", **labels}
    return EventTrigger(
        after=set(after),
        expect=set(expect),
        match=matched,
        match_related=related,
        for_each=set(for_each),
        posture=posture,
        threshold=threshold,
        within=within,
    )


def _apply(client: SyncPrefectClient, automation: AutomationCore) -> str:
    existing = sorted(
        client.read_automations_by_name(automation.name),
        key=lambda each: (not each.enabled, each.id),
    )
    # two workers that began at once have each made one: notices would come twice
    for duplicate in existing[1:]:
        with suppress(ObjectNotFound):
            client.delete_automation(duplicate.id)
    if not existing:
        client.create_automation(automation)
        return "created"
    updated = automation.model_copy(update={"enabled": existing[0].enabled})
    if all(
        getattr(updated, part) == getattr(existing[0], part)
        for part in ("description", "trigger", "actions")
    ):
        return "unchanged"
    client.update_automation(existing[0].id, updated)
    return "updated"


def notifier(client: SyncPrefectClient, environ: Mapping[str, str]) -> Notify:
    """Return the function from a text (a Prefect template) to the actions that send it. Raises
    InvalidSetting."""
    if url := environ.get("STOCKML_WEBHOOK_URL"):
        # its type hints lack `_sync`
        webhook: Any = SlackWebhook(url=SecretStr(webhook_address(url)))
        webhook.save(BLOCK, overwrite=True, _sync=True)
    if blocks := _blocks(client):
        return lambda text, subject: [
            SendNotification(block_document_id=each, subject=subject, body=text) for each in blocks
        ]
    log = _notice_deployment(client)

    def run_log(text: str, _: str) -> list[Any]:
        what = {"__prefect_kind": "jinja", "template": text}
        return [RunDeployment(source="selected", deployment_id=log, parameters={"what": what})]

    return run_log


def refused_notice(client: SyncPrefectClient, now: datetime) -> str | None:
    """Say which notice was refused, if it is the newest that the webhook or a block was sent."""
    sent = {
        "event": {"name": [f"{ACTION}.executed", f"{ACTION}.failed"]},
        "occurred": {"since": now - NOTICE_AGE},
    }
    newest: dict[int, Any] = {}  # of each block
    for event in client.read_events(EventFilter.model_validate(sent), limit=50).events:
        if event.payload.get("action_type") == "send-notification":
            newest.setdefault(event.payload["action_index"], event)
    for event in newest.values():
        if event.event == f"{ACTION}.failed":
            return (
                f"the notice of {clock.shown(event.occurred)} ({event.resource.name}) was not taken"
            )
    return None


def webhook_address(url: str) -> str:
    """Return Apprise's URL for posting `{"text": …}` to the webhook. Raises InvalidSetting, without
    the address.

    Prefect's own Custom Webhook block is no alternative: it takes any answer for success, and logs
    the address.
    """
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        is_address = False
    if not is_address:
        raise InvalidSetting(
            "STOCKML_WEBHOOK_URL", "…", "an address such as https://hooks.slack.com/services/…"
        )
    # quoted twice, since Apprise decodes a query twice
    query = {
        f"-{name}": quote(value, safe="")
        for name, value in parse_qsl(parts.query, keep_blank_values=True)
    }
    fields = urlencode(query | FIELDS, safe=":", quote_via=quote)
    scheme = "jsons" if parts.scheme == "https" else "json"
    return f"{scheme}://{parts.netloc}{parts.path or '/'}?{fields}"


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
