"""A night that is asked for once more is answered from what it left, with nothing started, while all of that stands."""

import json
import os
import subprocess
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from flows.form import chosen
from stockml.home import Home, home
from stockml.nights.record import Night
from stockml.pipeline.repeated import FILE, repeated
from stockml.prices.store import BarStore
from stockml.provider.price_source import replay_home
from tests.support.commands import stockml

SESSION, USUAL = date(2013, 3, 1), chosen("nightly", "auto", None)
NOTHING_NEW = "nothing has changed since that night ran"


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, "subprocess.CompletedProcess[str]"]:
    """A home in which one night ran, and what it printed."""
    root = str(tmp_path_factory.mktemp("home"))
    ran = stockml("nightly", "IBM", "--json", STOCKML_HOME=root, ALPHAVANTAGE_API_KEY="")
    assert ran.returncode == 0, ran.stderr
    return replay_home({**os.environ, "STOCKML_HOME": root}), ran


@pytest.mark.slow
def test_the_same_night_again_is_told_at_once_and_starts_nothing(
    first: tuple[Home, "subprocess.CompletedProcess[str]"],
) -> None:
    place, ran = first
    settings = {"STOCKML_HOME": str(place.root.parent), "ALPHAVANTAGE_API_KEY": "", "PYTHONPROFILEIMPORTTIME": "1"}
    again = stockml("nightly", "IBM", "--json", **settings)
    assert (again.returncode, shown(again)) == (0, shown(ran))
    assert NOTHING_NEW in again.stderr
    assert " | prefect" not in again.stderr.replace("|   ", "| ")
    changed = stockml("nightly", "IBM", "--set", "evaluation.direction_step=20", "--json", **settings)
    assert (changed.returncode, NOTHING_NEW in changed.stderr) == (0, False)
    assert shown(changed)["config_hash"] != shown(ran)["config_hash"]
    back = stockml("nightly", "IBM", "--json", **settings)
    assert (back.returncode, NOTHING_NEW in back.stderr) == (0, False), "another night was finished since"


def shown(ran: "subprocess.CompletedProcess[str]") -> dict[str, object]:
    """What was printed of the night, but how long it took, which its record has without its last steps."""
    return {**json.loads(ran.stdout), "seconds": None}


def spoil(path: Path) -> Callable[[], object]:
    """Change a byte of a file, or of a folder's first; returns what puts it back."""
    file = min(path.rglob("[!._]*.*")) if path.is_dir() else path
    content = file.read_bytes()
    file.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    return lambda: file.write_bytes(content)


@pytest.mark.slow
def test_what_does_not_stand_as_it_was_left_is_run_again(
    first: tuple[Home, "subprocess.CompletedProcess[str]"],
) -> None:
    place, _ = first
    asked = place, "IBM", SESSION, USUAL, None
    night = repeated(*asked)
    assert isinstance(night, Night)
    assert repeated(place, "IBM", date(2013, 2, 28), USUAL, None) is None
    assert repeated(place, "IBM", SESSION, chosen("nightly", "keep", None), None) is None
    assert repeated(place, "IBM", SESSION, USUAL, "XLON") is None
    assert repeated(home({"STOCKML_HOME": str(place.root / "elsewhere")}), "IBM", SESSION, USUAL, None) is None
    left = json.loads((place.nights / "IBM" / FILE).read_bytes())["files"]
    for path in map(Path, (*left, str(place.nights / "IBM" / FILE))):
        put_back = spoil(path)
        assert repeated(*asked) is None, path
        put_back()
    assert repeated(*asked) == night
    store = BarStore.of(place)
    store.judge("IBM", date(2013, 2, 27), accepted=False, recorded_at=datetime.now(UTC), source="a test")
    assert repeated(*asked) is None
