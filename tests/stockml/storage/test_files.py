"""A write is durable when it returns: the file, its new name, and the folders created for it. A
receipt holds as long as its content is there unchanged."""

import os
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from stockml.errors import DiskFull, StoreError
from stockml.home import owner_only
from stockml.storage.files import sha256_of, write_atomically
from stockml.storage.locks import FileNotes
from stockml.storage.receipts import PayloadReceipt, Receipt, RunReceipt


@pytest.fixture
def synced(monkeypatch):
    """What was synced, in order, with the names in it by then."""
    found, sync = [], os.fsync

    def remembered(descriptor):
        place = Path(f"/proc/self/fd/{descriptor}").resolve()
        found.append((place.name, os.listdir(place) if place.is_dir() else []))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", remembered)
    return found


def test_after_every_replace_the_folder_is_synced_and_those_created_for_it(tmp_path, synced):
    path = tmp_path / "ledger" / "IBM" / "2026.parquet"
    folders = [("IBM", [path.name]), ("ledger", ["IBM"]), (tmp_path.name, ["ledger"])]
    for content, expected in ((b"first", folders), (b"second", folders[:1])):
        synced.clear()
        write_atomically(path, content)
        assert synced[0][0].startswith(f".{path.name}.")
        assert synced[1:] == expected


def test_files_written_under_owner_only_are_the_owners_alone(tmp_path):
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


def test_a_note_is_read_as_written_and_nothing_is_created_before(tmp_path):
    notes = FileNotes(tmp_path / "quota")
    assert notes.read("today") is None
    assert not notes.folder.exists()
    for content in (b"1", b"2"):
        notes.write("today", content)
        assert notes.read("today") == content


def test_what_the_disk_refuses_is_named_with_the_way_back(tmp_path):
    notes = FileNotes(tmp_path)
    (tmp_path / "today").mkdir()
    for ask in (lambda: notes.read("today"), lambda: notes.write("today", b"1")):
        with pytest.raises(StoreError, match=r"today: expected a file.*move it away"):
            ask()


def test_a_write_to_a_full_disk_leaves_only_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "ledger"
    write_atomically(path, b"old")

    def full_disk(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(DiskFull, match=r"ledger: expected room .*No space left.*make room"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["ledger"]


SESSION, AT = date(2013, 3, 1), datetime(2013, 3, 2, 4, tzinfo=UTC)


def receipt_of(path):
    return Receipt("IBM", str(path), sha256_of(path) or "")


def test_a_receipt_holds_until_the_file_is_changed_or_gone(tmp_path):
    path = tmp_path / "bars.parquet"
    path.write_bytes(b"bars")
    receipt = receipt_of(path)
    assert receipt.is_reusable()
    path.write_bytes(b"other bars")
    assert not receipt.is_reusable()
    path.unlink()
    assert not receipt.is_reusable()


def test_a_folders_receipt_covers_names_and_contents_but_not_side_information(tmp_path):
    (tmp_path / "weights").write_bytes(b"w")
    receipt = receipt_of(tmp_path)
    for beside in ("_timing.json", ".weights.half-written"):
        (tmp_path / beside).write_bytes(b"{}")
    assert receipt.is_reusable()
    (tmp_path / "weights").rename(tmp_path / "wights")
    assert not receipt.is_reusable()


@pytest.mark.parametrize(
    ("kind", "known", "is_done"),
    [
        (PayloadReceipt, (SESSION, SESSION, AT, 0), True),
        (PayloadReceipt, (SESSION, date(2013, 2, 28), AT, 0), False),  # without its session's bar
        (RunReceipt, ("key", "run", None), True),
        (RunReceipt, ("key", None, None), False),  # MLflow lacks the run
    ],
)
def test_a_payload_without_its_bar_or_a_run_that_mlflow_lacks_is_done_again(
    tmp_path, kind, known, is_done
):
    path = tmp_path / "kept"
    path.write_bytes(b"{}")
    receipt = kind(*vars(receipt_of(path)).values(), *known)
    assert receipt.is_reusable() is is_done
    path.write_bytes(b"[]")
    assert not receipt.is_reusable()


def test_a_run_counts_as_another_once_mlflow_has_it():
    known = ((None, None), ("run", None), ("run", "2"))
    assert len({RunReceipt("IBM", "", "", "key", *run).identity() for run in known}) == 3
