"""What is installed is what requirements.lock says, whatever has been released since; it holds all
that the program imports, and `make` keeps an environment that works."""

import ast
import shutil
import subprocess
import sys
from importlib.metadata import distributions, packages_distributions

import pytest
from packaging.utils import canonicalize_name

from tests.support.lock import INSTALLED_FOR_TESTS, PROJECT, locked


def test_the_environment_is_the_lock():
    found = {canonicalize_name(each.name): each.version for each in distributions()}
    expected = locked(*INSTALLED_FOR_TESTS)
    assert len(expected) > 200
    assert {name: found.get(name) for name in expected} == expected
    assert found.keys() - expected.keys() <= {"stockml", "pip"}


@pytest.mark.slow
def test_a_python_that_is_too_old_or_too_new_is_named(tmp_path):
    shutil.copy(PROJECT / "Makefile", tmp_path)
    python = tmp_path / "python3"
    python.write_text(
        f'#!/bin/sh\nexec {sys.executable} -c "import sys; sys.version_info = (3, 9); $2"\n'
    )
    python.chmod(0o755)
    command = ["make", f"PYTHON={python}", "UV=", ".venv/made.stamp"]
    failed = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "expected Python 3.11 to 3.13, found 3.9" in failed.stderr


@pytest.mark.parametrize(
    ("python", "is_made_anew"), [("true", False), ("/no/such/python", True), ("false", True)]
)
def test_an_environment_is_made_anew_only_if_its_python_has_gone_and_is_done_once_all_is_installed(
    tmp_path, python, is_made_anew
):
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        shutil.copy(PROJECT / name, tmp_path)
    (tmp_path / ".venv" / "made.stamp").touch()
    (programs / "python").symlink_to(shutil.which(python) or python)
    command = [
        "make",
        "--dry-run",
        "--no-print-directory",
        "UV=",
        f"PYTHON={sys.executable}",
        ".venv/run.stamp",
    ]
    planned = subprocess.check_output(command, cwd=tmp_path, text=True)
    assert ("-m venv --clear .venv" in planned) == is_made_anew
    *_, installing, done = planned.splitlines()
    assert "--require-hashes .venv/locked.txt &&" in installing
    assert (installing.endswith("exit 1; }"), done) == (True, "touch .venv/run.stamp")


OURS = ("stockml", "tasks", "flows", "deployments")
# without it, an error names the extra
OF_EXTRAS = {"psycopg", "psycopg_binary", "prefect_dask", "distributed"}


def imported():
    """The packages that are imported at the top of our modules or in their functions."""
    files = (path for name in OURS for path in (PROJECT / name).rglob("*.py"))
    nodes = [node for path in files for node in ast.walk(ast.parse(path.read_bytes()))]
    modules = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    froms = (node for node in nodes if isinstance(node, ast.ImportFrom) and not node.level)
    modules += [node.module or "" for node in froms]
    return {module.partition(".")[0] for module in modules} - {*sys.stdlib_module_names, *OURS}


@pytest.mark.slow
def test_the_locked_packages_hold_every_import():
    pinned, from_package, found = locked("run").keys(), packages_distributions(), imported()
    brought = {name: {*map(canonicalize_name, from_package.get(name, ()))} for name in found}
    assert len(brought) > 20
    assert {name for name in found if not brought[name] & pinned} <= OF_EXTRAS
