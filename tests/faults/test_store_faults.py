"""Faults of the store: after each, no row is lost or doubled, or an error names the file and the
way back."""

import re
import shutil
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from stockml.errors import StoreError, StoreUnreadable
from stockml.prices.bars import Split
from stockml.prices.store import BarStore
from stockml.storage.files import sha256_of
from tests.stockml.prices.stored import IBM, NOW, append
from tests.support.patience import PATIENCE_S
from tests.support.small_disk import files_of_at_most


@pytest.fixture
def store(tmp_path: Path) -> BarStore:
    return BarStore(tmp_path / "store", tmp_path / "locks")


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-m", "tests.support.appending", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S)


@pytest.mark.slow
def test_two_writers_at_once_store_every_session_once(store):
    with ThreadPoolExecutor() as pool:
        ends = list(pool.map(lambda first: run("write", store.root, store.locks, first, 2), (0, 1)))
    assert [end.stderr for end in ends] == ["", ""]
    last_2000 = IBM.iloc[-2000:]
    assert store.read("IBM").equals(last_2000.iloc[:200])
    sources = pq.read_table(store.path("IBM"))["source"].to_pylist()
    assert Counter(sources) == {"writer 0": 100, "writer 1": 100}


def test_a_failing_write_leaves_the_file_as_it_was(store):
    before = append(store, IBM.iloc[:20])
    with (
        files_of_at_most(10 << 10),
        pytest.raises(StoreError, match=re.escape(store.path("IBM")) + ".*make room") as refusal,
    ):
        append(store, IBM.iloc[:1000], NOW + timedelta(days=1))
    assert refusal.value.path == store.path("IBM")
    assert sha256_of(before.path) == before.sha256
    assert [entry.name for entry in Path(store.root).iterdir()] == ["IBM.parquet"]


DAMAGES = {
    "zero length": lambda content: b"",
    "truncated in the middle": lambda content: content[: len(content) // 2],
    "zeros of the right length": lambda content: bytes(len(content)),
    "one flipped byte": lambda content: (
        content[:7777] + bytes([content[7777] ^ 0x10]) + content[7778:]
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_an_error_that_names_it_and_stays_as_it_is(store, damage):
    path = Path(append(store, IBM.iloc[:1000]).path)
    whole = path.read_bytes()
    path.write_bytes(DAMAGES[damage](whole))
    damaged = path.read_bytes()
    for use in (
        store.read,
        store.adjusted,
        store.restatements,
        store.last_session,
        store.unexplained_jumps,
    ):
        with pytest.raises(
            StoreUnreadable, match=re.escape(str(path)) + ".*restore it from a backup"
        ):
            use("IBM")
    with pytest.raises(StoreUnreadable):
        append(store, IBM.iloc[:1100])
    assert path.read_bytes() == damaged
    path.write_bytes(whole)
    assert append(store, IBM.iloc[900:1100], NOW + timedelta(days=1)).added == 100


@pytest.mark.parametrize("kind", ["splits", "history"])
def test_damage_to_splits_or_imported_history_is_an_error_too(store, kind):
    append(store, IBM.iloc[-1000:])
    store.record_splits(
        "IBM", [Split(IBM.index[-1100].date(), 2.0)], recorded_at=NOW, source="test"
    )
    store.record_import("IBM", IBM.iloc[:-900], recorded_at=NOW, source="test")
    path = Path(store.root) / kind / "IBM.parquet"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(StoreUnreadable, match=re.escape(str(path))):
        store.adjusted("IBM")
    assert store.read("IBM").equals(IBM.iloc[-1000:])


def test_a_folder_or_a_file_in_the_way_is_an_error_that_names_it(store):
    Path(store.path("IBM")).mkdir(parents=True)
    with pytest.raises(StoreError, match=r"IBM\.parquet.*restore access"):
        append(store, IBM.iloc[:100])
    shutil.rmtree(store.root)
    Path(store.root).write_text("not a folder")
    with pytest.raises(StoreError, match=r"IBM\.parquet"):
        append(store, IBM.iloc[:100])
