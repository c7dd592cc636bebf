"""The same store on object storage: a local S3-compatible server, and what replaces a lock between machines."""

from datetime import timedelta
from pathlib import Path

import fsspec
import numpy as np
import pytest

from stockml.errors import NoBars, StoreBusy, StoreUnreadable
from stockml.prices.bars import Split
from stockml.prices.revisions import BAR_SCHEMA
from stockml.prices.store import BarStore
from stockml.storage.objects import sha256_of
from tests.stockml.prices.stored import IBM, NOW, append


@pytest.fixture(params=["s3", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> BarStore:
    """On S3, whose server compares and sets, and on a file system that cannot."""
    if request.param == "memory":
        fsspec.filesystem("memory").store.clear()
        return BarStore("memory://prices/store", tmp_path / "locks")
    return BarStore(request.getfixturevalue("s3_folder"), tmp_path / "locks")


def test_the_store_works_on_object_storage_with_the_same_code(store):
    assert store.tickers() == ()
    with pytest.raises(NoBars):
        store.read("IBM")
    first = append(store, IBM.iloc[:100])
    assert (first.path, first.sha256) == (f"{store.root}/IBM.parquet", sha256_of(first.path))
    assert append(store, IBM.iloc[:100], NOW + timedelta(days=1)).sha256 == first.sha256
    assert append(store, IBM.iloc[50:150], NOW + timedelta(days=1)).added == 50
    assert store.read("IBM").equals(IBM.iloc[:150])
    assert store.read("IBM", as_of=NOW).equals(IBM.iloc[:100])
    store.record_splits("IBM", [Split(IBM.index[120].date(), 1.25)], recorded_at=NOW, source="test")
    np.testing.assert_allclose(store.adjusted("IBM")["close"].iloc[:120], IBM["close"].iloc[:120] / 1.25)
    store.record_import("KO", IBM.iloc[:200], recorded_at=NOW, source="test")
    assert (store.tickers(), len(store.adjusted("KO"))) == (("IBM", "KO"), 200)


def test_a_machine_that_does_not_share_the_lock_loses_no_row(store, tmp_path):
    """The other machine writes between our read and our write: our change is made again, on top of its rows."""
    append(store, IBM.iloc[:100])
    elsewhere = BarStore(store.root, tmp_path / "locks of another machine")
    seen = []

    def overtaken_once(table):
        seen.append(len(table))
        if len(seen) == 1:
            append(elsewhere, IBM.iloc[:150], NOW + timedelta(days=1))
        return table.slice(0, len(table)), None

    store.files.update("IBM.parquet", "IBM", BAR_SCHEMA, overtaken_once)
    assert seen == [100, 150]
    assert store.read("IBM").equals(IBM.iloc[:150])


def test_two_machines_that_append_the_first_bars_at_once_both_keep_theirs(store, tmp_path):
    elsewhere = BarStore(store.root, tmp_path / "locks of another machine")
    seen = []

    def overtaken_once(table):
        seen.append(table)
        if not len(table):
            append(elsewhere, IBM.iloc[:50])
            return BAR_SCHEMA.empty_table(), None
        return None, None

    store.files.update("IBM.parquet", "IBM", BAR_SCHEMA, overtaken_once)
    assert [len(table) for table in seen] == [0, 50]
    assert store.read("IBM").equals(IBM.iloc[:50])


def test_being_overtaken_repeatedly_ends_in_an_error(store, tmp_path):
    append(store, IBM.iloc[:100])
    elsewhere = BarStore(store.root, tmp_path / "locks of another machine")

    def always_overtaken(table):
        append(elsewhere, IBM.iloc[: len(table) + 1], NOW + timedelta(days=len(table)))
        return table.slice(0, 1), None

    with pytest.raises(StoreBusy, match="replaced by others 5 times"):
        store.files.update("IBM.parquet", "IBM", BAR_SCHEMA, always_overtaken)
    assert len(store.read("IBM")) == 105


def test_a_damaged_object_is_an_error_that_names_it(store):
    path = append(store, IBM.iloc[:100]).path
    fs, key = fsspec.core.url_to_fs(path)
    fs.pipe_file(key, fs.cat_file(key)[:500])
    with pytest.raises(StoreUnreadable, match=r"IBM\.parquet.*restore it from a backup"):
        append(store, IBM.iloc[:101])
