"""Runs that no process works on any more: what a power cut, or a kill of everything, leaves behind as "Running".

Such a run would hold its deployment's only slot, and the ticker's next nights would wait for it.
"""

from datetime import UTC, datetime, timedelta

BY_HAND_FOR = timedelta(hours=6)  # a run without a deployment lives in a terminal; the longest profile takes less


def crash_orphans(now: datetime | None = None) -> tuple[str, ...]:
    """Mark as crashed every unfinished run of a deployment, and those without that are old or whose process is gone.

    Returns their names. To be called on the Prefect API that is set, before any worker is started there.
    """
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.objects import State, StateType
    from prefect.states import Crashed

    from tasks.run_records import in_state, runs_of, why_gone

    names, long_ago = [], (now or datetime.now(UTC)) - BY_HAND_FOR
    with get_client(sync_client=True) as client:
        unfinished = in_state([StateType.RUNNING, StateType.PENDING, StateType.CANCELLING])
        for run in tuple(runs_of(client, unfinished)):
            if run.deployment_id or (run.start_time and run.start_time < long_ago) or why_gone(run.infrastructure_pid):
                state: State = Crashed(message="nothing works on this run any more; run it again")
                client.set_flow_run_state(run.id, state, force=True)
                names.append(run.name)
    return tuple(names)
