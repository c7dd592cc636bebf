"""The test's own MLflow, and a night to log."""

from dataclasses import replace
from pathlib import Path

import pytest

from stockml.home import HomePaths
from stockml.nights.record import Night
from stockml.tracking.client import Tracking
from tests.support.nights import recorded_night, with_files


@pytest.fixture
def tracking(with_tables: HomePaths) -> Tracking:
    return Tracking(with_tables)


@pytest.fixture
def night(tmp_path: Path) -> Night:
    plots = tmp_path / "plots"
    plots.mkdir()
    (plots / "forecast.png").write_bytes(b"\x89PNG of a forecast")
    return replace(with_files(recorded_night(), tmp_path), plots_folder=str(plots))
