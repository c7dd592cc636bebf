"""The outcome of a run attempt that was cancelled or killed.

Prefect's own worker reports both as crashes: a run cancelled while it was too busy to answer, and a process that was
killed, by the system for lack of memory or with the warm process that it was forked from.
"""

import os
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from typing import Any
from uuid import UUID

from prefect._internal.attempt_control import AttemptConclusion, Intent, StateOwnershipDelegation
from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound
from prefect.runner import _control_channel, _flow_run_executor

from deployments.servers.warm_run import ADDRESS
from tasks.lost_runs import requeue
from tasks.run_records import REFUSALS


class ControlChannel(_control_channel.ControlChannel):
    """Leaves the final state of a cancelled run to whoever cancels it, whether or not the run answered.

    If a run is too busy to answer within a second, Prefect also reports the killed process as crashed: a new attempt,
    begun with Retry in the meantime, would then end as Crashed.
    """

    async def signal(self, flow_run_id: UUID, intent: Intent) -> _control_channel.ControlSignalStatus:
        answer = await super().signal(flow_run_id, intent)
        found = self._registrations.get(flow_run_id)
        if found and answer is _control_channel.ControlSignalStatus.NOT_ACKNOWLEDGED:
            await self._record_conclusion(found, StateOwnershipDelegation(intent))
        return answer


class Attempts(_flow_run_executor.FlowRunExecutorContext):
    """The context that executes and cancels runs (clients, sockets, a control channel), shared by many runs."""

    is_blind = False  # whether websocket and polling both failed, so that cancellations go unseen

    def of_a_run(self) -> AbstractAsyncContextManager[_flow_run_executor.FlowRunExecutorContext]:
        """This context, or one of the run's own once this is blind.

        Without a warm server too: what Prefect then opens for a run is closed only at the context's end.
        """
        return nullcontext(self) if ADDRESS in os.environ and not self.is_blind else Attempts()

    def create_executor(self, *arguments: Any, **named: Any) -> _flow_run_executor.FlowRunExecutor:
        executor = super().create_executor(*arguments, **named)
        executor._get_attempt_conclusion = self._concluded
        return executor

    def _concluded(self, flow_run_id: UUID) -> AttemptConclusion | None:
        """The run's outcome, so that it is not reported as crashed; puts a killed night back into the queue."""
        known, process = self.control_channel.get_conclusion(flow_run_id), self.process_manager.get(flow_run_id)
        if known or process is None or (process.returncode or 0) >= 0:
            return known
        with suppress(ObjectNotFound, *REFUSALS), get_client(sync_client=True) as client:  # then left to `reap_lost`
            if not requeue(client, flow_run_id, f"its process was killed by signal {-(process.returncode or 0)}"):
                return None
        return StateOwnershipDelegation("reschedule")

    def _handle_cancellation_observer_failure(self, flow_run_ids: set[UUID]) -> None:
        self.is_blind = True
        super()._handle_cancellation_observer_failure(flow_run_ids)
