"""A step's code hash follows the sources it uses, and no others."""

from pathlib import Path

import pytest

from stockml import code_hash as hashing


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small package: training imports windows at the top and lstm inside a function; plots stands apart."""
    sources = {
        "training": "from stockml.windows import cut\ndef train():\n    from stockml import lstm\n",
        "windows": "import numpy\ndef cut(): ...\n",
        "lstm": "UNITS = 32\n",
        "plots": "from stockml.windows import cut\n",
    }
    for name, source in sources.items():
        (tmp_path / f"{name}.py").write_text(source)
    monkeypatch.setattr(hashing, "PACKAGE", tmp_path)
    hashing._imported.cache_clear()
    yield tmp_path
    hashing._imported.cache_clear()


@pytest.mark.parametrize(
    ("changed", "moves"), [("windows", True), ("lstm", True), ("training", True), ("plots", False)]
)
def test_a_changed_line_moves_the_hash_of_what_uses_it(package: Path, changed: str, moves: int) -> None:
    before = hashing.code_hash("training")
    with (package / f"{changed}.py").open("a") as source:
        source.write("# a changed line\n")
    hashing._imported.cache_clear()
    assert (hashing.code_hash("training") != before) is bool(moves)


def test_training_code_does_not_depend_on_the_plots() -> None:
    hashing._imported.cache_clear()
    assert hashing.code_hash("config") != hashing.code_hash("config", "home")
