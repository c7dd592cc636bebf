"""A write is durable when it returns: the file, its new name, and the folders created for it."""

import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from stockml.forecasts.ledger import Ledger
from stockml.home import HomePaths, owner_only
from stockml.maintenance.backup import back_up
from stockml.models.registry import Registry
from stockml.storage.files import write_atomically
from tests.stockml.models.test_registry import night
from tests.support.forecasts import entry


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[str]]]:
    """What was synced, in order, with the names in it by then."""
    found: list[tuple[str, list[str]]] = []
    sync = os.fsync

    def remembered(descriptor: int) -> None:
        place = Path(f"/proc/self/fd/{descriptor}").resolve()
        found.append(
            (place.name, sorted(path.name for path in place.iterdir()) if place.is_dir() else [])
        )
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", remembered)
    return found


def test_the_folder_is_synced_after_every_replace(
    tmp_path: Path, synced: list[tuple[str, list[str]]]
) -> None:
    for content in (b"first", b"second"):
        synced.clear()
        write_atomically(tmp_path / "promotions.jsonl", content)
        (file, _), folder = synced
        assert file.startswith(".promotions.jsonl.")
        assert folder == (tmp_path.name, ["promotions.jsonl"])


def test_ledger_and_promotions_and_their_names_are_durable(
    tmp_path: Path, synced: list[tuple[str, list[str]]]
) -> None:
    ledger, registry = Ledger(tmp_path / "ledger"), Registry(tmp_path / "models")
    promoted = night(registry.models, 1)
    for write, file in (
        (lambda: ledger.publish(entry(10)), ledger.file("IBM")),
        (lambda: ledger.publish(entry(11)), ledger.file("IBM")),
        (lambda: registry.promote(promoted), registry.file("IBM")),
        (lambda: registry.promote(replace(promoted, key="next")), registry.file("IBM")),
    ):
        synced.clear()
        write()
        (content, _), (folder, names), *_ = synced
        assert content.startswith(f".{file.name}.")
        assert (folder, file.name in names) == (file.parent.name, True)


def test_a_backup_and_its_name_are_durable(
    home: HomePaths, tmp_path: Path, synced: list[tuple[str, list[str]]]
) -> None:
    write_atomically(home.root / "tickers.yaml", b"tickers: []\n")
    back_up(home, tmp_path / "b.zip", datetime.now(UTC))
    assert (synced[-1][0], "b.zip" in synced[-1][1]) == (tmp_path.name, True)


def test_folders_created_for_a_file_are_durable_too(
    tmp_path: Path, synced: list[tuple[str, list[str]]]
) -> None:
    write_atomically(tmp_path / "ledger" / "IBM" / "2026.parquet", b"rows")
    assert synced[1:] == [
        ("IBM", ["2026.parquet"]),
        ("ledger", ["IBM"]),
        (tmp_path.name, ["ledger"]),
    ]


def test_nothing_stays_open_after_a_write(tmp_path: Path) -> None:
    before = psutil.Process().num_fds()
    for _ in range(9):
        write_atomically(tmp_path / "made" / "file", b"")
    assert psutil.Process().num_fds() < before + 9


def test_a_write_whose_folder_cannot_be_synced_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_atomically(tmp_path / "file", b"old")
    sync = os.fsync

    def failing(descriptor: int) -> None:
        if Path(f"/proc/self/fd/{descriptor}").resolve().is_dir():
            raise OSError(5, "Input/output error")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(OSError, match="Input/output error"):
        write_atomically(tmp_path / "file", b"new")


def test_files_written_under_owner_only_are_the_owners_alone(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        with owner_only():
            write_atomically(tmp_path / "home" / "nights" / "IBM.json", b"{}")
        (tmp_path / "others").touch()
    finally:
        os.umask(before)
    made = [tmp_path / "home", *(tmp_path / "home").rglob("*")]
    assert [path.stat().st_mode & 0o777 for path in made] == [0o700, 0o700, 0o600]
    assert (tmp_path / "others").stat().st_mode & 0o777 == 0o644
