"""The doctor on damage: it names the damaged file and the way back."""

import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from deployments.doctor import Check
from stockml.evaluation.promotion_gate import Verdict
from stockml.home import HomePaths
from stockml.home import current_home as home_of
from stockml.maintenance.integrity import missing
from stockml.models.registry import Registry
from stockml.nights.record import night_path, write_night
from stockml.storage.receipts import sealed
from stockml.tracking.client import Tracking
from tests.deployments.test_doctor import NOW, found
from tests.faults.flipped_bits import kinds
from tests.support.nights import recorded_night

AWAY = "restore it from a backup, or move it away"
DEEP = ("settings/IBM.json", "prices.json")  # more levels than Python can count


@pytest.mark.parametrize(
    ("place", "content", "says"),
    [
        ("mlflow.db", b"", AWAY),
        ("prefect/prefect.db", b"no database, but long enough to be one" * 9, AWAY),
        ("settings/IBM.json", b"{}", "restore it from a backup"),
        *(pytest.param(name, b"[" * 10_000, "restore it from a backup", id=name) for name in DEEP),
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
    checks = found(home, now=NOW + timedelta(days=1)).values()
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
    "settings",
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
    assert "restore it from a backup" in check.advice


def test_missing_files_that_records_of_nights_refer_to_are_named(home: HomePaths) -> None:
    kept, promoted = (
        kinds(home.root),
        recorded_night(key="of a champion", verdict=Verdict(True, "better", {})),
    )
    promoted = replace(promoted, finished_at=promoted.finished_at - timedelta(days=1))
    write_night(promoted, night_path(home.nights, "IBM", promoted.key))
    for of in ("ledger", "promotions"):
        aside = (file := kept[of].files[0]).rename(home.root.with_name("aside"))
        assert (told := problem(home).found).startswith(f"{file}: expected the ")
        assert "that records of nights tell of, found no file; restore it from a backup" in told
        aside.rename(file)
    kept["promotions"].files[0].unlink()
    last = replace(
        promoted,
        finished_at=promoted.finished_at + timedelta(2),
        session=promoted.session - timedelta(9),
    )
    write_night(last, night_path(home.nights, "IBM", last.key))
    assert not list(missing(home)), (
        "its night may be at work: it promotes after it has written its record"
    )


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        (None, "no paths.npz"),
        (b"PK, cut off", "no .npz of plain arrays"),
        (b"one bit", "no .npz of plain arrays"),
        (b"one figure", "damage, or a change by hand"),
    ],
)
def test_a_champions_missing_or_damaged_evaluation_is_named(
    home: HomePaths, arrays: bytes | None, says: str
) -> None:
    kinds(home.root)
    champion = Registry(home.models).champion("IBM")
    assert champion
    folder = home.evaluations / "IBM" / "of the champion"
    told = recorded_night(key=champion.key, evaluation_folder=str(folder))
    write_night(told, night_path(home.nights, "IBM", champion.key))
    folder.mkdir(parents=True)
    (folder / "assessment.json").write_text("{}")
    if arrays:
        (folder / "paths.npz").write_bytes(arrays)
    if arrays == b"one figure":
        (folder / "assessment.json").write_bytes(
            sealed(b'{\n "skill": 0.1\n}').replace(b"0.1", b"0.9")
        )
    if arrays == b"one bit":
        np.savez(folder / "paths.npz", medians=np.zeros(100))
        whole = bytearray((folder / "paths.npz").read_bytes())
        whole[500] ^= 1
        (folder / "paths.npz").write_bytes(whole)
    assert problem(home).found.startswith(
        f"{folder}: expected the champion's evaluation, found {says}"
    )


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
