"""Runs that nothing works on any more: which they are, and doing nights again whose process died."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from httpx import HTTPError
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowFilter
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.events.filters import EventFilter
from prefect.exceptions import Abort, ObjectNotFound
from prefect.states import Cancelled, Crashed

from stockml.storage.process_marks import is_at_work, is_gone, is_of_this_host
from tasks.run_records import NIGHTLY, UNFINISHED, end, end_children, end_tasks, in_state, name_of, reschedule, runs_of

HEARTBEAT = "prefect.flow-run.heartbeat"
REQUEUED, REQUEUE_AFTER, MOST_DEATHS = "done again at", timedelta(minutes=1), 3  # of a night whose process died
SILENT, A_NIGHT = "No heartbeat for", timedelta(hours=12)  # what the server says, after 5 min, of a lost run
OF_NIGHTS = (NIGHTLY, "universe")  # the flows that are done again: what a night has finished is not done twice
DONE_AGAIN = FlowFilter.model_validate({"name": {"any_": [*OF_NIGHTS]}})
ABORTED = "Execution was aborted by Python system exit call"  # of a run that writes a line to a worker that is gone
# of one whose process found no server to read it from, as seen by the worker or its runner
UNREAD = ("Flow run infrastructure exited with non-zero status code 1.", "Process exited with status code: 1.")
# of one whose container or pod was killed, as the workers of Docker and of Kubernetes say
KILLED = ("Flow run infrastructure exited with non-zero status code 137.", "No active or succeeded pods found")
ORPHAN = "nothing works on this run any more; run it again"
LOST_AFTER = timedelta(minutes=4)  # without a heartbeat: a worker then acts before the server does
GONE_AFTER = timedelta(minutes=1)  # the same if this host knows its process to be gone: two heartbeats
LONGEST_BY_HAND = timedelta(hours=6)  # a run may take whose process is not known; the longest profile takes less


def why_dead(
    run: FlowRun, now: datetime, silence: timedelta, *, parent_ended: bool, heartbeat: datetime | None
) -> str | None:
    """Why a run cannot be alive any more; None if it may be. `silence` is longer than several heartbeats."""
    if parent_ended:
        return "the run that it belongs to has ended"
    if why := why_gone(run.infrastructure_pid):
        return why
    began = run.start_time or run.created
    if began and is_at_work(run.infrastructure_pid, began):  # it or its machine may have slept
        return None
    if is_of_this_host(run.infrastructure_pid) and heartbeat is None:  # they may be switched off
        return None
    if (last := heartbeat or began) and last < now - silence:
        seen = "no heartbeat" if heartbeat else "no sign of life"
        return f"{seen} since {last:%Y-%m-%d %H:%M} UTC"
    return None


def zombies(
    client: SyncPrefectClient, now: datetime, silence: timedelta, spared: UUID
) -> tuple[tuple[FlowRun, str], ...]:
    """Runs that are Running or Cancelling and cannot be alive, each with the reason; children after their parents."""
    found = []
    for run in runs_of(client, in_state(UNFINISHED)):
        ended, heartbeat = _parent_ended(client, run), _last_heartbeat(client, run)
        why = why_dead(run, now, silence, parent_ended=ended, heartbeat=heartbeat)
        if why and run.id != spared:
            found.append((run, why))
    return tuple(sorted(found, key=lambda pair: pair[0].start_time or now))


def crash(client: SyncPrefectClient, run: FlowRun, why: str) -> None:
    end(client, run, Crashed(message=f"Ended from outside: {why}"))


def requeue(client: SyncPrefectClient, run_id: UUID, why: str) -> bool:
    """Put a worker's night whose process died back into the queue, unless it is there; returns whether it goes on.

    Or a night of many tickers, whose own nights end. It does not go on if it is being cancelled, if another run waits
    for it, or if it died too often.
    """
    run = client.read_flow_run(run_id)
    if run.state_type == StateType.SCHEDULED:
        return True
    is_own = run.parent_task_run_id is None and client.read_flow(run.flow_id).name in OF_NIGHTS
    is_begun = run.state_type in (StateType.RUNNING, StateType.PENDING) or _is_lost(run)
    if not (is_own and is_begun) or deaths(client, run_id) >= MOST_DEATHS:
        return False
    end_tasks(client, run, Crashed(message=why))
    end_children(run_id, Crashed(message=why))
    due = datetime.now(UTC) + REQUEUE_AFTER
    told = f"{why.removesuffix('.')}; {REQUEUED} {due:%Y-%m-%d %H:%M} UTC"
    with suppress(Abort):
        return reschedule(client, run_id, due, told).is_scheduled()
    return False


def requeue_lost(now: datetime | None = None) -> None:
    """Put nights lost with their worker, or with its machine, back into the queue; end those that died too often.

    A lost worker cannot do this for its runs: another does, or it does once started again. Does nothing while the
    server is away. Other flows' runs are left to the server, which after its own outage lacks living ones' heartbeats.
    """
    now = now or datetime.now(UTC)
    silent = in_state([StateType.RUNNING], start_time={"before_": now - GONE_AFTER})
    taken = in_state([StateType.PENDING])
    ended = in_state([StateType.CRASHED], end_time={"after_": now - A_NIGHT})
    with suppress(HTTPError, ObjectNotFound), get_client(sync_client=True) as client:
        unfinished = (*runs_of(client, silent, flows=DONE_AGAIN), *runs_of(client, taken, flows=DONE_AGAIN))
        for run in (*unfinished, *filter(_is_lost, runs_of(client, ended, flows=DONE_AGAIN))):
            why = _why_lost(client, run, now) if run.deployment_id else None
            if why and not requeue(client, run.id, why) and not _is_lost(run):
                crash(client, run, why)


def _is_lost(run: FlowRun) -> bool:
    told = str(run.state and run.state.message)
    return run.state_type == StateType.CRASHED and told.startswith((SILENT, ABORTED, *KILLED, *UNREAD))


def _why_lost(client: SyncPrefectClient, run: FlowRun, now: datetime) -> str | None:
    """Why the run is lost; None if it is at work, as it or its machine may have slept, or if a person cancelled it."""
    states = client.read_flow_run_states(run.id)
    if is_at_work(run.infrastructure_pid, states[-1].timestamp) or any(state.is_cancelling() for state in states):
        return None
    if _is_lost(run):
        return _why_crashed(states)
    silence = GONE_AFTER if is_gone(run.infrastructure_pid) else LOST_AFTER
    if states[-1].timestamp > now - silence:  # it was put back, and has just begun again
        return None
    if states[-1].is_pending():
        found = f"taken by a worker at {states[-1].timestamp:%Y-%m-%d %H:%M} UTC and never begun"
        return None if _is_of_a_container(run.infrastructure_pid) else found
    heartbeat = _last_heartbeat(client, run)
    if heartbeat and heartbeat > now - silence:  # from another machine of this one's name
        return None
    return why_dead(run, now, silence, parent_ended=False, heartbeat=heartbeat)


def _why_crashed(states: list[State[Any]]) -> str | None:
    """Why a run that ended like a lost one is lost; None if its process had begun it, and then failed."""
    if not (told := str(states[-1].message)).startswith(UNREAD):
        return told
    before = next(state for state in reversed(states) if not state.is_crashed())
    return "its process could not begin it" if before.is_pending() else None


def _is_of_a_container(process: str | None) -> bool:
    """Whether the run is not a process of a host but a container or a pod, whose image may be on its way."""
    return process is not None and not process.rpartition(":")[2].isdigit()


def deaths(client: SyncPrefectClient, run_id: UUID) -> int:
    """How often the run was put back because its process died; its run count includes waits for a late bar too."""
    return sum(REQUEUED in (state.message or "") for state in client.read_flow_run_states(run_id))


def end_killed(ticker: str) -> None:
    """End as Crashed the ticker's runs whose process on this host is gone; while the server is away, none."""
    with suppress(HTTPError), get_client(sync_client=True) as client:
        for run in tuple(runs_of(client, in_state(UNFINISHED))):
            if str(run.parameters.get("ticker")).upper() == ticker and (why := why_gone(run.infrastructure_pid)):
                crash(client, run, why)


def why_gone(process: str | None) -> str | None:
    """Why a run with this process (host:pid) is dead; None if it lives or this host cannot know."""
    return f"its process {(process or '').rpartition(':')[2]} is gone" if is_gone(process) else None


def crash_orphans(now: datetime | None = None) -> tuple[str, ...]:
    """Mark as Crashed every unfinished run that is old, whose process is gone, or that a worker had; returns names.

    A power cut leaves such runs, and they would hold their deployments' only slots. A deployment's night is done again
    instead, and one that was being cancelled is Cancelled; what a process of this host is known to work on, such as a
    command in a terminal, is left alone. To be called before any worker is started.
    """
    names, long_ago = [], (now or datetime.now(UTC)) - LONGEST_BY_HAND
    with get_client(sync_client=True) as client:
        unfinished = in_state((*UNFINISHED, StateType.PENDING))
        for run in sorted(runs_of(client, unfinished), key=lambda run: run.parent_task_run_id is not None):
            if run.parent_task_run_id and client.read_flow_run(run.id).state_type == StateType.CRASHED:
                continue  # ended just now, with the run around it, which is done again
            process, began = run.infrastructure_pid, run.start_time or run.expected_start_time
            is_old = began is not None and began < long_ago
            if began and is_at_work(process, began):
                continue
            if run.deployment_id and not is_old and requeue(client, run.id, "nothing worked on it any more"):
                names.append(f"{name_of(run)}, which is done again")
            elif run.deployment_id or is_old or why_gone(process):
                is_unwanted = run.state_type == StateType.CANCELLING
                end(client, run, Cancelled(message="cancelled") if is_unwanted else Crashed(message=ORPHAN))
                names.append(name_of(run))
    return tuple(names)


def _parent_ended(client: SyncPrefectClient, run: FlowRun) -> bool:
    if run.parent_task_run_id is None:
        return False
    try:
        parent: Any = client.read_task_run(run.parent_task_run_id).flow_run_id
        state = client.read_flow_run(parent).state
    except ObjectNotFound:
        return True
    return state is not None and state.is_final()


def _last_heartbeat(client: SyncPrefectClient, run: FlowRun) -> datetime | None:
    since = run.start_time or run.created
    told = {"event": {"name": [HEARTBEAT]}, "resource": {"id": [f"prefect.flow-run.{run.id}"]}}
    wanted = EventFilter.model_validate({**told, "occurred": {"since": since} if since else {}})
    page = client.read_events(wanted, limit=1)
    return page.events[0].occurred if page.events else None
