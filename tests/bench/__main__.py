"""`python -m tests.bench`: measure each part in a separate process, print one table, save it in
STOCKML_HOME/bench."""

import argparse
import importlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from stockml.home import current_home
from tests.bench import report
from tests.bench.catalogue import BY_NAME_ONLY, PARTS, PARTS_BESIDE_IMPORTS
from tests.bench.measuring import Measured, Scene

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
        sys.exit(
            bench(
                asked.only or [part for part in PARTS if part not in BY_NAME_ONLY], fast=asked.fast
            )
        )


def bench(parts: list[str], *, fast: bool) -> int:
    """Measure the parts, print and save the table; return exit code 1 if a part could not be
    measured.

    Figures compared with the import time are bracketed by two measurements of it, as a machine's
    speed drifts.
    """
    parts = list(among_imports(parts))
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
    keep_and_show(measured, failed, kept, console)
    return 1 if failed else 0


def among_imports(parts: list[str]) -> Iterator[str]:
    """Yield the parts, with `imports` before and after each that is compared with them."""
    beside = PARTS_BESIDE_IMPORTS.intersection(parts)
    last = ""
    for part in (part for part in parts if part != "imports" or not beside):
        if part in beside and last not in beside:
            yield "imports"
        yield part
        if part in beside:
            yield "imports"
        last = part


def measured_apart(part: str, scene: Scene) -> list[Measured]:
    """Measure a part in a new process; this one must stay small, as a child's peak starts at its
    parent's size."""
    command = [
        sys.executable,
        "-m",
        "tests.bench",
        "--measure",
        part,
        "--folder",
        str(scene.folder),
    ]
    subprocess.run([*command, *(["--fast"] if scene.fast else [])], check=True)
    return [Measured.from_dict(each) for each in json.loads(_result(part, scene).read_text())]


def measure(part: str, scene: Scene) -> None:
    """Measure a part, in its own process, and write the figures where `measured_apart` reads
    them."""
    module, _, name = PARTS[part].partition(":")
    figures = [figure.asdict() for figure in getattr(importlib.import_module(module), name)(scene)]
    _result(part, scene).write_text(json.dumps(figures))


def keep_and_show(
    measured: list[Measured], failed: list[str], kept: Path, console: Console
) -> None:
    from tests.bench.on_machine import described

    machine, now = described(), datetime.now(UTC)
    notes = [f"{part}: could not be measured" for part in failed] + report.notes(measured)
    path = kept / f"{now:%Y-%m-%dT%H%M%SZ}"
    written = report.as_json(measured, machine, notes) | {"measured_at": now.isoformat()}
    path.with_suffix(".json").write_text(json.dumps(written, indent=1) + "\n")
    path.with_suffix(".md").write_text(report.markdown(measured, machine, notes))
    console.print(report.table(measured, machine))
    for note in notes:
        console.print(f"- {note}", highlight=False, markup=False)
    console.print(f"kept as {path}.json and .md", style="dim")


def _result(part: str, scene: Scene) -> Path:
    return scene.folder / f"{part}.json"


if __name__ == "__main__":
    main()
