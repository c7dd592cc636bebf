"""Make Prefect's deployments match `tickers.yaml`: one per ticker, nightly in the exchange's own
time zone.

Changed ones are updated, removed ones deleted, and paused ones stay paused, as do schedules that a
person added in the page. Every other flow that can be started from the page gets one deployment.
Deployments without the tag `tickers.yaml` are left alone.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import time
from functools import cache
from importlib import import_module
from typing import Any
from uuid import UUID

from prefect import Flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate, WorkPoolCreate
from prefect.client.schemas.objects import (
    ConcurrencyLimitStrategy,
    ConcurrencyOptions,
    DeploymentSchedule,
    StateType,
)
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from prefect.states import AwaitingRetry, Cancelled
from prefect.utilities.callables import parameter_schema

from deployments.registration import MANAGED, NIGHTS, OTHERS, POOL
from deployments.registration.tickers_file import DIGEST_AT, TickerEntry, staggered
from flows.form import TutorialForm
from tasks.artifacts import LINK
from tasks.run_records import in_state, paginated, runs_of

NIGHTLY = "nightly.nightly"
NIGHT = ("session", "mode", "force")
FIXED = ("ticker", "profile")
SLUGS = ("nightly", "morning", "weekly", "yearly")  # of our schedules: any other is a person's


@dataclass(frozen=True)
class DeploymentSpec:
    """A deployment as it should be."""

    flow: str  # module and function in `flows`
    name: str
    description: str
    asks: tuple[
        str, ...
    ] = ()  # the flow's parameters that its form shows; the others are as in `parameters`
    parameters: dict[str, Any] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    cron: str | None = None  # None: started from the page only
    timezone: str = "America/New_York"
    slug: str = "nightly"  # what the page calls the schedule
    before: str = ""  # its name until now: an earlier version's, or that of a renamed share


@dataclass(frozen=True)
class RegistrationResult:
    """The names of what was created, updated, left unchanged and deleted; and of those with a
    person's schedules."""

    created: tuple[str, ...] = ()
    updated: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()
    own_schedules: tuple[str, ...] = ()

    def __str__(self) -> str:
        done = {
            what: names for what, names in vars(self).items() if names and what != "own_schedules"
        }
        own = (
            f"; schedules of your own stay: {', '.join(self.own_schedules)}"
            if self.own_schedules
            else ""
        )
        return (", ".join(f"{len(names)} {what}" for what, names in done.items()) or "none") + own


def ticker_deployments(
    entries: Sequence[TickerEntry], earlier: Mapping[str, str] | None = None
) -> list[DeploymentSpec]:
    """earlier: the names that renamed tickers had before."""
    return [
        DeploymentSpec(
            flow=NIGHTLY,
            name=entry.ticker,
            description=(
                f"Brings {entry.ticker} up to date every night, retrains, and publishes the "
                "forecast."
            ),
            asks=NIGHT,
            parameters=entry.parameters(),
            tags=entry.tags,
            cron=cron,
            timezone=entry.timezone,
            before=(earlier or {}).get(entry.ticker, ""),
        )
        for entry, cron in staggered(tuple(entries))
    ]


def other_deployments(
    entries: Sequence[TickerEntry], digest_at: time = DIGEST_AT
) -> list[DeploymentSpec]:
    """The daily digest, yearly pretraining, maintenance on Sunday mornings (clear of clock
    changes); others by hand."""
    tickers = [entry.ticker for entry in entries]
    calendars = {entry.ticker: entry.calendar for entry in entries if entry.calendar}
    of_all = {
        "tickers": tickers,
        "choices": {entry.ticker: entry.own for entry in entries if entry.own},
    }
    return [
        DeploymentSpec(
            "notices.missing_forecasts",
            "tell of missing forecasts",
            "The morning after: which tickers have no forecast of their newest session, and why.",
            parameters={"tickers": tickers, "calendars": calendars},
            cron=f"{digest_at.minute} {digest_at.hour} * * 2-6",
            slug="morning",
        ),
        DeploymentSpec(
            "maintenance.maintenance",
            "weekly clean-up",
            "Resumes waiting nights, removes old data.",
            ("dry_run", "keep", "mlflow_trash_days"),
            tags=("maintenance",),
            cron="30 9 * * 0",
            slug="weekly",
            before="weekly",
        ),
        DeploymentSpec(
            NIGHTLY,
            "any ticker",
            "A night of a ticker that need not be followed.",
            ("ticker", *NIGHT),
        ),
        DeploymentSpec(
            NIGHTLY,
            "tutorial",
            "A night by the published recipe, which trains for minutes.",
            ("ticker", *NIGHT, "settings"),
            {"profile": "tutorial"},
        ),
        DeploymentSpec(
            "universe.universe",
            "all tickers, one night",
            "Many tickers' nights at once.",
            (*NIGHT, "processes"),
            of_all,
        ),
        DeploymentSpec(
            "backfill.backfill",
            "catch up a ticker",
            "Past sessions of a ticker, in order.",
            ("ticker", "first", "last", "learn", "mode", "force"),
            {"ticker": tickers[0]} if tickers else {},
        ),
        DeploymentSpec(
            "studies.pretrain",
            "pretrain a network",
            "A pretrained network across all tickers, once a year.",
            ("prices", "through", "seeds"),
            tags=("pretrain",),
            cron="0 12 2 1 *",
            slug="yearly",
        ),
        DeploymentSpec(
            "studies.backtest",
            "replay past nights",
            "Past nights as they would have been published.",
            ("tickers", "prices", "first", "last", "every"),
        ),
    ]


def register(specs: Sequence[DeploymentSpec], *, delete_others: bool) -> RegistrationResult:
    """Register these deployments on the configured Prefect API; `delete_others` deletes all others
    with our tag."""
    done: dict[str, list[str]] = defaultdict(list)
    with get_client(sync_client=True) as client:
        make_pool(client)
        flows = {each.flow: client.create_flow_from_name(flow_of(each.flow).name) for each in specs}
        existing = {(each.flow_id, each.name): each for each in paginated(client.read_deployments)}
        # not a person's own
        managed = {key: each for key, each in existing.items() if MANAGED in each.tags}
        for each in specs:
            flow_id = flows[each.flow]
            # or unscheduled
            earlier = managed.get((flow_id, each.before)) or existing.get((flow_id, each.name))
            personal = (
                [schedule for schedule in earlier.schedules if not _is_ours(schedule, each)]
                if earlier
                else []
            )
            done[_apply(client, flow_id, earlier, each, personal)].append(each.name)
            done["own_schedules"] += [each.name] if personal else []
        expected = {(flows[each.flow], each.name) for each in specs}
        renamed = {each.before: each.name for each in specs if each.flow == NIGHTLY}
        for other in [managed[key] for key in managed.keys() - expected] if delete_others else ():
            # first: killed in between, none stays
            _end_waiting(client, other, renamed.get(other.name))
            with suppress(ObjectNotFound):  # another machine was faster
                client.delete_deployment(other.id)
            done["deleted"].append(other.name)
    return RegistrationResult(**{what: tuple(sorted(names)) for what, names in done.items()})


def _end_waiting(client: SyncPrefectClient, going: DeploymentResponse, ticker: str | None) -> None:
    """Cancel its runs that wait, such as for a late bar; a renamed share's go on as `ticker`'s."""
    for run in tuple(
        runs_of(client, in_state([StateType.SCHEDULED], deployment_id={"any_": [going.id]}))
    ):
        # Prefect deletes it with its deployment
        if run.auto_scheduled and run.state_name == "Scheduled":
            continue
        if ticker:
            client.create_flow_run_from_deployment(
                client.read_deployment_by_name(f"nightly/{ticker}").id,
                name=run.name.replace(going.name, ticker),
                parameters=run.parameters | {"ticker": ticker},
                state=AwaitingRetry(
                    scheduled_time=run.next_scheduled_start_time, message=f"Waited as {going.name}"
                ),
                idempotency_key=str(run.id),
            )
        why = f"Goes on as {ticker}" if ticker else "Its deployment was removed"
        client.set_flow_run_state(run.id, Cancelled(message=why), force=True)


def make_pool(client: SyncPrefectClient) -> None:
    with suppress(ObjectAlreadyExists):
        client.create_work_pool(WorkPoolCreate(name=POOL, type="process"))


@cache
def flow_of(flow: str) -> Flow[..., Any]:
    module, _, function = flow.partition(".")
    return getattr(import_module(f"flows.{module}"), function)  # type: ignore[no-any-return]


@cache
def form_of(flow: str) -> dict[str, Any]:
    return {
        **parameter_schema(flow_of(flow).fn).model_dump_for_openapi(),
        "additionalProperties": False,
    }


def asked_form(deployment: DeploymentSpec) -> dict[str, Any]:
    """The form of what it asks. A parameter that is not shown may be given all the same, but no
    other ticker."""
    form = form_of(deployment.flow)
    fixed = {
        name: {"const": deployment.parameters[name]}
        for name in FIXED
        if name in deployment.parameters
    }
    hidden = {
        name: fixed.get(name, {}) for name in form["properties"] if name not in deployment.asks
    }
    shown = {name: form["properties"][name] for name in deployment.asks}
    definitions = {**form.get("definitions", {})}
    if "settings" in shown:
        settings = TutorialForm.model_json_schema(ref_template="#/definitions/{model}")
        definitions |= settings.pop("$defs")
        shown["settings"] = settings | {"title": "Settings", "position": len(shown)}
    return form | {
        "properties": shown,
        "definitions": definitions,
        "required": [name for name in form.get("required", ()) if name in shown],
        "patternProperties": {f"^{name}$": schema for name, schema in hidden.items()},
    }


def spec_of(deployment: DeploymentSpec) -> dict[str, Any]:
    """The deployment's fields; `version` hashes them and the schedule. A worker runs its own copy
    of the flow."""
    spec = {
        "name": deployment.name,
        "description": f"{deployment.description} {LINK}",
        "parameters": deployment.parameters,
        "tags": sorted(
            {
                *deployment.tags,
                MANAGED,
                NIGHTS if deployment.flow == NIGHTLY and deployment.cron else OTHERS,
            }
        ),
        "entrypoint": f"flows.{deployment.flow}",
        "parameter_openapi_schema": asked_form(deployment),
        "pull_steps": [],  # an earlier version's deployments had one
    }
    content = json.dumps(
        [spec, deployment.cron, deployment.timezone, deployment.slug], sort_keys=True, default=str
    )
    return {**spec, "version": hashlib.sha256(content.encode()).hexdigest()[:16]}


def _is_ours(schedule: DeploymentSchedule, spec: DeploymentSpec) -> bool:
    return schedule.slug in SLUGS or (
        not schedule.slug and getattr(schedule.schedule, "cron", None) == spec.cron
    )


def _apply(
    client: SyncPrefectClient,
    flow_id: UUID,
    existing: DeploymentResponse | None,
    spec: DeploymentSpec,
    personal: Sequence[DeploymentSchedule],
) -> str:
    """Make the deployment match `spec`, unless it does. A person's schedules of it, `personal`,
    stay as they are."""
    fields, ours = (
        spec_of(spec),
        [each for each in existing.schedules if each not in personal] if existing else [],
    )
    if existing and existing.version == fields["version"] and len(ours) == bool(spec.cron):
        return "unchanged"
    schedule_fields = set(DeploymentScheduleCreate.model_fields)
    schedules = [
        DeploymentScheduleCreate(**each.model_dump(include=schedule_fields)) for each in personal
    ]
    if spec.cron:
        cron = CronSchedule(cron=spec.cron, timezone=spec.timezone)
        active = all(schedule.active for schedule in ours)  # keep a paused schedule paused
        schedules.append(DeploymentScheduleCreate(schedule=cron, active=active, slug=spec.slug))
    deployment_id = client.create_deployment(
        flow_id=flow_id,
        schedules=schedules,
        concurrency_limit=1,
        concurrency_options=ConcurrencyOptions(collision_strategy=ConcurrencyLimitStrategy.ENQUEUE),
        work_pool_name=POOL,
        paused=existing.paused if existing else None,
        enforce_parameter_schema=True,
        **fields,
    )
    # schedule at once, so that status can show the next run
    if spec.cron and not (existing and existing.paused):
        client.request(
            "POST", "/deployments/{id}/schedule", path_params={"id": deployment_id}, json={}
        )
    return "updated" if existing and existing.name == spec.name else "created"
