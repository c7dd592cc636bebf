"""A step's code hash changes with the meaning of the sources that it uses, and with nothing else."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from stockml import code_version
from stockml.code_version import checkout, code_hash, sources_hash

SOURCES = {
    "training/__init__.py": "",
    "training/train.py": (
        '"""Trains."""\n\nfrom stockml.features.windows import cut\n\n\n'
        'def train():\n    """Train."""\n    from stockml.models import pool\n'
    ),
    "features/__init__.py": "",
    "features/windows.py": "import numpy\n\nimport stockml.errors\n\n\ndef cut(): ...\n",
    "models/__init__.py": "",
    "models/pool.py": "UNITS = 32\n",
    "plots/__init__.py": "",
    "plots/style.py": "from stockml.features.windows import cut\n",
    "errors.py": "class TooFewBars(Exception): ...\n",
}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small package: train imports windows at the top and pool inside a function; plots stand apart."""
    monkeypatch.setattr(code_version, "PACKAGE", tmp_path)
    monkeypatch.setattr(code_version, "_running", code_version._running.__wrapped__)  # uncached: its sources change
    for name, source in SOURCES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(source)
    return tmp_path


def a_statement(source: str) -> str:
    return source + "MORE = 1\n"


def a_comment(source: str) -> str:
    return "# why\n" + source + "  # what for\n\n\n"


def another_docstring(source: str) -> str:
    return source.replace("Trains.", "Learns.").replace("Train.", "Learn.")


@pytest.mark.parametrize(
    ("module", "change", "moves"),
    [
        ("features/windows", a_statement, True),
        ("models/pool", a_statement, True),
        ("training/train", a_statement, True),
        ("plots/style", a_statement, False),
        ("errors", a_statement, False),
        ("training/train", a_comment, False),
        ("models/pool", a_comment, False),
        ("training/train", another_docstring, False),
    ],
)
def test_only_a_change_of_meaning_in_a_used_source_changes_the_hash(
    package: Path, module: str, change: Callable[[str], str], moves: bool
) -> None:
    before, file = code_hash("training.train"), package / f"{module}.py"
    file.write_text(change(SOURCES[f"{module}.py"]))
    assert file.read_text() != SOURCES[f"{module}.py"]
    assert (code_hash("training.train") != before) is moves


@pytest.mark.usefixtures("package")
def test_the_libraries_that_affect_numbers_are_part_of_the_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    before = code_hash("training.train")
    monkeypatch.setattr(code_version, "NUMBER_LIBRARIES", ("numpy",))
    assert code_hash("training.train") != before


@pytest.mark.parametrize("source", ["from stockml.models import gone\n", "import stockml.models.gone\n"])
def test_a_missing_module_is_an_error_and_not_left_out(package: Path, source: str) -> None:
    (package / "training/train.py").write_text(source)
    with pytest.raises(ModuleNotFoundError, match=r"stockml\.models\.gone"):
        code_hash("training.train")


def test_every_step_names_an_existing_module_whose_imports_can_all_be_followed() -> None:
    from tasks import steps

    keys = {each.name: key for each in vars(steps).values() if (key := getattr(each, "cache_key_fn", None))}
    assert len(keys) == 11
    hashes = {name: code_hash(*key.args) for name, key in keys.items()}
    assert len(set(hashes.values())) >= 8, "fetch, fetch history, append and explain jumps share a module"


@pytest.mark.parametrize(
    ("module", "change", "moves"),
    [("plots/style", a_statement, True), ("errors", a_statement, True), ("models/pool", a_comment, False)],
)
def test_the_hash_of_whole_folders_changes_with_the_meaning_of_any_source(
    package: Path, module: str, change: Callable[[str], str], moves: bool
) -> None:
    before, source = sources_hash(package), package / f"{module}.py"
    source.write_text(change(source.read_text()))
    assert (sources_hash(package) != before) == moves


def test_the_commit_is_that_of_a_checkout_of_these_sources_not_of_a_project_around_them(package: Path) -> None:
    def git(*arguments: str) -> None:
        user = ("-c", "user.name=me", "-c", "user.email=me@example.com")
        subprocess.run(["git", "-C", str(package), *user, *arguments], check=True, capture_output=True)

    git("init")
    git("commit", "--allow-empty", "-m", "another project's")
    (package / "__init__.py").touch()
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
