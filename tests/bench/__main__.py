"""`python -m tests.bench`: measure each part in a separate process, print one table, save it in
STOCKML_HOME/bench."""

import argparse
import importlib
import json
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from stockml.home import current_home
from tests.bench import report
from tests.bench.measuring import Measured, Scene

PARTS = {
    "append": "on_ticker",
    "read": "on_ticker",
    "retrain": "on_ticker",
    "fine_tune": "on_ticker",
    "night": "on_ticker",
    "scheduled": "on_tickers",
    "universe": "on_tickers",
    "disk": "on_disk",
    "25": "on_tickers",
    "hundreds": "on_tickers",
}
BY_NAME_ONLY = {"25", "hundreds"}  # they take some 10 and 30 minutes
PIPED_WIDTH = 170


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument(
        "--fast", action="store_true", help="fewer runs and 4 tickers: under 3 minutes"
    )
    parser.add_argument(
        "--only", action="append", choices=PARTS, help="measure this part; may be repeated"
    )
    parser.add_argument("--measure", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.measure:
        measure(asked.measure, Scene(asked.folder, asked.fast))
    else:
        usual = [part for part in PARTS if part not in BY_NAME_ONLY]
        sys.exit(bench(asked.only or usual, fast=asked.fast))


def bench(parts: list[str], *, fast: bool) -> int:
    """Measure the parts, print and save the table; return exit code 1 if a part could not be
    measured."""
    kept = current_home().root / "bench"
    kept.mkdir(parents=True, exist_ok=True)
    console = Console() if sys.stdout.isatty() else Console(width=PIPED_WIDTH)
    measured: list[Measured] = []
    failed: list[str] = []
    # on the home's disk, so that an fsync costs what it costs the store
    with tempfile.TemporaryDirectory(dir=kept, prefix="scratch-") as scratch:
        for part in parts:
            began = time.monotonic()
            try:
                measured += measured_apart(part, Scene(Path(scratch), fast))
            except subprocess.CalledProcessError:  # its output is above; go on with the other parts
                failed.append(part)
            console.print(f"{part}: {time.monotonic() - began:.0f} s", style="dim")
    written = report.as_json(measured) | {"failed": failed}
    path = kept / f"{datetime.now(UTC):%Y-%m-%dT%H%M%SZ}.json"
    path.write_text(json.dumps(written, indent=1) + "\n")
    console.print(report.table(measured, written["machine"]))
    for note in [f"{part}: could not be measured" for part in failed] + report.notes(measured):
        console.print(f"- {note}", highlight=False, markup=False)
    console.print(f"kept as {path}", style="dim")
    return 1 if failed else 0


def measured_apart(part: str, scene: Scene) -> list[Measured]:
    """Measure a part in a new process; this one must stay small, as a child's peak starts at its
    parent's size."""
    options = ["--measure", part, "--folder", str(scene.folder)]
    options += ["--fast"] if scene.fast else []
    subprocess.run([sys.executable, "-m", "tests.bench", *options], check=True)
    return [Measured(**each) for each in json.loads(_result(part, scene).read_text())]


def measure(part: str, scene: Scene) -> None:
    """Measure a part, in its own process, and write the figures where `measured_apart` reads
    them."""
    module = importlib.import_module(f"tests.bench.{PARTS[part]}")
    function = getattr(module, {"25": "twenty_five"}.get(part, part))
    _result(part, scene).write_text(json.dumps([vars(figure) for figure in function(scene)]))


def _result(part: str, scene: Scene) -> Path:
    return scene.folder / f"{part}.json"


if __name__ == "__main__":
    main()
