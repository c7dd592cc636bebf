"""A process worker for Prefect that forks runs from a warm process and refills free slots at once.

Prefect's own worker polls every few seconds for all due runs, starts as many as it has slots, and leaves a slot that
frees up idle until the next poll. This one polls for as many runs as its slots can do until then; a free slot takes the
next of these at once, and polls again when none is left. A poll is expensive for the server, which sorts all due runs
and writes to each deployment. One connection watches for cancellations of all runs, instead of two per run.

Unlike Prefect's own, it does not report as crashes a run that was cancelled while too busy to answer, and a process
that was killed, by the system for lack of memory or with the warm process that it was forked from.
"""

import os
import ssl
from collections.abc import Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext, suppress
from contextvars import copy_context
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from socket import gethostname
from threading import Thread
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import anyio
from anyio.abc import TaskStatus
from httpx import HTTPError, HTTPStatusError, TransportError
from prefect._internal.attempt_control import AttemptConclusion, Intent, StateOwnershipDelegation
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import WorkQueueFilter, WorkQueueFilterId
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.responses import DeploymentResponse, WorkerFlowRunResponse
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ObjectNotFound
from prefect.runner import _control_channel, _flow_run_executor, _starter_engine
from prefect.utilities.dispatch import get_registry_for_type
from prefect.utilities.processutils import command_to_string
from prefect.workers import process

from deployments.servers import warm_run
from deployments.servers.warm_run import ADDRESS
from stockml.errors import DiskFull
from stockml.home import current_home
from stockml.storage.files import write_atomically
from tasks.lost_runs import reap_lost, requeue
from tasks.run_records import REFUSALS, in_state
from tasks.workplace import CODE_OF, check_scheduled

AHEAD = 4  # runs per slot: how many of the shortest nights a slot does between two polls
ENTRYPOINT = "PREFECT__FLOW_ENTRYPOINT"
CERTIFICATE = "certificate.pem"  # in the home's Prefect folder, so that a run that outlives its worker still has it


class ControlChannel(_control_channel.ControlChannel):
    """Leaves the final state of a cancelled run to whoever cancels it, whether or not the run answered.

    If a run is too busy to answer within a second, Prefect also reports the killed process as crashed: a new attempt,
    begun with Retry in the meantime, would then end as Crashed.
    """

    async def signal(self, flow_run_id: UUID, intent: Intent) -> _control_channel.ControlSignalStatus:
        answer = await super().signal(flow_run_id, intent)
        registration = self._registrations.get(flow_run_id)
        if registration and answer is _control_channel.ControlSignalStatus.NOT_ACKNOWLEDGED:
            await self._record_conclusion(registration, StateOwnershipDelegation(intent))
        return answer


class RunContext(_flow_run_executor.FlowRunExecutorContext):
    """The context that executes and cancels runs (clients, sockets, a control channel), shared by many runs."""

    sees_no_cancellation = False  # whether websocket and polling both failed, so that cancellations go unseen

    def of_a_run(self) -> AbstractAsyncContextManager[_flow_run_executor.FlowRunExecutorContext]:
        """This context, or one of the run's own once this is blind.

        Without a warm server too: what Prefect then opens for a run is closed only at the context's end.
        """
        return nullcontext(self) if ADDRESS in os.environ and not self.sees_no_cancellation else RunContext()

    def create_executor(self, *arguments: Any, **named: Any) -> _flow_run_executor.FlowRunExecutor:
        executor = super().create_executor(*arguments, **named)
        executor._get_attempt_conclusion = self._concluded
        return executor

    def _concluded(self, flow_run_id: UUID) -> AttemptConclusion | None:
        """The run's outcome, so that it is not reported as crashed; puts a killed night back into the queue."""
        conclusion, process = self.control_channel.get_conclusion(flow_run_id), self.process_manager.get(flow_run_id)
        if conclusion or process is None or (process.returncode or 0) >= 0:
            return conclusion
        with suppress(ObjectNotFound, *REFUSALS), get_client(sync_client=True) as client:  # then left to `reap_lost`
            if not requeue(client, flow_run_id, f"its process was killed by signal {-(process.returncode or 0)}"):
                return None
        return StateOwnershipDelegation("reschedule")

    def _handle_cancellation_observer_failure(self, flow_run_ids: set[UUID]) -> None:
        self.sees_no_cancellation = True
        super()._handle_cancellation_observer_failure(flow_run_ids)


class WarmConfiguration(process.ProcessJobConfiguration):
    """Refuses runs of another state or code; forks the others, unless their deployment sets a command."""

    def prepare_for_flow_run(
        self, flow_run: FlowRun, deployment: DeploymentResponse | None = None, *others: Any, **more: Any
    ) -> None:
        if CODE_OF in self.env:  # a refused run ends as Crashed, and says why
            check_scheduled({name: value or "" for name, value in self.env.items()}, os.environ, gethostname())
        if self.command is None and ADDRESS in os.environ:
            self.command = command_to_string(warm_run.COMMAND)
        super().prepare_for_flow_run(flow_run, deployment, *others, **more)
        if deployment and deployment.entrypoint and ":" not in deployment.entrypoint and not deployment.pull_steps:
            self.env.setdefault(ENTRYPOINT, deployment.entrypoint)  # an importable module: spares the run a request
        self.env = {**settings_of_a_run(self.env.get("PREFECT_API_URL") or ""), **self.env}


class WarmWorker(process.ProcessWorker):
    """The worker for pools of type `process`, once `install` has registered it."""

    type = "warm process"
    job_configuration = WarmConfiguration
    _next: Sequence[WorkerFlowRunResponse] = ()  # from the last poll, due but without a slot yet
    _sweep = Thread()  # that looks for lost runs

    async def get_and_submit_flow_runs(self) -> list[FlowRun]:
        with as_outages():
            return await super().get_and_submit_flow_runs()

    async def _get_scheduled_flow_runs(self) -> list[WorkerFlowRunResponse]:
        """The next due runs, as many as the slots may do until the next poll; those started by hand come first.

        Polls even without a free slot: the page shows a pool as ready by the time of its last poll.
        """
        soon = datetime.now(UTC) + timedelta(seconds=self._prefetch_seconds)
        limit = AHEAD * int(self.limiter.total_tokens) + len(self._submitting_flow_run_ids)
        pool, query = {"name": self._work_pool_name}, {"scheduled_before": str(soon), "limit": limit}
        try:
            answer = await self.client.request(
                "POST", "/work_pools/{name}/get_scheduled_flow_runs", path_params=pool, json=query
            )
        except HTTPStatusError as refused:
            if refused.response.status_code == HTTPStatus.NOT_FOUND:  # the next heartbeat creates the pool
                return []
            raise
        due = WorkerFlowRunResponse.model_validate_list(answer.json())
        are_all_nights = len(due) == limit and all(each.flow_run.auto_scheduled for each in due)
        return [*await self._by_hand(due, soon), *due] if are_all_nights else due

    async def _by_hand(self, nights: Sequence[WorkerFlowRunResponse], soon: datetime) -> list[WorkerFlowRunResponse]:
        """Runs not created by a schedule, in these nights' queues, among the latest due ones."""
        pool, queues = nights[0].work_pool_id, {each.work_queue_id for each in nights}
        due = in_state([StateType.SCHEDULED], next_scheduled_start_time={"before_": soon})  # excludes postponed runs
        of_queues = WorkQueueFilter(id=WorkQueueFilterId(any_=[*queues]))
        last = await self.client.read_flow_runs(
            flow_run_filter=due,
            work_queue_filter=of_queues,
            sort=FlowRunSort.EXPECTED_START_TIME_DESC,
            limit=len(nights),
        )
        return [
            WorkerFlowRunResponse(work_pool_id=pool, work_queue_id=run.work_queue_id, flow_run=run)
            for run in reversed(last)
            if run.work_queue_id and not run.auto_scheduled
        ]

    async def _submit_scheduled_flow_runs(self, flow_run_response: list[WorkerFlowRunResponse]) -> list[FlowRun]:
        begun = await super()._submit_scheduled_flow_runs(flow_run_response)
        in_slots = self.limiter.statistics().borrowers
        self._next = [each for each in flow_run_response if each.flow_run.id not in in_slots]
        return begun

    async def _submit_run(self, flow_run: FlowRun) -> None:
        """Submit the run, or leave it to a later poll if the server fails, which would end Prefect's own worker."""
        try:
            await super()._submit_run(flow_run)
        except REFUSALS:
            self._submitting_flow_run_ids.discard(flow_run.id)
            self._release_limit_slot(flow_run.id)
        await self._submit_scheduled_flow_runs([*self._next])  # fills its slot if the run was not started

    async def _mark_flow_run_as_cancelled(self, flow_run: FlowRun, state_updates: dict[str, Any] | None = None) -> None:
        """Free the run's slot too, which Prefect's own worker keeps for good if the run's deployment was deleted."""
        self._release_limit_slot(flow_run.id)
        await super()._mark_flow_run_as_cancelled(flow_run, state_updates)

    async def _propose_pending_state(self, flow_run: FlowRun) -> bool:
        """Propose Pending only if the run is still due: neither postponed nor taken by another worker meanwhile."""
        try:
            state = (await self.client.read_flow_run(flow_run.id)).state
        except (HTTPError, ObjectNotFound):  # server away or run deleted: left to the next poll
            return False
        soon = datetime.now(UTC) + timedelta(seconds=self._prefetch_seconds)
        is_due = state and state.is_scheduled() and (state.state_details.scheduled_time or soon) <= soon
        return bool(is_due) and await super()._propose_pending_state(flow_run)

    async def setup(self) -> None:
        context = await self._exit_stack.enter_async_context(RunContext())
        process.FlowRunExecutorContext = context.of_a_run  # type: ignore # Prefect's `run` calls it
        await super().setup()

    async def sync_with_backend(self) -> None:
        """Every half minute: send a heartbeat, and look for lost runs unless a search still goes on."""
        with as_outages():
            await super().sync_with_backend()
        if not self._sweep.is_alive():  # not AnyIO's: once, one begun at Ctrl-C kept the process alive for ever
            self._sweep = Thread(target=copy_context().run, args=[reap_lost], daemon=True)
            self._sweep.start()

    async def run(
        self,
        flow_run: FlowRun,
        configuration: process.ProcessJobConfiguration,
        task_status: TaskStatus[Any] | None = None,
    ) -> process.ProcessWorkerResult:
        """Run as Prefect's worker does, but name the process with its host."""
        status = task_status or anyio.TASK_STATUS_IGNORED
        with_host: Any = SimpleNamespace(started=lambda pid: status.started(f"{gethostname()}:{pid}"))
        return await super().run(flow_run, configuration, with_host)

    async def _give_worker_labels_to_flow_run(self, flow_run_id: UUID) -> None:
        """Do nothing, which saves each night a request: a run names its host and process already."""

    async def _propose_submitting_state(self, flow_run: FlowRun) -> None:
        """Do nothing: only tenths of a second pass between Pending and Running."""

    def _emit_flow_run_submitted_event(self, configuration: Any) -> None:
        """Emit no event, and so none for the end of the process either: the run's own states tell both."""

    async def _submit_run_and_capture_errors(self, *arguments: Any, **named: Any) -> Any:
        result = await super()._submit_run_and_capture_errors(*arguments, **named)
        if not await self._submit_scheduled_flow_runs([*self._next]):
            with suppress(Exception):  # server away: left to the next poll
                await self.get_and_submit_flow_runs()
        return result


def install() -> None:
    """Replace Prefect's own control channel, process start and worker by those here, in this process."""
    _flow_run_executor.ControlChannel = ControlChannel  # type: ignore[misc] # Prefect looks it up by this name
    _starter_engine.run_process = warm_run.run_process  # type: ignore[assignment] # called by this name and signature
    WarmWorker.type = process.ProcessWorker.type
    (get_registry_for_type(process.ProcessWorker) or {})[WarmWorker.type] = WarmWorker


@contextmanager
def as_outages() -> Iterator[None]:
    """Raise any error of a poll as an outage, which Prefect's loop waits out; any other would end the loop."""
    try:
        yield
    except Exception as error:
        raise TransportError(f"{type(error).__name__}: {error}") from error


def settings_of_a_run(server: str) -> dict[str, str | None]:
    """Settings that save a run work: a version check that its worker has done, and certificates that it cannot need.

    With an `http://` server there is no TLS, for which each of a run's clients would load a hundred certificates.
    """
    file = current_home().prefect / CERTIFICATE
    without_tls = {"PREFECT_API_SSL_CERT_FILE": str(file)} if server.startswith("http://") and file.is_file() else {}
    return {"PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED": "false", **without_tls}


def keep_certificate(folder: Path) -> None:
    """Write one of the certificates that this machine trusts to `folder`, if it has them in one file, and room."""
    for certificate in ssl.create_default_context().get_ca_certs(binary_form=True)[:1]:
        with suppress(DiskFull):  # a run loads them all without it
            write_atomically(folder / CERTIFICATE, ssl.DER_cert_to_PEM_cert(certificate).encode())
