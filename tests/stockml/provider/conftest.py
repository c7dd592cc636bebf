"""Clients of loopback servers, and their clock."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stockml.provider.connected import Clock, Connected


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def connected(tmp_path: Path, clock: Clock) -> Iterator[Connected]:
    clients = Connected(tmp_path / "quota", clock)
    yield clients
    clients.close()
