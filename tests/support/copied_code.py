"""A copy of stockml/, in which lines and files may be changed, and new processes that run it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import stockml
from tests.support.patience import PATIENCE_S

PROJECT = Path(__file__).parents[2]


def copied(folder: Path) -> Path:
    """Copy stockml/ into the folder; returns the copy."""
    return shutil.copytree(Path(stockml.__file__).parent, folder / "stockml")


def run_on(copy: Path, code: str, *arguments: str, **more: str) -> Any:
    """Run Python code in a new process that imports this copy, and all else from here; returns the
    JSON it prints.

    arguments: its `sys.argv[1:]`.  more: environment variables.
    """
    # the process's own folder comes before these
    environ = {
        **os.environ,
        "PYTHONPATH": str(PROJECT),
        **more,
    }
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(
        command,
        cwd=copy.parent,
        env=environ,
        stdout=subprocess.PIPE,
        timeout=PATIENCE_S,
        check=True,
    )
    return json.loads(done.stdout)
