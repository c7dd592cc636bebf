"""The wheel holds what the project needs and nothing else."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
PACKAGES = ("stockml", "flows", "tasks", "deployments")
READ_AT_RUN_TIME = (
    "stockml/py.typed",
    "stockml/models/vintages/*.json",
    "stockml/models/vintages/*.npz",
    "deployments/tickers.yaml",
)


@pytest.mark.campaign
def test_it_holds_the_four_packages_the_files_they_read_and_the_command_and_works_alone(tmp_path):
    """Built from a copy of the checkout, tests included: a build leaves files beside what it
    builds."""
    source, folder = tmp_path / "source", tmp_path / "installed"
    unused = shutil.ignore_patterns("__pycache__", "homes", "payloads")
    for name in (*PACKAGES, "tests"):
        shutil.copytree(PROJECT / name, source / name, ignore=unused)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(PROJECT / name, source)
    uv = [sys.executable, "-m", "uv", "--quiet", "--offline"]
    build = [*uv, "build", "--wheel", "--no-build-isolation", "--python", sys.executable]
    subprocess.run([*build, "--out-dir", tmp_path, source], check=True)
    [wheel] = tmp_path.glob("*.whl")
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    patterns = (*(f"{name}/**/*.py" for name in PACKAGES), *READ_AT_RUN_TIME)
    expected = {path for pattern in patterns for path in source.glob(pattern)}
    assert names == {str(path.relative_to(source)) for path in expected}
    subprocess.run([*uv, "pip", "install", "--no-deps", "--target", folder, wheel], check=True)
    command = [sys.executable, "-c", "import deployments.cli.__main__ as it; print(it.__file__)"]
    environ = {"PYTHONPATH": str(folder)}
    found = subprocess.check_output(command, cwd=folder, env=environ, text=True)
    assert found.startswith(str(folder))
    shown = subprocess.check_output([folder / "bin" / "stockml", "--help"], env=environ, text=True)
    assert shown.startswith("Usage: stockml")
