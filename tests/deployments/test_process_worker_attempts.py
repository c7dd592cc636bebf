"""The worker's runs share one context until it no longer sees that runs are cancelled."""

import asyncio
import subprocess
from uuid import uuid4

import pytest
from prefect._internal.attempt_control import AttemptConclusion, StateOwnershipDelegation
from prefect.runner._process_manager import ProcessHandle
from prefect.settings import PREFECT_API_URL, temporary_settings

from deployments.servers.process_worker import RunContext
from deployments.servers.warm_run import ADDRESS, Fork
from tests.support.loopback import Loopback, whole

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]


def test_once_the_shared_context_sees_no_cancellations_each_run_gets_one_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(ADDRESS, "a warm server's")

    async def lose_sight() -> None:
        async with RunContext() as shared:
            async with shared.of_a_run() as before:
                assert before is shared
            assert shared._observer.on_failure
            shared._observer.on_failure({uuid4()})  # as Prefect calls it once websocket and polling have failed
            async with shared.of_a_run() as after, shared.of_a_run() as another:
                assert isinstance(after, RunContext)
                assert (len({shared, after, another}), after.sees_no_cancellation) == (3, False)

    asyncio.run(lose_sight())


@pytest.mark.parametrize("answer", [b"", b"{", b'{"surprise": 1}'])
def test_a_killed_night_that_cannot_be_put_back_for_a_wrong_answer_is_left_to_the_sweep(answer: bytes) -> None:
    """Else the worker would report it as crashed, and nothing would do it again before the next day."""

    async def conclude() -> AttemptConclusion | None:
        async with RunContext() as shared:
            killed = ProcessHandle(Fork(process.pid, returncode=-9))  # type: ignore[arg-type]
            await shared.process_manager.add(night := uuid4(), killed)
            with Loopback(whole(answer)) as server, temporary_settings({PREFECT_API_URL: server.address}):
                conclusion = shared._concluded(night)
            await shared.process_manager.remove(night)
            return conclusion

    with subprocess.Popen(["true"]) as process:  # no longer there, so that nothing is killed
        pass
    assert asyncio.run(conclude()) == StateOwnershipDelegation("reschedule")
