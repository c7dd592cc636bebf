"""The benchmark runs and reports its figures; the speed of this machine is not tested."""

import json
import os
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from stockml.home import HomePaths
from tests.bench import report
from tests.bench.__main__ import among_imports, measure
from tests.bench.catalogue import FIGURES, PARTS, SCALES
from tests.bench.material import payload, repeated
from tests.bench.measuring import Measured, Scene
from tests.support.recordings import recorded

pytestmark = pytest.mark.campaign

APART = ["parse", "append"]


def test_chosen_parts_run_and_their_table_is_kept_with_the_machines_description(tmp_path: Path) -> None:
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
    assert [path.suffix for path in tmp_path.glob("bench/*")].count("") == 0, "the scratch folder is gone"


@pytest.mark.parametrize("part", ["read", "import", "baselines"])
def test_each_other_cheap_part_gives_its_figure(part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STOCKML_KAGGLE_DIR", "")
    measure(part, Scene(tmp_path, fast=True))
    [found] = json.loads((tmp_path / f"{part}.json").read_text())
    assert found["figure"] == part
    assert min(*found["values"], found["peak_bytes"]) > 0


def test_the_log_step_of_trained_nights_is_measured(home: HomePaths, tmp_path: Path, empty_database: Path) -> None:
    """Its first run would make MLflow's tables: they are there."""
    (tmp_path / "tracking").mkdir()
    shutil.copy(empty_database, tmp_path / "tracking" / "mlflow.db")
    measure("tracking", Scene(tmp_path, fast=True))
    [found] = json.loads((tmp_path / "tracking.json").read_text())
    assert (found["figure"], len(found["values"])) == ("log", 2)
    assert found["first"] > 0
    assert min(*found["values"], found["peak_bytes"]) > 0


@pytest.mark.parametrize(("seconds", "verdict"), [(0.029, "reached"), (0.031, "missed")])
def test_a_figure_is_judged_against_its_target_by_its_median(seconds: float, verdict: str) -> None:
    measured = Measured("parse", (seconds, 9.0, 0.001), peak_bytes=150_000_000, first=0.2)
    row = report.cells(measured)
    assert row[-1] == verdict
    assert row[1:6] == ("≤ 30 ms", f"{seconds * 1e3:.0f} ms", "1–9000", "3", "200 ms")
    assert row[6] == "0.15 GB"


def test_a_training_step_is_reported_as_a_share_of_the_machines_speed() -> None:
    step = Measured("tutorial step", (0.5,), peak_bytes=1, flop=50e9, shares=(0.4, 0.5, 0.9))
    assert "100 GFLOP/s, 50% (45% to 70%) of TensorFlow's float32 speed" in " ".join(report.notes([step]))


def test_processor_bound_figures_are_compared_with_the_imports_of_the_same_run() -> None:
    night, imports = Measured("scheduled night", (2.0,), 1), Measured("imports", (8.0, 7.9, 8.1), 1, first=9.0)
    earlier, slower = Measured("imports", (5.0,), 1), Measured("imports", (12.0,), 1)
    said = "0.2 times the imports' 8.00 and 12.00 CPU seconds before and after it"
    [note] = report.notes([earlier, imports, night, slower, earlier])
    assert note.startswith(f"{report.KNOWN['scheduled night'].says}: {said}; to reach are 0.239 times, of 6.27 ")
    assert report.notes([night]) == report.notes([imports]) == []


def test_imports_are_measured_before_and_after_each_part_compared_with_them() -> None:
    assert [*among_imports(["append", "night", "hundred", "tracking"])] == [
        *("append", "imports", "night", "imports", "hundred", "imports", "tracking")
    ]
    assert [*among_imports(["imports", "append"])] == ["imports", "append"]


def test_every_figure_has_a_known_unit_and_every_part_a_module() -> None:
    assert {figure.unit for figure in FIGURES} <= set(SCALES)
    for module, name in (target.split(":") for target in PARTS.values()):
        assert callable(getattr(import_module(module), name)), f"{module}:{name}"


def test_the_recording_is_repeated_to_the_length_asked_for() -> None:
    bars = repeated(recorded("IBM"), 10_000)
    assert len(bars) == 10_000
    assert bars.index.is_monotonic_increasing
    assert bars.iloc[-3_000:].equals(recorded("IBM").iloc[-3_000:].round(4))
    assert bars["close"].pct_change().abs().max() < 0.25


def test_a_payload_is_one_the_provider_could_have_sent() -> None:
    answer = json.loads(payload(recorded("IBM").iloc[-3:]))
    assert list(answer["Time Series (Daily)"]) == ["2013-03-01", "2013-02-28", "2013-02-27"]
    assert answer["Time Series (Daily)"]["2013-03-01"]["4. close"] == "202.9100"
