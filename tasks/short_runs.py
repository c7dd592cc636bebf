"""Prefect's engine for runs of seconds: heartbeats, lease renewal and the suspension socket start once a run lasts.

Most nights are over in three seconds, and would wait half a second for those threads. A run that dies before its first
heartbeat is put back into the queue by its worker or, if that died too, by another. Of a step of tenths of a second,
the page gets the end alone, which includes its beginning. A run that is stopped as a step begins ends as stopped.
"""

import contextvars
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from typing import Any
from uuid import UUID

from prefect import flow_engine, task_engine
from prefect._flow_run_suspension import FlowRunSuspensionRequest, observe_flow_run_suspension
from prefect.client.schemas.objects import State, TaskRun
from prefect.concurrency import _leases
from prefect.events import Event
from prefect.utilities.engine import emit_task_run_state_change_event

_beat, _renew = flow_engine._send_heartbeats, _leases._lease_renewal_loop
_crash = task_engine.SyncTaskRunEngine.handle_crash
LASTS_S, SHOWN_AFTER_S = 5.0, 1.0
ENDS_WITHIN_S = 2.0  # as long as Prefect waits for its own
_begun: dict[UUID, threading.Timer] = {}


def adapt_engine() -> None:
    """Put the functions below in the place of Prefect's, in this process."""
    flow_module: Any = flow_engine
    flow_module._send_heartbeats, flow_module.observe_flow_run_suspension = heartbeats, suspension
    task_module: Any = task_engine
    task_module.emit_task_run_state_change_event = tell_of_task_state
    task_engine_class: Any = task_engine.SyncTaskRunEngine
    task_engine_class.handle_crash = crash
    lease_module: Any = _leases
    lease_module._lease_renewal_loop = renewals


def heartbeats(
    engine: flow_engine.BaseFlowRunEngine[Any, Any], join_on_exit: bool = True, *, after_s: float = LASTS_S
) -> AbstractContextManager[None]:
    """In place of Prefect's `_send_heartbeats`: beats once the run lasts, and the last one is not waited for."""
    return _once_it_lasts(partial(_beat, engine, join_on_exit=False), after_s, waited_for=join_on_exit)


def suspension(
    flow_run_id: UUID, request: FlowRunSuspensionRequest, *, after_s: float = LASTS_S
) -> AbstractContextManager[None]:
    """In place of Prefect's `observe_flow_run_suspension`: observes only once the run lasts."""
    return _once_it_lasts(partial(observe_flow_run_suspension, flow_run_id, request), after_s)


def renewals(lease_id: UUID, lease_duration: float, stop_event: threading.Event, *, after_s: float = LASTS_S) -> None:
    """In place of Prefect's `_lease_renewal_loop`: starts once the run lasts, as a new lease holds for minutes.

    Prefect ends a run whose lease it cannot renew: a server that was restarted has forgotten it, and one whose database
    is away fails. Here the run goes on, and tries again before the lease ends: a ticker's lock keeps two nights apart.
    """
    while not stop_event.wait(after_s):
        with suppress(Exception):
            _renew(lease_id, lease_duration, stop_event)
        after_s = lease_duration / 5  # Prefect renews after three quarters


def crash(engine: task_engine.SyncTaskRunEngine[Any, Any], error: BaseException) -> None:
    """In place of Prefect's `handle_crash`, which raises ValueError for a step without a record: it needs no end."""
    if engine.task_run:
        _crash(engine, error)


def tell_of_task_state(
    task_run: TaskRun, initial_state: State | None, validated_state: State, follows: Event | None = None
) -> Event | None:
    """In place of Prefect's event emission: an end is sent at once, a beginning a second later, Pending never."""
    if late := _begun.pop(task_run.id, None):
        late.cancel()
    if initial_state is None and validated_state.is_pending():
        return None
    if not validated_state.is_running():
        return emit_task_run_state_change_event(task_run, initial_state, validated_state, follows)
    emit = partial(emit_task_run_state_change_event, task_run.model_copy(), initial_state, validated_state, follows)
    timer = _begun[task_run.id] = threading.Timer(SHOWN_AFTER_S, contextvars.copy_context().run, (emit,))
    timer.daemon = True
    timer.start()
    return None


@contextmanager
def _once_it_lasts(
    context: Callable[[], AbstractContextManager[None]], after_s: float, *, waited_for: bool = True
) -> Iterator[None]:
    """Enter `context` after this time, in a thread with this one's context variables, until the block's end."""
    over = threading.Event()

    def enter() -> None:
        if not over.wait(after_s):
            with context():
                over.wait()

    thread = threading.Thread(target=contextvars.copy_context().run, args=(enter,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        if waited_for:
            thread.join(timeout=ENDS_WITHIN_S)
