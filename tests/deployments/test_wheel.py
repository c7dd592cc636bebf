"""The wheel holds what the project needs and nothing else, and works without the checkout."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.patience import PATIENCE_S

pytestmark = pytest.mark.campaign

PROJECT = Path(__file__).parents[2]
PACKAGES = ("stockml", "flows", "tasks", "deployments")
READ_AT_RUN_TIME = (
    "stockml/py.typed",
    "stockml/models/vintages/*.json",
    "stockml/models/vintages/*.npz",
    "deployments/tickers.yaml",
)
ABOUT = {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE", "top_level.txt"}
IMPORT_ALL = """
import importlib, json, sys
found = {}
for name in sys.argv[1:]:
    found[name] = importlib.import_module(name).__file__
print(json.dumps(found))
"""


@dataclass(frozen=True)
class Installed:
    """The wheel after an install with `--target`; `names` are its files, `source` is what it was
    built from.
    """

    source: Path
    folder: Path
    names: frozenset[str]
    elsewhere: Path

    def run(self, *command: str) -> str:
        """The command's standard output, run from an empty folder."""
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("STOCKML_")
        }
        environment |= {
            "PYTHONPATH": str(self.folder),
            "STOCKML_HOME": str(self.elsewhere / "home"),
        }
        done = subprocess.run(
            command,
            cwd=self.elsewhere,
            env=environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Build from a copy of the checkout, tests included: a build leaves files beside what it
    builds."""
    tmp = tmp_path_factory.mktemp("wheel")
    source, folder, elsewhere = tmp / "source", tmp / "installed", tmp / "elsewhere"
    for name in (*PACKAGES, "tests"):
        shutil.copytree(
            PROJECT / name,
            source / name,
            ignore=shutil.ignore_patterns("__pycache__", "homes", "payloads"),
        )
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(PROJECT / name, source)
    elsewhere.mkdir()
    uv = [sys.executable, "-m", "uv", "--quiet", "--offline"]
    build = [*uv, "build", "--wheel", "--no-build-isolation", "--python", sys.executable]
    subprocess.run([*build, "--out-dir", tmp, source], check=True)
    [wheel] = tmp.glob("*.whl")
    subprocess.run([*uv, "pip", "install", "--no-deps", "--target", folder, wheel], check=True)
    return Installed(source, folder, frozenset(zipfile.ZipFile(wheel).namelist()), elsewhere)


def test_it_holds_the_four_packages_modules_the_files_they_read_and_nothing_else(
    installed: Installed,
) -> None:
    source = installed.source
    modules = {
        path.relative_to(source) for name in PACKAGES for path in (source / name).rglob("*.py")
    }
    read = {
        path.relative_to(source) for pattern in READ_AT_RUN_TIME for path in source.glob(pattern)
    }
    about = {name.partition(".dist-info/")[2] for name in installed.names if ".dist-info/" in name}
    assert {name for name in installed.names if ".dist-info/" not in name} == {
        str(p) for p in modules | read
    }
    assert about == ABOUT


def test_its_command_shows_its_help_as_a_module_and_as_a_program(installed: Installed) -> None:
    shown = installed.run(sys.executable, "-m", "deployments.cli", "--help")
    assert shown.startswith("Usage: stockml")
    assert installed.run(str(installed.folder / "bin" / "stockml"), "--help") == shown


def test_every_module_can_be_imported_from_it_alone(installed: Installed) -> None:
    modules = [name.removesuffix(".py") for name in installed.names if name.endswith(".py")]
    dotted = {name.removesuffix("/__init__").replace("/", ".") for name in modules}
    dotted -= {name for name in dotted if "__main__" in name}
    found = json.loads(installed.run(sys.executable, "-c", IMPORT_ALL, *sorted(dotted)))
    assert {*found} == dotted
    assert all(file.startswith(str(installed.folder)) for file in found.values())
