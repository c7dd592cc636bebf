"""A night's process belongs to its test: nothing is left in it of earlier tests."""

import os
from pathlib import Path

import pytest

from tests.support.night_process import forked
from tests.support.patience import PATIENCE_S

pytestmark = pytest.mark.slow

ADDRESS = "STOCKML_DATABASE_URL"


def test_a_process_has_the_environment_of_the_test_that_starts_it_not_of_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The address of an earlier test's database, by then gone, made a later night wait for three
    minutes."""
    seen = {}
    for address in ("postgresql://one", "postgresql://other", ""):
        monkeypatch.setenv(ADDRESS, address) if address else monkeypatch.delenv(ADDRESS)
        found = tmp_path / "found"
        forked(write_address, found).join(PATIENCE_S)
        seen[address] = found.read_text()
    assert seen == {
        "postgresql://one": "postgresql://one",
        "postgresql://other": "postgresql://other",
        "": "",
    }


def write_address(path: Path) -> None:
    path.write_text(os.environ.get(ADDRESS, ""))
