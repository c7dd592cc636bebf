"""The doctor on damage: it names the damaged file and the way back."""

import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime

import pytest

from deployments.doctor import database_fault
from tests.deployments.test_doctor import found
from tests.faults.flipped_bits import kinds

AWAY, PRETRAINED = "restore it from a backup, or move it away", "pretrained network"


@pytest.mark.parametrize(
    ("place", "content", "says"),
    [
        ("mlflow.db", b"", AWAY),
        ("prefect/prefect.db", b"no database, but long enough to be one" * 9, AWAY),
        # more levels than Python can count
        pytest.param("prices.json", b"[" * 10_000, "restore it from a backup", id="deep"),
        ("tickers.yaml", b"tickers: [IBM, 1]", ""),
    ],
)
def test_a_damaged_file_is_named_with_the_way_back(home, place, content, says):
    path = home.root / place
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    check = str(problem(home))
    assert str(path) in check
    assert says in check


def problem(home):
    """The only problem found, a day after the last stored bar."""
    checks = found(home, now=datetime(2013, 3, 1, 23, tzinfo=UTC))
    checks.pop("price service", None)
    [check] = (each for each in checks.values() if each.verdict == "problem")
    return check


@pytest.mark.parametrize("damage", ["cut off", "empty", "a bit"])
@pytest.mark.parametrize(
    "damaged",
    [
        "ledger",
        "promotions",
        "champion",
        "store",
        "splits",
        "history",
        "judgements",
        "night",
        PRETRAINED,
    ],
)
def test_damage_to_what_cannot_be_recreated_is_named(home, damaged, damage):
    file = kinds(home.root)[damaged].files[0]
    middle = len(whole := file.read_bytes()) // 2
    a_bit = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
    file.write_bytes({"cut off": whole[:-20], "empty": b"", "a bit": a_bit}[damage])
    check = str(problem(home))
    assert str(file.parent) in check
    assert "restore it from a backup" in check or damaged == PRETRAINED


def test_what_the_nights_refer_to_and_is_missing_is_named(home):
    """A champion, or bars, that the promotions and the forecasts name, or the whole ledger."""
    kept, aside = kinds(home.root), home.root.with_name("aside")
    champion = kept["champion"].files[0].parent
    ledger, bars = kept["ledger"].files[0], kept["store"].files[0]
    for missing in (champion, ledger):
        shutil.move(missing, aside)
        assert str(missing) in str(problem(home))
        shutil.move(aside, missing)
    for part in bars.parent.rglob("IBM.parquet"):
        part.unlink()
    check = problem(home)
    assert str(bars) in check.found
    assert "fetch with `stockml nightly`" in check.found


def test_a_copy_made_by_hand_is_no_ticker(home):
    kinds(home.root)
    shutil.copytree(home.models / "IBM", home.models / "IBM copy")
    # the latter a Mac's, on a disk of another system
    for name in ("IBM copy.parquet", "._IBM.parquet"):
        (home.ledger / name).write_bytes(b"a copy")
    assert {name for name in found(home) if "IBM" in name} == {"IBM"}


def test_a_file_that_another_program_has_locked_is_not_called_damaged(tmp_path):
    path = tmp_path / "one.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("CREATE TABLE runs (id INTEGER)")
        database.execute("BEGIN EXCLUSIVE")
        assert database_fault(path) is None
