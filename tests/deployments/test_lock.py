"""What is installed is what requirements.lock says, whatever has been released since; it holds all
that the program imports, and `make` keeps an environment that works."""

import ast
import base64
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import distributions, packages_distributions
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from tests.lock import entries, sectioned
from tests.support.lock import INSTALLED_FOR_TESTS, PROJECT, locked

UV = shutil.which("uv") or str(Path(sys.executable).parent / "uv")
BACKEND = """
import zipfile
def build_editable(folder, settings=None, metadata=None):
    with zipfile.ZipFile(f"{folder}/mine-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("mine-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: mine\\nVersion: 1.0\\n")
        wheel.writestr("mine-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("mine-1.0.dist-info/RECORD", "")
    return "mine-1.0-py3-none-any.whl"
"""
MINE = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'


def test_the_environment_is_the_lock() -> None:
    found = {canonicalize_name(each.name): each.version for each in distributions()}
    expected = locked(*INSTALLED_FOR_TESTS)
    assert len(expected) > 200
    assert {name: found.get(name) for name in expected} == expected
    assert found.keys() - expected.keys() <= {"stockml", "pip"}


def wheel(folder: Path, name: str, version: str, requires: str = "") -> str:
    """Write an empty package; returns its SHA-256."""
    about = f"{name}-{version}.dist-info"
    needs = f"Requires-Dist: {requires}\n" if requires else ""
    files = {
        f"{about}/METADATA": (
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nProvides-Extra: "
            f"more\n{needs}"
        ),
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    digests = {
        each: base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest())
        for each, text in files.items()
    }
    rows = [
        f"{each},sha256={digests[each].decode().rstrip('=')},{len(text)}\n"
        for each, text in files.items()
    ]
    files[f"{about}/RECORD"] = "".join(rows) + f"{about}/RECORD,,\n"
    file = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(file, "w") as archive:
        for each, text in files.items():
            archive.writestr(each, text)
    return hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.fixture
def released_since(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """A project whose lock names 1.0 of two packages, and an index that has 9.0 of both as well."""
    project, index = tmp_path / "project", tmp_path / "index"
    for folder in (project, index):
        folder.mkdir()
    one, two = wheel(index, "one", "1.0", "two[more]"), wheel(index, "two", "1.0")
    for name in ("one", "two"):
        wheel(index, name, "9.0")
    shutil.copy(PROJECT / "Makefile", project)
    lock = (
        f"# section: run\none==1.0 \\\n    --hash=sha256:{one}\ntwo==1.0 \\\n    "
        f"--hash=sha256:{two}\n"
    )
    (project / "requirements.lock").write_text(lock)
    (project / "pyproject.toml").write_text(f'{MINE}[project]\nname = "mine"\nversion = "1.0"\n')
    (project / "backend.py").write_text(BACKEND)
    environ = {"PATH": f"{Path(UV).parent}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    environ |= {
        "UV_OFFLINE": "1",
        "UV_FIND_LINKS": str(index),
        "UV_CACHE_DIR": str(tmp_path / "cache"),
    }
    return project, environ | {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(index)}


def make(project: Path, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = ["make", f"PYTHON={sys.executable}", ".venv/run.stamp"]
    return subprocess.run(
        command, cwd=project, env=environ, capture_output=True, text=True, check=False
    )


@pytest.mark.campaign
def test_an_interrupted_install_is_finished_by_the_next_whatever_was_released_since(
    released_since: tuple[Path, dict[str, str]],
) -> None:
    project, environ = released_since
    index = Path(environ["UV_FIND_LINKS"])
    (index / "two-1.0-py3-none-any.whl").rename(index / "away")
    failed = make(project, environ)
    assert failed.returncode != 0
    assert "not installed yet" in failed.stdout
    (index / "away").rename(index / "two-1.0-py3-none-any.whl")
    assert make(project, environ).returncode == 0
    folders = (project / ".venv").glob("lib/python*/site-packages/*.dist-info")
    found = dict(each.name.removesuffix(".dist-info").rsplit("-", 1) for each in folders)
    assert found == {"one": "1.0", "two": "1.0", "mine": "1.0"}


@pytest.mark.slow
def test_a_python_that_is_too_old_or_too_new_is_named(tmp_path: Path) -> None:
    shutil.copy(PROJECT / "Makefile", tmp_path)
    python = tmp_path / "python3"
    python.write_text(
        f'#!/bin/sh\nexec {sys.executable} -c "import sys; sys.version_info = (3, 9); $2"\n'
    )
    python.chmod(0o755)
    command = ["make", f"PYTHON={python}", "UV=", ".venv/made.stamp"]
    failed = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "expected Python 3.11 to 3.13, found 3.9" in failed.stderr


def test_the_sections_of_the_lock_hold_each_package_once_but_for_what_extras_share() -> None:
    one, two, three = (
        f"{name}==1 \\\n    --hash=sha256:{name}\n" for name in ("one", "two", "three")
    )
    parts = [("install", one), ("run", one + two), ("a", one + three), ("b", two + three)]
    text = sectioned(parts)
    assert entries(text) == [one, two, three, three]
    assert re.findall(r"# section: (\S+)", text) == ["install", "run", "a", "b"]


@pytest.mark.parametrize(
    ("python", "is_made_anew"), [("true", False), ("/no/such/python", True), ("false", True)]
)
def test_an_environment_is_made_anew_only_if_its_python_has_gone(
    tmp_path: Path, python: str, is_made_anew: bool
) -> None:
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        shutil.copy(PROJECT / name, tmp_path)
    for stamp in ("made.stamp", "run.stamp"):
        (tmp_path / ".venv" / stamp).touch()
    (programs / "python").symlink_to(shutil.which(python) or python)
    command = ["make", "--dry-run", "UV=", f"PYTHON={sys.executable}", ".venv/run.stamp"]
    planned = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout
    assert ("-m venv --clear .venv" in planned) == is_made_anew


OURS = ("stockml", "tasks", "flows", "deployments")
# without it, an error names the extra
OF_EXTRAS = {
    "psycopg",
    "psycopg_binary",
    "prefect_dask",
    "distributed",
}


def imported() -> set[str]:
    """The packages that are imported at the top of our modules or in their functions."""
    trees = [
        ast.parse(path.read_bytes()) for name in OURS for path in (PROJECT / name).rglob("*.py")
    ]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    modules = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    modules += [
        node.module
        for node in nodes
        if isinstance(node, ast.ImportFrom) and node.module and not node.level
    ]
    return {module.partition(".")[0] for module in modules} - {*sys.stdlib_module_names, *OURS}


@pytest.mark.slow
def test_the_locked_packages_hold_every_import() -> None:
    pinned = locked("run").keys()
    from_package = packages_distributions()
    brought = {
        name: {re.sub(r"[-_.]+", "-", d).lower() for d in from_package.get(name, ())}
        for name in imported()
    }
    assert len(brought) > 20
    assert {
        name for name, distributions in brought.items() if not distributions & pinned
    } <= OF_EXTRAS


def test_the_architecture_says_what_each_dependency_is_for() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = [
        *project["dependencies"],
        *(each for extra in project["optional-dependencies"].values() for each in extra),
    ]
    names = {re.match(r"[\w-]+", each)[0] for each in asked}  # type: ignore[index]
    said = (PROJECT / "ARCHITECTURE.md").read_text(encoding="utf-8").partition("## Dependencies")[2]
    assert {name for name in names if not re.search(rf"(?<![\w-]){name}(?![\w-])", said)} == set()
