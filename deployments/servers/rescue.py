"""Runs that no process works on any more: what a power cut, or a kill of everything, leaves behind as "Running".

Such a run would hold its deployment's only slot, and the ticker's next nights would wait for it.
"""

import asyncio
from datetime import UTC, datetime, timedelta

BY_HAND_FOR = timedelta(hours=6)  # a run without a deployment lives in a terminal; the longest profile takes less


def crash_orphans(now: datetime | None = None) -> tuple[str, ...]:
    """Mark as crashed every unfinished run of a deployment, and those without that are old or whose process is gone.

    Returns their names.

    To be called on the Prefect API that is set, before any worker is started there.
    """
    return asyncio.run(_crash_orphans(now or datetime.now(UTC)))


async def _crash_orphans(now: datetime) -> tuple[str, ...]:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType
    from prefect.client.schemas.objects import State, StateType
    from prefect.states import Crashed

    from tasks.run_records import why_gone

    unfinished = [StateType.RUNNING, StateType.PENDING, StateType.CANCELLING]
    found = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=unfinished)))
    names = []
    async with get_client() as client:
        for run in await client.read_flow_runs(flow_run_filter=found, limit=200):
            old = run.start_time and run.start_time < now - BY_HAND_FOR
            if run.deployment_id or old or why_gone(run.infrastructure_pid):
                state: State = Crashed(message="nothing works on this run any more; run it again")
                await client.set_flow_run_state(run.id, state, force=True)
                names.append(run.name)
    return tuple(names)
