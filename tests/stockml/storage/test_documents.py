"""Notes in a folder: one holder of a lock at a time, and what the disk refuses is named."""

from pathlib import Path

import pytest

from stockml.errors import StoreBusy, StoreError
from stockml.storage.documents import FileNotes


def test_a_note_is_read_as_written_and_nothing_is_created_before(tmp_path: Path) -> None:
    notes = FileNotes(tmp_path / "quota")
    assert notes.read("today") is None
    assert not notes.folder.exists()
    notes.write("today", b"1")
    notes.write("today", b"2")
    assert notes.read("today") == b"2"


def test_a_lock_has_one_holder_at_a_time_and_does_not_block_others(tmp_path: Path) -> None:
    notes = FileNotes(tmp_path)
    with (
        notes.locked("turns", 1),
        notes.locked("another", 1),
        pytest.raises(StoreBusy, match=r"turns\.lock"),
        notes.locked("turns", 0.05),
    ):
        pass
    with notes.locked("turns", 0.05):
        pass


def test_what_the_disk_refuses_is_named_with_the_way_back(tmp_path: Path) -> None:
    (tmp_path / "today").mkdir()
    for ask in (
        lambda: FileNotes(tmp_path).read("today"),
        lambda: FileNotes(tmp_path).write("today", b"1"),
    ):
        with pytest.raises(
            StoreError, match=r"today: expected a file that can be read and written.*move it away"
        ):
            ask()
