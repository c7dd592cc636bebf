"""What Prefect's engine does for long runs starts only once a run lasts; a short run sends few events."""

import json
import signal
import threading
from collections.abc import Collection
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect import flow, flow_engine, task, task_engine
from prefect._flow_run_suspension import FlowRunSuspensionRequest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.concurrency import _leases
from prefect.context import TaskRunContext
from prefect.events import Event
from prefect.events.filters import EventFilter, EventRelatedFilter
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_CLIENT_CSRF_SUPPORT_ENABLED,
    PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED,
    PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
    temporary_settings,
)
from prefect.states import Running, Suspended

from tasks import short_runs
from tasks.run_records import drop_related_resources, run_on_page
from tests.support.loopback import Exchange, Loopback
from tests.support.patience import PATIENCE_S, until


class Beating(flow_engine.FlowRunEngine[Any, Any]):
    """An engine whose heartbeats are noticed and fail. keeper: the thread that starts and stops them."""

    heartbeat_seconds = 30  # Prefect asks its settings

    def __post_init__(self) -> None:
        super().__post_init__()
        self.beaten = threading.Event()

    def _emit_flow_run_heartbeat(self, *event: Any) -> None:
        self.beaten.set()
        raise ConnectionError

    def _build_heartbeat_event_template(self) -> Any:
        self.keeper = threading.current_thread()
        return super()._build_heartbeat_event_template()


@flow
def lasting() -> None: ...


def test_a_lasting_run_sends_heartbeats_until_it_ends_and_a_short_one_never_does() -> None:
    short = Beating(flow=lasting)
    with short_runs.heartbeats(short):
        pass
    engine = Beating(flow=lasting)
    with short_runs.heartbeats(engine, after_s=0.01):
        assert engine.beaten.wait(PATIENCE_S)
        engine.keeper.join(0.1)
        assert engine.keeper.is_alive()
    assert not engine.keeper.is_alive()
    assert not short.beaten.is_set()


@pytest.mark.usefixtures("prefect_server")
def test_a_lasting_run_learns_that_it_is_suspended() -> None:
    request = FlowRunSuspensionRequest()
    with get_client(sync_client=True) as client:
        run = client.create_flow_run(lasting, state=Running())
        with short_runs.suspension(run.id, request, after_s=0.1):
            client.set_flow_run_state(run.id, Suspended(timeout_seconds=600), force=True)
            assert until(request.is_requested)


class EndsWhenWaitedFor(threading.Event):
    """The end of a run, which comes as soon as something waits for it."""

    def wait(self, timeout: float | None = None) -> bool:
        self.set()
        return True


class NeverWaitsLong(threading.Event):
    """The end of a run: a wait for it is over at once, come or not."""

    def wait(self, timeout: float | None = None) -> bool:
        return self.is_set()


OF_CLIENT = {PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED: False, PREFECT_CLIENT_CSRF_SUPPORT_ENABLED: False}


def test_the_lease_of_a_slot_is_renewed_once_its_run_lasts() -> None:
    lease, over = uuid4(), threading.Event()
    renewed: list[tuple[str, Any]] = []

    def renew(exchange: Exchange) -> None:
        renewed.append((exchange.path, json.loads(exchange.posted)))
        over.set()
        exchange.send(b"", 204)

    with Loopback(renew) as server, temporary_settings({PREFECT_API_URL: server.address, **OF_CLIENT}):
        short_runs.renewals(lease, 300.0, EndsWhenWaitedFor())
        assert renewed == []
        short_runs.renewals(lease, 300.0, over, after_s=0.1)
    assert renewed == [(f"/v2/concurrency_limits/leases/{lease}/renew", {"lease_duration": 300.0})]


@pytest.mark.parametrize("status", [410, 500])
def test_a_run_goes_on_whose_lease_a_restarted_server_has_forgotten_or_cannot_renew(status: int) -> None:
    """Prefect ends it as Crashed when this raises, as a night was whose database was away for eight seconds. Its slot
    is kept once the server can renew it again.
    """
    over = NeverWaitsLong()

    def recover(exchange: Exchange) -> None:
        if len(server.asked) > 2 * _leases._RENEWAL_MAX_ATTEMPTS:
            over.set()
        exchange.send(b"", 204 if over.is_set() else status)

    with Loopback(recover) as server, temporary_settings({PREFECT_API_URL: server.address, **OF_CLIENT}):
        short_runs.renewals(uuid4(), 300.0, over)
    assert over.is_set()


@task
def step() -> None: ...


@flow
def short() -> None:
    drop_related_resources()
    step()


@pytest.fixture
def prefects_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the test ends, restore what `adapt_engine` replaced."""
    replaced: list[tuple[Any, str]] = [
        (flow_engine, "_send_heartbeats"),
        (flow_engine, "observe_flow_run_suspension"),
        (task_engine, "emit_task_run_state_change_event"),
        (task_engine.SyncTaskRunEngine, "handle_crash"),
        (_leases, "_lease_renewal_loop"),
    ]
    for owner, name in replaced:
        monkeypatch.setattr(owner, name, getattr(owner, name))


def told(client: SyncPrefectClient, run_id: UUID) -> dict[str, Event]:
    """The events of the run's tasks by name; empty until the last one is there."""
    of_run = EventFilter(related=EventRelatedFilter(id=[f"prefect.flow-run.{run_id}"]))
    found: dict[str, Event] = {each.event: each for each in client.read_events(of_run, limit=50).events}
    return found if "prefect.task-run.Completed" in found else {}


def states(
    client: SyncPrefectClient, run_id: UUID, kinds: Collection[str] = ("COMPLETED", "FAILED")
) -> list[str | None]:
    """The state names of the run's tasks; empty until all are of these kinds."""
    of_run = FlowRunFilter.model_validate({"id": {"any_": [run_id]}})
    found = client.read_task_runs(flow_run_filter=of_run)
    return [each.state_name for each in found] if all(each.state_type in kinds for each in found) else []


@pytest.mark.usefixtures("prefect_server", "prefects_own")
def test_a_short_run_reports_only_the_ends_of_its_steps_and_names_only_itself() -> None:
    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: 30}):
        state = run_on_page(short, None)
    run_id = state.state_details.flow_run_id
    assert run_id
    with get_client(sync_client=True) as client:
        events = until(lambda: told(client, run_id))
        assert until(lambda: states(client, run_id)) == ["Completed"]
    assert set(events) == {"prefect.task-run.Completed"}
    assert {each.role for event in events.values() for each in event.related} == {"flow-run"}


@flow
def long() -> None:
    shown_at_work()


@task
def shown_at_work() -> None:
    run_id = TaskRunContext.get().task_run.flow_run_id  # type: ignore[union-attr]
    assert run_id
    with get_client(sync_client=True) as client:
        assert until(lambda: states(client, run_id, {"RUNNING"})) == ["Running"]


@pytest.mark.usefixtures("prefect_server", "prefects_own")
def test_a_lasting_step_is_shown_while_it_runs() -> None:
    state = run_on_page(long, None)
    assert state.is_completed(), state.message
    run_id = state.state_details.flow_run_id
    assert run_id
    with get_client(sync_client=True) as client:
        assert until(lambda: states(client, run_id)) == ["Completed"]


class Interrupting(dict[str, str]):
    """An argument during whose inspection, before the step has a record, Ctrl-C comes."""

    def items(self) -> Any:
        signal.raise_signal(signal.SIGINT)
        return super().items()


@task
def given(argument: Any) -> None: ...


@flow
def interrupted() -> None:
    given(Interrupting(a="b"))


@pytest.mark.usefixtures("prefect_server", "prefects_own")
def test_a_run_that_is_interrupted_before_a_step_has_its_record_ends_as_interrupted() -> None:
    with pytest.raises(KeyboardInterrupt):
        run_on_page(interrupted, None)
