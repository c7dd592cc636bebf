"""An empty store in a temporary folder."""

from pathlib import Path

import pytest

from stockml.prices.store import BarStore


@pytest.fixture
def store(tmp_path: Path) -> BarStore:
    return BarStore(tmp_path / "store", tmp_path / "locks")
