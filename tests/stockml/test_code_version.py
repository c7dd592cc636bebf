"""A step's code hash changes with the meaning of the sources that it uses, and with nothing
else."""

import shutil
import subprocess
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

from stockml import code_version
from stockml.code_version import code_hash

SOURCES = {
    "training/__init__.py": "",
    "training/train.py": (
        '"""Trains."""\n\nfrom stockml.features.origins import cut\n\n\n'
        'def train():\n    """Train."""\n    from stockml.models import vintage_set\n'
    ),
    "features/__init__.py": "",
    "features/origins.py": "import numpy\n\nimport stockml.errors\n\n\ndef cut(): ...\n",
    "models/__init__.py": "",
    "models/vintage_set.py": "UNITS = 32\n",
    "plots/__init__.py": "",
    "plots/style.py": "from stockml.features.origins import cut\n",
    "errors.py": "class TooFewBars(Exception): ...\n",
}


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A small package: train imports windows at the top and pool inside a function; plots stand
    apart."""
    for name, source in SOURCES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(source)
    shutil.copy(code_version.__file__, tmp_path)
    return tmp_path


def loaded(package: Path) -> Any:
    """The package's own module `code_version`, as a new process would import it."""
    spec = spec_from_file_location("code_version", package / "code_version.py")
    assert spec
    assert spec.loader
    spec.loader.exec_module(module := module_from_spec(spec))
    return module


def trained_by(package: Path) -> str:
    return str(loaded(package).code_hash("training.train"))


def a_statement(source: str) -> str:
    return source + "MORE = 1\n"


def a_comment(source: str) -> str:
    return "# why\n" + source + "  # what for\n\n\n"


def another_docstring(source: str) -> str:
    return source.replace("Trains.", "Learns.").replace("Train.", "Learn.")


@pytest.mark.parametrize(
    ("module", "change", "moves"),
    [
        ("features/origins", a_statement, True),
        ("models/vintage_set", a_statement, True),
        ("training/train", a_statement, True),
        ("plots/style", a_statement, False),
        ("errors", a_statement, False),
        ("training/train", a_comment, False),
        ("training/train", another_docstring, False),
    ],
)
def test_only_a_change_of_meaning_in_a_used_source_changes_the_hash(
    package: Path, module: str, change: Callable[[str], str], moves: bool
) -> None:
    before, file = trained_by(package), package / f"{module}.py"
    file.write_text(change(SOURCES[f"{module}.py"]))
    assert file.read_text() != SOURCES[f"{module}.py"]
    assert (trained_by(package) != before) is moves


def test_a_process_keeps_the_hashes_of_the_code_that_it_runs(package: Path) -> None:
    running, anew = loaded(package), loaded(package)
    before = running.code_hash("training.train"), running.files_hash(package)
    (package / "models/vintage_set.py").write_text("UNITS = 64\n")
    assert (running.code_hash("training.train"), running.files_hash(package)) == before
    assert anew.files_hash(package) != before[1]


@pytest.mark.parametrize("library", ["tensorflow", "scikit-learn"])
def test_the_versions_of_libraries_that_affect_numbers_are_part_of_the_hash(
    package: Path,
    library: str,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before, other = trained_by(package), tmp_path_factory.mktemp("other")
    installed = other / f"{library.replace('-', '_')}-0.1.dist-info" / "METADATA"
    installed.parent.mkdir()
    installed.write_text(f"Metadata-Version: 2.1\nName: {library}\nVersion: 0.1\n")
    monkeypatch.syspath_prepend(other)
    assert trained_by(package) != before


@pytest.mark.parametrize(
    "source", ["from stockml.models import gone\n", "import stockml.models.gone\n"]
)
def test_a_missing_module_is_an_error_and_not_left_out(package: Path, source: str) -> None:
    (package / "training/train.py").write_text(source)
    with pytest.raises(ModuleNotFoundError, match=r"stockml\.models\.gone"):
        trained_by(package)


def test_every_step_names_an_existing_module_whose_imports_can_all_be_followed() -> None:
    from tasks import steps

    keys = {
        each.name: key
        for each in vars(steps).values()
        if (key := getattr(each, "cache_key_fn", None))
    }
    assert len(keys) == 11
    hashes = {name: code_hash(*key.args) for name, key in keys.items()}
    assert len(set(hashes.values())) >= 7, "fetch to append share a module, and decide and train"


def test_the_commit_is_that_of_a_checkout_of_these_sources_not_of_a_project_around_them(
    package: Path,
) -> None:
    def git(*arguments: str) -> None:
        user = ("-c", "user.name=me", "-c", "user.email=me@example.com")
        subprocess.run(
            ["git", "-C", str(package), *user, *arguments], check=True, capture_output=True
        )

    git("init")
    git("commit", "--allow-empty", "-m", "another project's")
    (package / "__init__.py").touch()
    checkout = loaded(package).checkout.__wrapped__  # of a new process each
    assert checkout() == (None, None)
    git("add", ".")
    git("commit", "-m", "its own")
    commit, diff = checkout()
    assert len(commit or "") == 40
    assert diff is None
    (package / "errors.py").write_text("")
    same, changed = checkout()
    assert same == commit
    assert changed
