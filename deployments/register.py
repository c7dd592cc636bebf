"""Make Prefect's deployments agree with `tickers.yaml`: one a ticker, nightly in the exchange's own time zone.

What changed is updated, what was removed is deleted, what was paused stays paused. Deployments that carry no
`tickers.yaml` tag are nobody's business here.
"""

import asyncio
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deployments.tickers import TickerEntry, staggered

if TYPE_CHECKING:
    from uuid import UUID

    from prefect.client.orchestration import PrefectClient
    from prefect.client.schemas.responses import DeploymentResponse

POOL = "stockml"
MANAGED = "tickers.yaml"
SLUG = "nightly"
ENTRYPOINT = "flows/nightly.py:nightly"
PROJECT = Path(__file__).parent.parent
AT_ONCE = 2  # more at once only wait for each other in SQLite
PAGE = 200


@dataclass(frozen=True)
class Registered:
    """What was done, by ticker."""

    created: tuple[str, ...]
    updated: tuple[str, ...]
    unchanged: tuple[str, ...]
    deleted: tuple[str, ...]

    def __str__(self) -> str:
        counts = [f"{len(names)} {what}" for what, names in vars(self).items() if names]
        return "deployments: " + (", ".join(counts) or "none")


def register(entries: Sequence[TickerEntry], *, delete_others: bool) -> Registered:
    """Register a deployment for each entry on the Prefect API that is set; with `delete_others` none else stays."""
    return asyncio.run(_register(staggered(tuple(entries)), delete_others))


async def _register(wanted: list[tuple[TickerEntry, str]], delete_others: bool) -> Registered:
    from prefect.client.orchestration import get_client
    from prefect.utilities.callables import parameter_schema

    from flows.nightly import nightly

    schema = parameter_schema(nightly.fn).model_dump_for_openapi()
    done: dict[str, list[str]] = {"created": [], "updated": [], "unchanged": [], "deleted": []}
    async with get_client() as client:
        await _ensure_pool(client)
        flow_id = await client.create_flow_from_name(nightly.name)
        known = await _known(client, flow_id)
        turn = asyncio.Semaphore(AT_ONCE)

        async def agree(entry: TickerEntry, cron: str) -> None:
            async with turn:
                what = await _agree(client, flow_id, known.get(entry.ticker), _spec(entry, cron, schema))
                done[what].append(entry.ticker)

        await asyncio.gather(*(agree(entry, cron) for entry, cron in wanted))
        if delete_others:
            kept = {entry.ticker for entry, _ in wanted}
            for name, deployment in known.items():
                if name not in kept and MANAGED in deployment.tags:
                    await client.delete_deployment(deployment.id)
                    done["deleted"].append(name)
    return Registered(**{what: tuple(sorted(names)) for what, names in done.items()})


async def _ensure_pool(client: "PrefectClient") -> None:
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound

    try:
        await client.read_work_pool(POOL)
    except ObjectNotFound:
        try:
            await client.create_work_pool(WorkPoolCreate(name=POOL, type="process"))
        except ObjectAlreadyExists:
            return


async def _known(client: "PrefectClient", flow_id: "UUID") -> dict[str, "DeploymentResponse"]:
    from prefect.client.schemas.filters import FlowFilter, FlowFilterId

    of_flow = FlowFilter(id=FlowFilterId(any_=[flow_id]))
    found: dict[str, DeploymentResponse] = {}
    while True:
        page = await client.read_deployments(flow_filter=of_flow, limit=PAGE, offset=len(found))
        found |= {deployment.name: deployment for deployment in page}
        if len(page) < PAGE:
            return found


def _spec(entry: TickerEntry, cron: str, schema: dict[str, Any]) -> dict[str, Any]:
    """Everything that decides a deployment; `version` is its identity."""
    spec = {
        "name": entry.ticker,
        "description": f"Brings {entry.ticker} up to date every night, retrains, and publishes the forecast.",
        "parameters": entry.parameters(),
        "tags": sorted({*entry.tags, MANAGED}),
        "entrypoint": ENTRYPOINT,
        "parameter_openapi_schema": schema,
        "pull_steps": [{"prefect.deployments.steps.set_working_directory": {"directory": str(PROJECT)}}],
        "cron": cron,
        "timezone": entry.timezone,
    }
    digest = hashlib.sha256(json.dumps(spec, sort_keys=True, default=str).encode()).hexdigest()
    return {**spec, "version": digest[:16]}


async def _agree(
    client: "PrefectClient", flow_id: "UUID", known: "DeploymentResponse | None", spec: dict[str, Any]
) -> str:
    from prefect.client.schemas.actions import DeploymentScheduleCreate
    from prefect.client.schemas.objects import ConcurrencyLimitStrategy, ConcurrencyOptions
    from prefect.client.schemas.schedules import CronSchedule

    if known and known.version == spec["version"] and known.schedules:
        return "unchanged"
    plain = {name: value for name, value in spec.items() if name not in ("cron", "timezone")}
    schedule = DeploymentScheduleCreate(
        schedule=CronSchedule(cron=spec["cron"], timezone=spec["timezone"]),
        active=_is_active(known),
        slug=SLUG,
    )
    await client.create_deployment(
        flow_id=flow_id,
        schedules=[schedule],
        concurrency_limit=1,
        concurrency_options=ConcurrencyOptions(collision_strategy=ConcurrencyLimitStrategy.ENQUEUE),
        work_pool_name=POOL,
        paused=known.paused if known else None,
        enforce_parameter_schema=True,
        **plain,
    )
    return "updated" if known else "created"


def _is_active(known: "DeploymentResponse | None") -> bool:
    """A schedule that a person paused stays paused."""
    if known is None:
        return True
    by_slug = {schedule.slug: schedule.active for schedule in known.schedules}
    return by_slug.get(SLUG, all(by_slug.values()))
