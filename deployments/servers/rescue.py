"""Runs that no process works on any more: what a power cut, or a kill of everything, leaves behind as "Running".

Such a run would hold its deployment's only slot, and the ticker's next nights would wait for it.
"""

from datetime import UTC, datetime, timedelta

BY_HAND_FOR = timedelta(hours=6)  # what is run in a terminal; the longest profile takes less


def crash_orphans(now: datetime | None = None) -> tuple[str, ...]:
    """Mark as crashed every unfinished run that is old, whose process is gone, or that a worker had.

    What a command in a terminal works on is left alone. Returns their names. To be called on the Prefect API that is
    set, before any worker is started there.
    """
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.objects import State, StateType
    from prefect.states import Crashed

    from stockml.storage.process_marks import is_at_work
    from tasks.run_records import in_state, runs_of, why_gone

    names, long_ago = [], (now or datetime.now(UTC)) - BY_HAND_FOR
    with get_client(sync_client=True) as client:
        unfinished = in_state([StateType.RUNNING, StateType.PENDING, StateType.CANCELLING])
        for run in tuple(runs_of(client, unfinished)):
            process, began = run.infrastructure_pid, run.start_time or run.expected_start_time
            is_worked_on = began is not None and is_at_work(process, began)
            if (run.deployment_id and not is_worked_on) or (began and began < long_ago) or why_gone(process):
                state: State = Crashed(message="nothing works on this run any more; run it again")
                client.set_flow_run_state(run.id, state, force=True)
                names.append(run.name)
    return tuple(names)
