"""The doctor on damage: it names the damaged file and the way back."""

import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from deployments.doctor import Check, database_fault
from stockml.home import HomePaths
from stockml.home import current_home as home_of
from stockml.tracking.client import Tracking
from tests.deployments.test_doctor import found
from tests.faults.flipped_bits import kinds
from tests.support.nights import recorded_night

AWAY = "restore it from a backup, or move it away"


@pytest.mark.parametrize(
    ("place", "content", "says"),
    [
        ("mlflow.db", b"", AWAY),
        ("prefect/prefect.db", b"no database, but long enough to be one" * 9, AWAY),
        # more levels than Python can count
        pytest.param("prices.json", b"[" * 10_000, "restore it from a backup", id="deep"),
    ],
)
def test_a_damaged_file_is_named_with_the_way_back(
    home: HomePaths, place: str, content: bytes, says: str
) -> None:
    path = home.root / place
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    check = problem(home)
    assert str(path) in str(check)
    assert says in str(check)


def problem(home: HomePaths) -> Check:
    """The only problem found, a day after the last stored bar."""
    checks = found(home, now=datetime(2013, 3, 1, 23, tzinfo=UTC)).values()
    [check] = [
        each for each in checks if each.verdict == "problem" and each.name != "price service"
    ]
    return check


OF_SOURCES = (
    "ledger",
    "promotions",
    "champion",
    "store",
    "splits",
    "history",
    "judgements",
    "night",
)


@pytest.mark.parametrize("damage", ["cut off", "empty", "a bit"])
@pytest.mark.parametrize("damaged", [*OF_SOURCES, "pretrained network"])
def test_damage_to_what_cannot_be_recreated_is_named(
    home: HomePaths, damaged: str, damage: str
) -> None:
    file = kinds(home.root)[damaged].files[0]
    middle = len(whole := file.read_bytes()) // 2
    a_bit = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
    file.write_bytes({"cut off": whole[:-20], "empty": b"", "a bit": a_bit}[damage])
    check = problem(home)
    assert str(file) in str(check) or str(file.parent) in str(check)
    assert "restore it from a backup" in str(check) or damaged == "pretrained network"


def test_a_missing_champion_and_missing_bars_are_named(home: HomePaths) -> None:
    """The promotions and the forecasts still refer to them."""
    kept = kinds(home.root)
    champion, bars = kept["champion"].files[0].parent, kept["store"].files[0]
    shutil.rmtree(champion)
    assert str(champion) in str(problem(home))
    kinds_elsewhere = kinds(home.root.with_name("elsewhere"))
    shutil.copytree(kinds_elsewhere["champion"].files[0].parent, champion)
    for part in bars.parent.rglob("IBM.parquet"):
        part.unlink()
    check = problem(home)
    assert str(bars) in check.found
    assert "fetch with `stockml nightly`" in check.found


def test_a_ledger_that_is_gone_although_its_nights_had_a_champion_is_named(
    home: HomePaths,
) -> None:
    kept = kinds(home.root)
    kept["ledger"].files[0].unlink()
    assert str(kept["ledger"].files[0]) in str(problem(home))


def test_a_copy_made_by_hand_is_no_ticker(home: HomePaths) -> None:
    kinds(home.root)
    shutil.copytree(home.models / "IBM", home.models / "IBM copy")
    # the latter a Mac's, on a disk of another system
    for name in ("IBM copy.parquet", "._IBM.parquet"):
        (home.ledger / name).write_bytes(b"a copy")
    assert {name for name in found(home) if "IBM" in name} == {"IBM"}


def test_a_file_that_another_program_has_locked_is_not_called_damaged(tmp_path: Path) -> None:
    path = tmp_path / "one.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("CREATE TABLE runs (id INTEGER)")
        database.execute("BEGIN EXCLUSIVE")
        assert database_fault(path) is None


def test_an_unreadable_list_of_tickers_is_named(home: HomePaths) -> None:
    home.root.mkdir()
    home.tickers.write_text("tickers: [IBM, 1]")
    assert str(home.tickers) in str(problem(home))


def test_a_home_that_was_moved_is_told_the_link_that_finds_mlflows_files(
    home: HomePaths, empty_database: Path
) -> None:
    home.root.mkdir()
    shutil.copy(empty_database, home.root / "mlflow.db")
    Tracking(home).keep_and_log(recorded_night())
    moved = home_of({"STOCKML_HOME": str(home.root.with_name("moved"))})
    shutil.move(home.root, moved.root)
    check = found(moved)["MLflow"]
    assert (check.verdict, f"`ln -s {moved.root} {home.root}`" in check.found) == ("problem", True)
    home.root.symlink_to(moved.root)
    assert found(moved)["MLflow"].verdict == "ok"
