"""The worker's runs share one context until it no longer sees that runs are cancelled."""

import asyncio
from uuid import uuid4

import pytest

from deployments.servers.attempts import Attempts
from deployments.servers.warm_run import ADDRESS

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]


def test_once_the_shared_context_sees_no_cancellations_each_run_gets_one_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(ADDRESS, "a warm server's")

    async def lose_sight() -> None:
        async with Attempts() as shared:
            async with shared.of_a_run() as before:
                assert before is shared
            assert shared._observer.on_failure
            shared._observer.on_failure({uuid4()})  # as Prefect calls it once websocket and polling have failed
            async with shared.of_a_run() as after, shared.of_a_run() as another:
                assert isinstance(after, Attempts)
                assert (len({shared, after, another}), after.is_blind) == (3, False)

    asyncio.run(lose_sight())
