"""A receipt identifies content: it holds as long as the content is there unchanged, and no
longer."""

import os
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from stockml.errors import DiskFull
from stockml.storage.files import sha256_of, write_atomically
from stockml.storage.receipts import PayloadReceipt, Receipt, RunReceipt


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
