"""The command line as tests call it."""

import os
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from stockml.home import Home
from stockml.prices.store import BarStore
from tests.support.patience import PATIENCE_S
from tests.support.recordings import recorded_bars

Captured = pytest.CaptureFixture[str]


def stockml(*arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
    """The command in a process of its own, in the test's home."""
    command = [sys.executable, "-m", "deployments.cli", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, env=os.environ | more, timeout=PATIENCE_S, check=False
    )


def store_of(home: Home, ticker: str = "IBM", sessions: int = 300) -> BarStore:
    store = BarStore.of(home)
    bars = recorded_bars(ticker).tail(sessions)
    now = datetime(2013, 3, 4, tzinfo=UTC)
    store.append(ticker, bars, recorded_at=now, source="recording", session=bars.index[-1].date())
    return store
