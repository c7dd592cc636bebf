"""Prefect's automations: who is told of failed, crashed and late runs, and that a run without heartbeat is ended.

Called again, it changes what differs and nothing else: one that a person switched off stays off. Told is the webhook
that STOCKML_WEBHOOK_URL names (it gets `{"text": …}`, as Slack and Mattermost take it); without one a small flow,
`notice`, logs the line and keeps it in STOCKML_HOME/notices.log.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from deployments.registration import POOL
from stockml.nights import states

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.events.schemas.automations import AutomationCore

PROJECT = Path(__file__).parents[2]
PREFIX = "stockml: "
WEBHOOK_BLOCK = "stockml-notices"
WATCHED = ("nightly", "universe", "backfill", "history", "maintenance", "tune", "backtest", "pretrain")
HEARTBEAT = "prefect.flow-run.heartbeat"
# a run ends with one of these, or waits, and sends no heartbeat until it goes on: events are named by the state's name
PREFECTS_OWN = (
    *("Completed", "Failed", "TimedOut", "Cancelled", "Crashed"),
    *("Scheduled", "Late", "AwaitingRetry", "AwaitingConcurrencySlot", "Resuming", "Paused", "Suspended"),
    *("Pending", "Submitting", "InfrastructurePending"),
)
ENDS = tuple(f"prefect.flow-run.{state}" for state in (*PREFECTS_OWN, *sorted(states.OWN)))
SILENCE = timedelta(minutes=5)  # ten heartbeats
TEXT = (
    "stockml: {{ flow.name }} {{ flow_run.name }} "
    "{{ flow_run.state.name }}: {{ flow_run.state.message or 'no message' }}"
)


@dataclass(frozen=True)
class Installed:
    """What was done, by automation."""

    created: tuple[str, ...]
    updated: tuple[str, ...]
    unchanged: tuple[str, ...]

    def __str__(self) -> str:
        counts = [f"{len(names)} {what}" for what, names in vars(self).items() if names]
        return "automations: " + ", ".join(counts)


def install(environ: Mapping[str, str], *, silence: timedelta = SILENCE) -> Installed:
    """Create or update the automations on the Prefect API that is set; `silence` is at least 10 s."""
    from prefect.client.orchestration import get_client

    done: dict[str, list[str]] = {"created": [], "updated": [], "unchanged": []}
    with get_client(sync_client=True) as client:
        url = environ.get("STOCKML_WEBHOOK_URL")
        action = _call(_webhook(url)) if url else _log(_notice_deployment(client))
        flows = [str(client.create_flow_from_name(name)) for name in WATCHED]
        for wanted in templates(action, silence, flows):
            done[_agree(client, wanted)].append(wanted.name)
    return Installed(**{what: tuple(names) for what, names in done.items()})


def templates(tell: Any, silence: timedelta, flows: Sequence[str]) -> "list[AutomationCore]":
    """The automations; `tell` is the action of those that only tell, `silence` how long a heartbeat may be missing.

    flows: the watched ones' ids; by names, the page would call each no more than "a custom trigger".
    """
    from prefect.client.schemas.objects import StateType
    from prefect.events.actions import ChangeFlowRunState
    from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture

    ids = [f"prefect.flow.{flow}" for flow in flows]
    of_ours: dict[str, str | list[str]] = {"prefect.resource.role": "flow", "prefect.resource.id": ids}

    def told(kind: str, state: str, meaning: str) -> AutomationCore:
        trigger = EventTrigger(
            expect={f"prefect.flow-run.{state}"},
            match={"prefect.resource.id": "prefect.flow-run.*"},
            match_related=of_ours,
            for_each={"prefect.resource.id"},
            posture=Posture.Reactive,
            threshold=1,
            within=timedelta(0),
        )
        return AutomationCore(name=f"{PREFIX}{kind} runs", description=meaning, trigger=trigger, actions=[tell])

    silent = EventTrigger(
        after={HEARTBEAT},
        expect={HEARTBEAT, *ENDS},
        match={"prefect.resource.id": "prefect.flow-run.*"},
        for_each={"prefect.resource.id"},
        posture=Posture.Proactive,
        threshold=1,
        within=silence,
    )
    dead = ChangeFlowRunState(
        state=StateType.CRASHED, name="Crashed", message=f"No heartbeat for {silence.total_seconds():.0f} s"
    )
    return [
        told("failed", "Failed", "A run ended in an error"),
        told("crashed", "Crashed", "A run's process died, or could not be started"),
        told("late", "Late", "A run did not start in time: is a worker up?"),
        AutomationCore(
            name=f"{PREFIX}zombie runs",
            description="A run that says it is running, and whose heartbeat stopped, is ended as Crashed",
            trigger=silent,
            actions=[dead],
        ),
    ]


def _agree(client: "SyncPrefectClient", wanted: "AutomationCore") -> str:
    known = client.read_automations_by_name(wanted.name)
    if not known:
        client.create_automation(wanted)
        return "created"
    kept = wanted.model_copy(update={"enabled": known[0].enabled})
    if _content(kept) == _content(known[0]):
        return "unchanged"
    client.update_automation(known[0].id, kept)
    return "updated"


def _content(automation: "AutomationCore") -> dict[str, Any]:
    """What decides an automation, without what the server adds."""
    shown = automation.model_dump(mode="json", include={"name", "description", "trigger", "actions", "enabled"})
    ordered: dict[str, Any] = _ordered(shown)
    return ordered


def _ordered(value: Any) -> Any:
    """Sets arrive as lists in any order."""
    if isinstance(value, dict):
        return {name: _ordered(part) for name, part in value.items() if name != "id"}
    if isinstance(value, list):
        return sorted((_ordered(part) for part in value), key=str)
    return value


def _webhook(url: str) -> UUID:
    """The block that holds the address, which is a secret; it is replaced when the address changes."""
    from prefect.blocks.webhook import Webhook
    from pydantic import SecretStr

    webhook: Any = Webhook(method="POST", url=SecretStr(url))  # its types do not know `_sync`
    return UUID(str(webhook.save(WEBHOOK_BLOCK, overwrite=True, _sync=True)))


def _call(block: UUID) -> Any:
    from prefect.events.actions import CallWebhook

    return CallWebhook(block_document_id=block, payload=f'{{"text": {{{{ ({_as_expression(TEXT)}) | tojson }}}}}}')


def _as_expression(template: str) -> str:
    """The template's parts joined inside one Jinja expression, so that the whole can be quoted as JSON."""
    parts = template.replace("{{", "\0").replace("}}", "\0").split("\0")
    return " ~ ".join(f"({part})" if at % 2 else repr(part) for at, part in enumerate(parts) if part)


def _log(deployment: UUID) -> Any:
    from prefect.events.actions import RunDeployment

    what = {"__prefect_kind": "jinja", "template": TEXT}
    return RunDeployment(source="selected", deployment_id=deployment, parameters={"what": what})


def _notice_deployment(client: "SyncPrefectClient") -> UUID:
    """The deployment of the flow `notice`, on the same pool as the nights."""
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
    from prefect.utilities.callables import parameter_schema

    from flows.notice import notice

    with suppress(ObjectAlreadyExists):
        client.create_work_pool(WorkPoolCreate(name=POOL, type="process"))
    with suppress(ObjectNotFound):  # as earlier versions called it
        client.delete_deployment(client.read_deployment_by_name("notice/log").id)
    return client.create_deployment(
        flow_id=client.create_flow_from_name(notice.name),
        name="log a notice",
        description="Logs what an automation has seen, and keeps it in STOCKML_HOME/notices.log.",
        entrypoint="flows/notice.py:notice",
        work_pool_name=POOL,
        parameter_openapi_schema=parameter_schema(notice.fn).model_dump_for_openapi(),
        pull_steps=[{"prefect.deployments.steps.set_working_directory": {"directory": str(PROJECT)}}],
    )
