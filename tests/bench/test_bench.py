"""The benchmark runs and reports its figures; the speed of this machine is not tested."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench import report
from tests.bench.measuring import Measured

pytestmark = pytest.mark.campaign

APART = ["parse", "append"]


def test_chosen_parts_run_and_their_table_is_kept_with_the_machines_description(
    tmp_path: Path,
) -> None:
    """Runs without Kaggle's files, as on a machine that has none."""
    command = [sys.executable, "-m", "tests.bench", "--fast", *(f"--only={part}" for part in APART)]
    environment = os.environ | {"STOCKML_KAGGLE_DIR": "", "STOCKML_HOME": str(tmp_path)}
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    (kept,), (page,) = tmp_path.glob("bench/*.json"), tmp_path.glob("bench/*.md")
    found = json.loads(kept.read_text())
    assert [row["figure"] for row in found["figures"]] == APART
    for row in found["figures"]:
        assert min(row["values"]) <= row["median"] <= max(row["values"])
        assert 0 < row["peak_bytes"] < 2e9
        assert row["says"] in page.read_text()
    assert {"CPU", "cores", "memory", "Python", "numpy", "tensorflow"} <= set(found["machine"])
    assert "IBM's recording, repeated" in ran.stdout
    assert [path.suffix for path in tmp_path.glob("bench/*")].count("") == 0, (
        "the scratch folder is gone"
    )


@pytest.mark.parametrize(("seconds", "verdict"), [(0.029, "reached"), (0.031, "missed")])
def test_a_figure_is_judged_against_its_target_by_its_median(seconds: float, verdict: str) -> None:
    measured = Measured("parse", (seconds, 9.0, 0.001), peak_bytes=150_000_000, first=0.2)
    row = report.cells(measured)
    assert row[-1] == verdict
    assert row[1:6] == ("≤ 30 ms", f"{seconds * 1e3:.0f} ms", "1–9000", "3", "200 ms")
    assert row[6] == "0.15 GB"
