"""An empty ledger for each test."""

from pathlib import Path

import pytest

from stockml.forecasts.ledger import Ledger


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger")
