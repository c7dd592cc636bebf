"""Runs: Prefect's records of them, by its client; our own of how each ticker's last run ended, in
which words; and the run that asks again for what is not there yet, such as a late bar.

No slot or process is held meanwhile. How often is left in the run's parameter `late_retries`, which
each such run has one less of.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import wraps
from itertools import count
from json import JSONDecodeError
from typing import Any, ParamSpec, TypeVar
from uuid import UUID

from httpx import HTTPError, HTTPStatusError
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowFilter, FlowRunFilter
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.context import FlowRunContext
from prefect.deployments import run_deployment
from prefect.settings import PREFECT_SERVER_API_DEFAULT_LIMIT
from prefect.states import Crashed, Failed, State
from pydantic import ValidationError
from tenacity import retry, retry_if_exception_type, stop_after_attempt

from stockml import clock
from stockml.errors import StockmlError
from stockml.home import current_home
from stockml.nights import states
from stockml.nights.key_figures import newest
from stockml.nights.status import LastRun, last_run, record_run
from stockml.prices.calendar import sessions_for
from stockml.tickers import validated_ticker

T = TypeVar("T")
P = ParamSpec("P")

A_DAY = timedelta(days=1)
# answers, after which Prefect's client does not ask again
WRONG = HTTPStatusError, JSONDecodeError, ValidationError
REFUSALS = HTTPError, *WRONG  # of Prefect's server, or of a program between
with_retries = retry(retry=retry_if_exception_type(WRONG), stop=stop_after_attempt(3), reraise=True)
NIGHTLY = "nightly"  # the flow
NIGHTS = FlowFilter.model_validate({"name": {"any_": [NIGHTLY]}})
MAY_COME = (states.LATE, states.NO_ANSWER)  # end states of nights that may do better within hours
WAIT = timedelta(minutes=20)
UNFINISHED = (StateType.PENDING, StateType.RUNNING, StateType.CANCELLING)


def in_state(types: Sequence[StateType], **more: Any) -> FlowRunFilter:
    """A filter for runs in a state of these types; `more`: other fields of Prefect's filter, as in
    JSON."""
    return FlowRunFilter.model_validate({"state": {"type": {"any_": list(types)}}, **more})


def in_words(error: BaseException) -> str:
    """Our own errors say what to do; any other is unexpected, and named by its class."""
    return (
        str(error)
        if isinstance(error, StockmlError)
        else f"unexpected {type(error).__name__}: {error}"
    )


def failing_in_words(function: Callable[P, State[Any]]) -> Callable[P, State[Any]]:
    """A flow's function whose error of ours is its run's message: Prefect would put the error's
    class before it."""

    @wraps(function)
    def worded(*args: P.args, **kwargs: P.kwargs) -> State[Any]:
        try:
            return function(*args, **kwargs)
        except StockmlError as error:
            return Failed(message=str(error), data=error)

    return worded


def deployed_run() -> tuple[FlowRun, UUID] | None:
    """This run and its deployment; None of a command's run, which has none."""
    context = FlowRunContext.get()
    run = context.flow_run if context else None
    return (run, run.deployment_id) if run and run.deployment_id else None


def run_again(retries: int, **changes: Any) -> str | None:
    """Schedule this run's deployment again after WAIT, with its name and parameters but for the
    changes; says when.

    None where that may not be: without retries left or a deployment (a command's run), and in a
    replay, whose clock stands still.  changes: as in JSON.
    """
    deployed = deployed_run()
    if deployed is None or retries < 1 or clock.is_frozen():
        return None
    run, deployment_id = deployed
    due = datetime.now(UTC) + WAIT
    run_deployment(
        deployment_id,
        flow_run_name=run.name,
        parameters={**run.parameters, **changes, "late_retries": retries - 1},
        scheduled_time=due,
        timeout=0,
        as_subflow=False,
        # a run that is repeated after a kill asks for no second one
        idempotency_key=f"after {run.id}",
    )
    return f"asked again at {clock.shown(due)}"


@with_retries
def is_due_again() -> bool:
    """Whether another run of this run's deployment is due too, as after days of sleep of its
    machine."""
    if (deployed := deployed_run()) is None:
        return False
    _, deployment_id = deployed
    due = {
        "deployment_id": {"any_": [deployment_id]},
        "expected_start_time": {"before_": datetime.now(UTC)},
    }
    with get_client(sync_client=True) as client:
        return client.count_flow_runs(flow_run_filter=in_state([StateType.SCHEDULED], **due)) > 0


def runs_of(
    client: SyncPrefectClient,
    runs: FlowRunFilter,
    sort: FlowRunSort | None = None,
    flows: FlowFilter | None = None,
) -> Iterator[FlowRun]:
    return paginated(client.read_flow_runs, flow_filter=flows, flow_run_filter=runs, sort=sort)


def paginated(read: Callable[..., list[T]], **filters: Any) -> Iterator[T]:
    """The items on all pages of the client's method, each read only when needed."""
    size = PREFECT_SERVER_API_DEFAULT_LIMIT.value()
    for offset in count(0, size):
        yield from (page := read(limit=size, offset=offset, **filters))
        if len(page) < size:
            return


def end_children(parent: UUID) -> None:
    """End as Crashed the unfinished runs within this one: their worker processes are gone."""
    state: State = Crashed(message="its worker process has ended; see the machine's memory")
    children = in_state(UNFINISHED, parent_flow_run_id={"any_": [parent]})
    with get_client(sync_client=True) as client:
        for run in tuple(runs_of(client, children)):
            client.set_flow_run_state(run.id, state, force=True)
            with suppress(StockmlError, OSError):  # an invalid ticker, or a full disk
                keep_end(run, state, run.start_time or datetime.now(UTC))


def keep_end(run: FlowRun, state: State, at: datetime) -> None:
    """Write how the ticker's night ended, unless a later end is there (dated over a day ahead:
    ignored).

    Not if it is of a session before its newest night's, or of one to come.  Raises StockmlError,
    OSError.
    """
    ticker = validated_ticker(str(run.parameters.get("ticker") or ""))
    before, night = (
        last_run(current_home().nights, ticker),
        newest(current_home().nights, ticker),
    )
    if night and (session := run.parameters.get("session")):
        last = sessions_for(ticker, run.parameters.get("calendar") or None).last_final(clock.now())
        if not str(night.session) <= str(session) <= str(last):
            return
    if before is None or before.at <= at or before.at > datetime.now(UTC) + A_DAY:
        # the hook of a run that is cancelled comes before its end state
        name = "Cancelled" if state.is_cancelling() else state.name or ""
        record_run(current_home().nights, ticker, LastRun(name, reason_of(state), at))


def reason_of(state: State) -> str:
    """Why a run ended so, in one line: its error where it has one, else the state's message."""
    error = state.result(raise_on_failure=False) if state.is_failed() and state.data else None
    return " ".join((in_words(error) if error else state.message or "").split())
