"""Runs whose process is gone: finding them, and requeuing those with a schedule."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from itertools import groupby
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowFilter
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.events.filters import EventFilter
from prefect.exceptions import Abort, ObjectNotFound
from prefect.states import Cancelled, Crashed

from stockml.storage.process_marks import is_at_work, is_gone, is_of_this_host
from tasks.run_records import NIGHTLY, REFUSALS, UNFINISHED, end, end_children, end_tasks, in_state, reschedule, runs_of

HEARTBEAT = "prefect.flow-run.heartbeat"
REQUEUED, REQUEUE_AFTER, MAX_DEATHS = "done again at", timedelta(minutes=1), 3  # of a night whose process died
SILENT, MAX_SILENCE = "No heartbeat for", timedelta(hours=12)  # what the server says, after 5 min, of a lost run
NIGHT_FLOWS = (NIGHTLY, "universe")
SCHEDULED_FLOWS = (*NIGHT_FLOWS, "missing forecasts", "maintenance", "pretrain")  # the next is due in days or a year
SCHEDULED_FILTER = FlowFilter.model_validate({"name": {"any_": [*SCHEDULED_FLOWS]}})
OUR_FILTER = FlowFilter.model_validate(
    {"name": {"any_": [*SCHEDULED_FLOWS, "past night", "backfill", "history", "backtest", "tune", "notice"]}}
)  # other programs' flows on the same server may run for days without a heartbeat
ABORTED = "Execution was aborted by Python system exit call"  # of a run that writes a line to a worker that is gone
# of a process that could not reach the server, as its worker or runner reports it
UNREACHABLE = (
    *("Flow run infrastructure exited with non-zero status code 1.", "Process exited with status code: 1."),
    *(f"Failed to submit flow run to infrastructure: {kind}" for kind in ("JSON", "ValidationError", "PrefectHTTP")),
)
# of a killed container or pod, as the workers of Docker and of Kubernetes report it
KILLED = ("Flow run infrastructure exited with non-zero status code 137.", "No active or succeeded pods found")
LOST_AFTER = timedelta(minutes=4)  # without a heartbeat: a worker then acts before the server does
GONE_AFTER = timedelta(minutes=1)  # the same if its process is known to be gone: two heartbeats


def reap_lost(now: datetime | None = None) -> None:
    """Requeue or end the dead runs, and requeue those that ended as lost. While the server is away, none.

    A lost worker's runs are left to another worker, or to itself once it is started again.
    """
    with suppress(ObjectNotFound, *REFUSALS), get_client(sync_client=True) as client:
        now = now or _time_of_server(client)
        ended = in_state([StateType.CRASHED], end_time={"after_": now - MAX_SILENCE})
        for run, why in dead_runs(client, now):
            reap(client, run, why)
        for run in filter(_is_lost, runs_of(client, ended, flows=SCHEDULED_FILTER)):
            if reason := _why_lost(client, run):
                requeue(client, run.id, reason)


def dead_runs(client: SyncPrefectClient, now: datetime | None = None) -> tuple[tuple[FlowRun, str], ...]:
    """Our unfinished runs whose process is gone, each with the reason; children after their parents.

    A night, or a run of this host, may be silent for LOST_AFTER; any other for MAX_SILENCE, as the server lacks
    heartbeats of living runs after an outage of its own.
    """
    now = now or _time_of_server(client)
    nights = {flow.id for flow in client.read_flows(flow_filter=SCHEDULED_FILTER) if flow.name in NIGHT_FLOWS}
    dead = []
    for run in runs_of(client, in_state(UNFINISHED), flows=OUR_FILTER):
        if run.state and run.state.timestamp > now - GONE_AFTER:
            continue
        silence = LOST_AFTER if run.flow_id in nights or is_of_this_host(run.infrastructure_pid) else MAX_SILENCE
        ended, heartbeat = _parent_ended(client, run), _last_heartbeat(client, run)
        if why := why_dead(run, now, silence, parent_ended=ended, heartbeat=heartbeat):
            dead.append((run, why))
    return tuple(sorted(dead, key=lambda pair: pair[0].start_time or now))


def why_dead(
    run: FlowRun, now: datetime, silence: timedelta, *, parent_ended: bool, heartbeat: datetime | None
) -> str | None:
    """Why an unfinished run is dead; None if it may be alive. `silence`: several heartbeats or more."""
    process, since = run.infrastructure_pid, run.state.timestamp if run.state else now
    if is_at_work(process, since):  # it or its machine may have slept
        return None
    is_taken = run.state_type == StateType.PENDING
    if is_taken and process and not process.rpartition(":")[2].isdigit():  # a container, whose image may be on its way
        return None
    gone = why_gone(process) or ("the run that it belongs to has ended" if parent_ended else None)
    last = max(since, heartbeat or since)
    if last > now - (GONE_AFTER if gone else silence):  # or from another machine of this one's name
        return None
    template = "taken by a worker at {} and never begun" if is_taken else "no sign of life since {}"
    return gone or template.format(f"{last:%Y-%m-%d %H:%M} UTC")


def why_gone(process: str | None) -> str | None:
    """Why a run with this process (host:pid) is dead; None if it lives or this host cannot know."""
    return f"its process {(process or '').rpartition(':')[2]} is gone" if is_gone(process) else None


def reap(client: SyncPrefectClient, run: FlowRun, why: str) -> None:
    """Requeue a dead run if it is a worker's, of a flow with a schedule; else end it.

    Not if its state has changed: ended with its parent, or requeued by another worker and begun again.
    """
    if client.read_flow_run(run.id).state_id == run.state_id and not requeue(client, run.id, why):
        end(client, run, _ended(run, why))


def requeue(client: SyncPrefectClient, run_id: UUID, why: str) -> bool:
    """Put a worker's run whose process died back into the queue, unless it is there; returns whether it continues.

    Only for flows with a schedule: finished steps are not repeated, nights within it end. It does not continue if it
    is being cancelled, if another run waits for it, or if it died too often.
    """
    run = client.read_flow_run(run_id)
    if run.state_type == StateType.SCHEDULED:
        return True
    is_workers = run.deployment_id and run.parent_task_run_id is None
    is_own = is_workers and client.read_flow(run.flow_id).name in SCHEDULED_FLOWS
    is_begun = run.state_type in (StateType.RUNNING, StateType.PENDING) or _is_lost(run)
    if not (is_own and is_begun) or deaths(client, run_id) >= MAX_DEATHS:
        return False
    end_tasks(client, run, Crashed(message=why))
    # if Crashed, they would be reported as failed nights, of which only one an hour is reported
    end_children(run_id, Cancelled(message=f"{why}; done again with the run that it belongs to"))
    due = datetime.now(UTC) + REQUEUE_AFTER
    message = f"{why.removesuffix('.')}; {REQUEUED} {due:%Y-%m-%d %H:%M} UTC"
    with suppress(Abort):
        return reschedule(client, run_id, due, message).is_scheduled()
    return False


def end_killed(ticker: str) -> None:
    """End the ticker's runs whose process on this host is gone; while the server is away, none.

    Not Pending ones: until a worker begins a retry, the run has the process of its last attempt.
    """
    begun = in_state([StateType.RUNNING, StateType.CANCELLING])
    with suppress(*REFUSALS), get_client(sync_client=True) as client:
        for run in tuple(runs_of(client, begun)):
            if str(run.parameters.get("ticker")).upper() == ticker and (why := why_gone(run.infrastructure_pid)):
                end(client, run, _ended(run, why))


def deaths(client: SyncPrefectClient, run_id: UUID) -> int:
    """How often the run was requeued because its process died; its run count includes waits for a late bar too.

    Once for each death, even if several workers find it at the same moment.
    """
    by_death = groupby(client.read_flow_run_states(run_id), lambda state: REQUEUED in (state.message or ""))
    return sum(is_put_back for is_put_back, _ in by_death)


def _ended(run: FlowRun, why: str) -> State:
    if run.state_type == StateType.CANCELLING:
        return Cancelled(message="cancelled")
    return Crashed(message=f"nothing works on this run any more, {why}; run it again")


def _is_lost(run: FlowRun) -> bool:
    message = str(run.state and run.state.message)
    return run.state_type == StateType.CRASHED and message.startswith((SILENT, ABORTED, *KILLED, *UNREACHABLE))


def _why_lost(client: SyncPrefectClient, run: FlowRun) -> str | None:
    """Why a run that ended like a lost one is lost; None if alive, cancelled, or already ended."""
    states = client.read_flow_run_states(run.id)
    text, before = str(states[-1].message), [state for state in states if not state.is_crashed()][-1]
    if is_at_work(run.infrastructure_pid, states[-1].timestamp) or before.is_cancelling() or before.is_final():
        return None
    may_live = text.startswith(SILENT) and not is_gone(run.infrastructure_pid)
    if may_live and client.read_flow(run.flow_id).name not in NIGHT_FLOWS:  # hours of work elsewhere, done twice
        return None
    return "its process could not begin it, or not tell how it ended" if text.startswith(UNREACHABLE) else text


def _parent_ended(client: SyncPrefectClient, run: FlowRun) -> bool:
    if run.parent_task_run_id is None:
        return False
    parent = client.read_task_run(run.parent_task_run_id).flow_run_id
    state = parent and client.read_flow_run(parent).state
    return bool(state and state.is_final())


def _time_of_server(client: SyncPrefectClient) -> datetime:
    """The time by which states and the receipt of heartbeats are dated; clocks of workers may differ by minutes."""
    date = client.request("GET", "/health").headers.get("Date")
    return parsedate_to_datetime(date) if date else datetime.now(UTC)


def _last_heartbeat(client: SyncPrefectClient, run: FlowRun) -> datetime | None:
    # the run's own clock may be behind
    since = (run.start_time or run.created or datetime.now(UTC)) - MAX_SILENCE
    of_run = {"resource": {"id": [f"prefect.flow-run.{run.id}"]}, "occurred": {"since": since}}
    page = client.read_events(EventFilter.model_validate({"event": {"name": [HEARTBEAT]}, **of_run}), limit=1)
    return page.events[0].received if page.events else None
