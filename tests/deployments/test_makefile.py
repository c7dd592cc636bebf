"""`make` keeps an environment that works, and makes one anew whose Python an upgrade of the system
has taken away."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
PINS = ("pyproject.toml", "requirements.lock")
PYTHON_IS_GONE, HAS_NO_PACKAGES, WORKS = "/no/such/python", "false", "true"


@pytest.mark.parametrize(
    ("python", "expected"),
    [
        (WORKS, []),
        (PYTHON_IS_GONE, ["venv --clear .venv", "pip install"]),
        (HAS_NO_PACKAGES, ["venv --clear .venv"]),
    ],
)
def test_an_environment_is_made_anew_only_if_its_python_has_gone(
    tmp_path: Path, python: str, expected: list[str]
) -> None:
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name in ("Makefile", *PINS):
        shutil.copy(PROJECT / name, tmp_path)
    for stamp in ("made.stamp", "run.stamp"):
        (tmp_path / ".venv" / stamp).touch()
    (programs / "python").symlink_to(shutil.which(python) or python)
    planned = subprocess.run(
        ["make", "--dry-run", "UV=", f"PYTHON={sys.executable}", ".venv/run.stamp"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert ("-m venv" in planned) == bool(expected)
    for step in expected:
        assert step in planned
