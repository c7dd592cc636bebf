"""A write is durable when it returns: the file, its new name, and the folders created for it. A
receipt holds as long as its content is there unchanged."""

import os
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from stockml.errors import DiskFull, StoreError
from stockml.forecasts.ledger import Ledger
from stockml.home import owner_only
from stockml.models.registry import Registry
from stockml.storage.files import sha256_of, write_atomically
from stockml.storage.locks import FileNotes
from stockml.storage.receipts import PayloadReceipt, Receipt, RunReceipt
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
        (lambda: registry.promote(promoted), registry.file("IBM")),
    ):
        synced.clear()
        write()
        (content, _), (folder, names), *_ = synced
        assert content.startswith(f".{file.name}.")
        assert (folder, file.name in names) == (file.parent.name, True)


def test_folders_created_for_a_file_are_durable_too(
    tmp_path: Path, synced: list[tuple[str, list[str]]]
) -> None:
    write_atomically(tmp_path / "ledger" / "IBM" / "2026.parquet", b"rows")
    assert synced[1:] == [
        ("IBM", ["2026.parquet"]),
        ("ledger", ["IBM"]),
        (tmp_path.name, ["ledger"]),
    ]


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


def test_a_note_is_read_as_written_and_nothing_is_created_before(tmp_path: Path) -> None:
    notes = FileNotes(tmp_path / "quota")
    assert notes.read("today") is None
    assert not notes.folder.exists()
    for content in (b"1", b"2"):
        notes.write("today", content)
        assert notes.read("today") == content


def test_what_the_disk_refuses_is_named_with_the_way_back(tmp_path: Path) -> None:
    notes = FileNotes(tmp_path)
    (tmp_path / "today").mkdir()
    for ask in (lambda: notes.read("today"), lambda: notes.write("today", b"1")):
        with pytest.raises(StoreError, match=r"today: expected a file.*move it away"):
            ask()


def test_a_write_to_a_full_disk_leaves_only_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ledger"
    write_atomically(path, b"old")

    def full_disk(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(DiskFull, match=r"ledger: expected room .*No space left.*make room"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["ledger"]


def receipt_of(path: Path) -> Receipt:
    return Receipt("IBM", str(path), sha256_of(path) or "")


def test_a_receipt_holds_until_the_file_is_changed_or_gone(tmp_path: Path) -> None:
    path = tmp_path / "bars.parquet"
    path.write_bytes(b"bars")
    receipt = receipt_of(path)
    assert receipt.is_reusable()
    path.write_bytes(b"other bars")
    assert not receipt.is_reusable()
    path.unlink()
    assert not receipt.is_reusable()


def test_a_folders_receipt_covers_names_and_contents_but_not_side_information(
    tmp_path: Path,
) -> None:
    (tmp_path / "weights").write_bytes(b"w")
    receipt = receipt_of(tmp_path)
    for beside in ("_timing.json", ".weights.half-written"):
        (tmp_path / beside).write_bytes(b"{}")
    assert receipt.is_reusable()
    (tmp_path / "weights").rename(tmp_path / "wights")
    assert not receipt.is_reusable()


def test_a_payload_without_its_sessions_bar_is_asked_for_again(tmp_path: Path) -> None:
    path = tmp_path / "payload.json.gz"
    path.write_bytes(b"payload")
    kept, session = receipt_of(path), date(2013, 3, 1)
    for newest in (date(2013, 2, 28), session):
        at = datetime(2013, 3, 2, 4, tzinfo=UTC)
        payload = PayloadReceipt(
            kept.ticker, kept.path, kept.sha256, session, newest, at, rows_before=0
        )
        assert payload.is_reusable() is (newest == session)
    path.unlink()
    assert not payload.is_reusable()


def test_a_run_that_mlflow_lacks_is_logged_again_and_its_receipt_counts_as_another_once_it_has_it(
    tmp_path: Path,
) -> None:
    path = tmp_path / "night.json"
    path.write_bytes(b"{}")
    kept = receipt_of(path)
    waiting, logged, versioned = (
        RunReceipt(kept.ticker, kept.path, kept.sha256, "key", *known)
        for known in ((None, None), ("run", None), ("run", "2"))
    )
    assert [run.is_reusable() for run in (waiting, logged, versioned)] == [False, True, True]
    assert len({run.identity() for run in (waiting, logged, versioned)}) == 3
    path.write_bytes(b"[]")
    assert not logged.is_reusable()
