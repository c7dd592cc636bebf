"""A step's code hash changes with the meaning of the sources that it uses, and with nothing
else."""

import shutil
import subprocess
from importlib.util import module_from_spec, spec_from_file_location

import pytest

from stockml import code_version

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
def package(tmp_path):
    """A small package: train imports windows at the top and pool inside a function; plots stand
    apart."""
    for name, source in SOURCES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(source)
    shutil.copy(code_version.__file__, tmp_path)
    return tmp_path


def loaded(package):
    """The package's own module `code_version`, as a new process would import it."""
    spec = spec_from_file_location("code_version", package / "code_version.py")
    spec.loader.exec_module(module := module_from_spec(spec))
    return module


def trained_by(package):
    return str(loaded(package).code_hash("training.train"))


@pytest.mark.parametrize(
    ("module", "before", "after", "moves"),
    [
        ("features/origins", "numpy", "pandas", True),
        ("models/vintage_set", "32", "64", True),
        ("training/train", "def train", "def learn", True),
        ("plots/style", "cut", "cut as slice", False),
        ("errors", "...", "pass", False),
        ("training/train", "\n\n\n", "  # what for\n\n\n\n", False),
        ("training/train", "Train", "Learn", False),
    ],
)
def test_only_a_change_of_meaning_in_a_used_source_changes_the_hash(
    package, module, before, after, moves
):
    hashed, file = trained_by(package), package / f"{module}.py"
    file.write_text(file.read_text().replace(before, after))
    assert file.read_text() != SOURCES[f"{module}.py"]
    assert (trained_by(package) != hashed) is moves


def test_a_process_keeps_the_hashes_of_the_code_that_it_runs(package):
    running, anew = loaded(package), loaded(package)
    before = running.code_hash("training.train"), running.files_hash(package)
    (package / "models/vintage_set.py").write_text("UNITS = 64\n")
    assert (running.code_hash("training.train"), running.files_hash(package)) == before
    assert anew.files_hash(package) != before[1]


@pytest.mark.parametrize("library", ["tensorflow", "scikit-learn"])
def test_the_versions_of_libraries_that_affect_numbers_are_part_of_the_hash(
    package,
    library,
    tmp_path_factory,
    monkeypatch,
):
    before, other = trained_by(package), tmp_path_factory.mktemp("other")
    installed = other / f"{library.replace('-', '_')}-0.1.dist-info" / "METADATA"
    installed.parent.mkdir()
    installed.write_text(f"Metadata-Version: 2.1\nName: {library}\nVersion: 0.1\n")
    monkeypatch.syspath_prepend(other)
    assert trained_by(package) != before


@pytest.mark.parametrize(
    "source", ["from stockml.models import gone\n", "import stockml.models.gone\n"]
)
def test_a_missing_module_is_an_error_and_not_left_out(package, source):
    (package / "training/train.py").write_text(source)
    with pytest.raises(ModuleNotFoundError, match=r"stockml\.models\.gone"):
        trained_by(package)


def test_the_commit_is_that_of_a_checkout_of_these_sources_not_of_a_project_around_them(package):
    def git(*arguments):
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
    assert (len(commit), diff) == (40, None)
    (package / "errors.py").write_text("")
    assert checkout()[0] == commit
    assert checkout()[1]
