"""What is not there yet, such as a late bar: another run of the same deployment asks for it again.

No slot or process is held meanwhile. How often is left in the run's parameter `late_retries`, which
each such run has one less of.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from prefect.context import FlowRunContext
from prefect.deployments import run_deployment

from stockml import clock
from stockml.nights import states

MAY_COME = (states.LATE, states.NO_ANSWER)  # end states of nights that may do better within hours
WAIT = timedelta(minutes=20)


def run_again(retries: int, **changes: Any) -> str | None:
    """Schedule this run's deployment again after WAIT, with its name and parameters but for the
    changes; says when.

    None where that may not be: without retries left or a deployment (a command's run), and in a
    replay, whose clock stands still.  changes: as in JSON.
    """
    context = FlowRunContext.get()
    run = context.flow_run if context else None
    if run is None or run.deployment_id is None or retries < 1 or clock.is_frozen():
        return None
    due = datetime.now(UTC) + WAIT
    run_deployment(
        run.deployment_id,
        flow_run_name=run.name,
        parameters={**run.parameters, **changes, "late_retries": retries - 1},
        scheduled_time=due,
        timeout=0,
        as_subflow=False,
        # a run that is repeated after a kill asks for no second one
        idempotency_key=f"after {run.id}",
    )
    return f"asked again at {clock.shown(due)}"
