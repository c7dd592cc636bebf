"""A late bar is waited for in Prefect's schedule where a worker's slot is at stake, and else in the process."""

import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext
from prefect.exceptions import Pause
from prefect.logging import get_run_logger
from prefect.states import AwaitingRetry, State
from prefect.utilities.engine import propose_state_sync

from stockml import clock
from stockml.pipeline.session_status import Outcome
from stockml.prices.store import BarStore

SOONEST_S = 20.0  # a worker takes up a run ten seconds early, and this process must have ended by then


def attempts_before(environ: Mapping[str, str] = os.environ) -> int:
    """How often this very run has been taken up before."""
    run = _scheduled_run(environ)
    return max(run.run_count - 1, 0) if run else 0


def brought_before(store: BarStore, ticker: str) -> tuple[int, int]:
    """How many sessions the run's earlier attempts added and restated."""
    run = _scheduled_run(os.environ)
    if run is None or run.run_count < 2 or run.start_time is None:
        return 0, 0
    return store.recorded_between(ticker, run.start_time)


def wait(late: Outcome, seconds: float) -> None:
    """Let the seconds pass before the bar is asked for again.

    Where a worker runs this run, it goes back into the queue as AwaitingRetry and its process ends: raises Prefect's
    Pause, with which a run leaves without an end (one that returns such a state is taken for crashed), or Abort where
    the server does not want it to go on.
    """
    run = _scheduled_run(os.environ)
    if run is None:
        get_run_logger().info("%s: asking again in %.0f s", late, seconds)
        clock.wait(seconds)
        return
    due = datetime.now(UTC) + timedelta(seconds=max(seconds, SOONEST_S))
    state: State = AwaitingRetry(scheduled_time=due, message=f"{late}; asked again at {due:%Y-%m-%d %H:%M} UTC")
    with get_client(sync_client=True) as client:
        state = propose_state_sync(client, state, flow_run_id=run.id)
        # cancelled with a process of its own to end, it would wait for ever for the one that ends here
        client.request("PATCH", "/flow_runs/{id}", path_params={"id": run.id}, json={"infrastructure_pid": None})
    raise Pause(state.message, state=state)


def _scheduled_run(environ: Mapping[str, str]) -> FlowRun | None:
    """This run, where a schedule or a form began it, not another run.

    None as well where a replay's clock stands still: there is no later.
    """
    context = FlowRunContext.get()
    run = context.flow_run if context else None
    is_own = run and run.deployment_id and run.parent_task_run_id is None
    return run if is_own and not clock.stands_still(environ) else None
