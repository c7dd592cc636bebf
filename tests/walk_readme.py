"""Follows README line by line from an empty folder, and prints how long each line took.

    python -m tests.walk_readme [--environment .venv]

The lines are those of README's blocks that need no key. `make up` runs until both pages answer and
the three tickers are listed with their next nights, then gets Ctrl-C. An existing environment is
used if one is named; otherwise `make` installs its own, as on a new machine.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import Request, urlopen

PROJECT = Path(__file__).parents[1]
KEY = "ALPHAVANTAGE_API_KEY"
SCHEDULED = {"flows": {"name": {"any_": ["nightly"]}}}


def lines() -> Iterator[str]:
    """README's commands in order; the one that keeps running, `make up`, once, at the end."""
    blocks = re.findall(r"```sh\n(.*?)```", (PROJECT / "README.md").read_text(), re.DOTALL)
    found = [
        line.partition(" #")[0].strip()
        for block in blocks
        if KEY not in block
        for line in block.splitlines()
    ]
    yield from (line for line in found if line != "make up")
    yield "make up"


def scheduled(port: str) -> dict[str, str]:
    """Every ticker's nightly schedule, as Prefect's server on this port has it."""
    address = f"http://127.0.0.1:{port}/api"
    asked = json.dumps({"deployments": {"tags": {"all_": ["nightly"]}}, **SCHEDULED}).encode()
    token = json.load(urlopen(f"{address}/csrf-token?client=walk", timeout=30))["token"]
    headers = {
        "Content-Type": "application/json",
        "Prefect-Csrf-Client": "walk",
        "Prefect-Csrf-Token": token,
    }
    with urlopen(Request(f"{address}/deployments/filter", asked, headers), timeout=30) as reply:
        return {each["name"]: each["schedules"][0]["schedule"]["cron"] for each in json.load(reply)}


def stay(line: str, folder: Path, environ: dict[str, str]) -> int:
    """Start what keeps running, look at its schedules, stop it with Ctrl-C; return 0 if there were
    any."""
    program = subprocess.Popen(
        line,
        shell=True,
        cwd=folder,
        env=environ,
        stdout=subprocess.PIPE,
        text=True,
        process_group=0,
    )
    for said in program.stdout or ():
        print(f"    {said}", end="", flush=True)
        if said.startswith("Ctrl-C"):
            break
    port = re.search(r"--prefect-port (\d+)", line)
    found = (
        scheduled(port[1] if port else environ["STOCKML_PREFECT_PORT"])
        if program.poll() is None
        else {}
    )
    print(f"    scheduled: {found}")
    if found:
        os.killpg(program.pid, signal.SIGINT)
    code = program.wait(120)
    return code if code not in (2, -signal.SIGINT) else int(not found)  # the codes after Ctrl-C


def done(line: str, folder: Path, environ: dict[str, str]) -> bool:
    """Run the line; print how long it took and its exit code."""
    print(f"$ {line}", flush=True)
    start = time.monotonic()
    stays = line == "make up" or line.startswith("stockml up")
    code = (
        stay(line, folder, environ)
        if stays
        else subprocess.call(line, shell=True, cwd=folder, env=environ, stdin=subprocess.DEVNULL)
    )
    print(f"--- {time.monotonic() - start:.1f} s, exit code {code}", flush=True)
    return code == 0


def environment() -> Path | None:
    """The .venv that the command line names."""
    asked = argparse.ArgumentParser()
    asked.add_argument(
        "--environment",
        type=Path,
        help="a .venv that is there already; without it `make` makes one",
    )
    found: Path | None = asked.parse_args().environment
    return found


@contextmanager
def new_machine(environment: Path | None) -> Iterator[tuple[Path, dict[str, str]]]:
    """A clone of the project in a person's own empty folder, and their environment without this
    project's variables."""
    with tempfile.TemporaryDirectory() as empty:
        folder = Path(empty) / "stockml"
        subprocess.run(
            ["git", "clone", "--quiet", "--depth=1", PROJECT.as_uri(), folder], check=True
        )
        environ = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("STOCKML_", "ALPHAVANTAGE_"))
        }
        environ |= {"HOME": empty, "PATH": f"{folder / '.venv' / 'bin'}:{os.environ['PATH']}"}
        environ |= {"STOCKML_PREFECT_PORT": "44200", "STOCKML_MLFLOW_PORT": "45000"}
        if environment:
            (folder / ".venv").symlink_to(environment.resolve())
            # its `stockml` belongs to the folder that it was made for
            environ["PYTHONPATH"] = str(folder)
            shim = folder.parent / "bin" / "stockml"
            shim.parent.mkdir()
            shim.write_text(f'#!/bin/sh\nexec {folder}/.venv/bin/python -m deployments.cli "$@"\n')
            shim.chmod(0o755)
            environ["PATH"] = f"{shim.parent}:{environ['PATH']}"
            for path in ("pyproject.toml", "requirements.lock"):
                os.utime(folder / path, (0, 0))  # so that what is installed counts as newer
        yield folder, environ


def main() -> int:
    with new_machine(environment()) as (folder, environ):
        began = time.monotonic()
        if not all(done(line, folder, environ) for line in lines()):
            return 1
        print(f"as README says, from an empty folder: {time.monotonic() - began:.0f} s")
        return 0


if __name__ == "__main__":
    sys.exit(main())
