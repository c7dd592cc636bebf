"""A table's file is replaced whole or left as it is, byte for byte, and says whose it is; no damage
is read as rows."""

from contextlib import suppress
from datetime import date
from io import BytesIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stockml.errors import StoreError, StoreUnreadable
from stockml.prices.bars import COLUMNS
from stockml.prices.revisions import BAR_SCHEMA
from stockml.storage.files import sha256_of
from stockml.storage.parquet_files import TableFiles, as_bytes, from_bytes
from tests.stockml.prices.stored import NOW


def table(*closes, source="test"):
    rows = {"session": [date(2024, 1, 2)] * len(closes), **{name: list(closes) for name in COLUMNS}}
    rows |= {"recorded_at": [NOW] * len(closes), "source": [source] * len(closes)}
    return pa.table(rows, schema=BAR_SCHEMA)


FIFTY = table(*np.linspace(1.0, 2.0, 50))
WRITTEN = as_bytes(FIFTY, "IBM")


@given(at=st.integers(0, len(WRITTEN) - 1), flipped=st.integers(1, 255), gone=st.integers(0, 3))
def test_damage_anywhere_is_an_error_or_harmless_and_never_another_price(at, flipped, gone):
    damaged = WRITTEN[:at] + bytes([WRITTEN[at] ^ flipped]) + WRITTEN[at + 1 + gone :]
    with suppress(ValueError):
        assert from_bytes(damaged, "IBM", BAR_SCHEMA).equals(FIFTY)


def test_a_table_reads_back_as_written_and_equal_ones_give_equal_bytes():
    one = table(1.0, float("nan"), 5e-324)
    written = as_bytes(one, "IBM")
    assert as_bytes(table(1.0, float("nan"), 5e-324), "IBM") == written
    read = from_bytes(written, "IBM", BAR_SCHEMA)
    assert as_bytes(read, "IBM") == written
    assert (read["close"].to_pylist()[::2], read["source"].to_pylist()) == (
        [1.0, 5e-324],
        ["test"] * 3,
    )


def test_values_and_texts_that_are_not_those_written_are_damage():
    """As where a page was put together anew, with checksums of its own."""
    sums = from_bytes(as_bytes(table(1.0, 2.0), "IBM"), "IBM", BAR_SCHEMA).schema.metadata
    for other in (table(1.0, 3.0), table(1.0), table(1.0, 2.0, source="another")):
        pq.write_table(
            other.replace_schema_metadata(sums), content := BytesIO(), use_dictionary=["source"]
        )
        with pytest.raises(ValueError, match="damage: the rows are not those that were written"):
            from_bytes(content.getvalue(), "IBM", BAR_SCHEMA)


def test_a_table_of_someone_elses_is_read_only_where_that_is_allowed_and_no_other_layout_is():
    def stored(table):
        pq.write_table(table, content := BytesIO())
        return content.getvalue()

    bare, marked = table(1.0), pq.read_table(BytesIO(as_bytes(table(1.0), "IBM")))
    newer = {**marked.schema.metadata, b"stockml.schema_version": b"2"}
    for content, fault in (
        (stored(bare), "schema version none, this program reads 1"),
        (as_bytes(bare, "KO"), "a file of KO, expected IBM"),
        (stored(marked.replace_schema_metadata(newer)), "schema version 2, this program reads 1"),
        (stored(marked.drop_columns(["volume"])), "unexpected names or types"),
    ):
        with pytest.raises(ValueError, match=fault):
            from_bytes(content, "IBM", BAR_SCHEMA)
    assert from_bytes(stored(bare), "IBM", BAR_SCHEMA, unmarked=True)["close"].to_pylist() == [1.0]
    with pytest.raises(ValueError, match="a file of KO, expected IBM"):
        from_bytes(as_bytes(bare, "KO"), "IBM", BAR_SCHEMA, unmarked=True)


@pytest.fixture
def files(tmp_path):
    return TableFiles(tmp_path / "store", tmp_path / "locks")


def put(files, name, *closes):
    files.update(f"{name}.parquet", name, BAR_SCHEMA, lambda _: (table(*closes), None))


def test_a_missing_file_is_an_empty_table_and_a_change_of_nothing_changes_no_file(files):
    asked = ("IBM.parquet", "IBM", BAR_SCHEMA)
    assert (len(files.read(*asked)), files.names()) == (0, [])
    assert not files.root.exists()
    path = files.path("IBM.parquet")
    told, sha256 = files.update(*asked, lambda before: (table(1.0), len(before)))
    assert (told, sha256) == (0, sha256_of(path))
    before = path.stat()
    assert files.update(*asked, lambda there: (None, len(there))) == (1, sha256)
    assert path.stat() == before


def test_a_damaged_file_is_named_and_never_taken_for_an_empty_one(files):
    put(files, "IBM", 1.0)
    (path := files.path("IBM.parquet")).write_bytes(b"")
    with pytest.raises(StoreUnreadable, match=f"{path}.*an empty file"):
        put(files, "IBM", 2.0)


def test_what_a_killed_writer_left_is_removed_by_the_next_writer_of_the_same_file(files):
    put(files, "IBM", 1.0)
    left, of_another = (files.path(f".{name}.parquet.7-7.tmp") for name in ("IBM", "MSFT"))
    for each in (left, of_another):
        each.touch()
    put(files, "IBM", 2.0)
    assert (left.exists(), of_another.exists()) == (False, True)


def test_a_renamed_table_is_its_new_owners_and_never_lies_over_rows_of_another(files):
    asked = ("FB.parquet", "META.parquet", ("FB", "META"), BAR_SCHEMA)
    assert not files.rename(*asked), "there is none"
    put(files, "FB", 1.0, 2.0)
    assert files.rename(*asked, only_check=True)
    assert files.names() == ["FB.parquet"]
    put(files, "META", 1.0)  # as a killed rename may leave it: rows are only added
    assert files.rename(*asked)
    assert files.names() == ["META.parquet"]
    assert files.read("META.parquet", "META", BAR_SCHEMA)["close"].to_pylist() == [1.0, 2.0]
    put(files, "FB", 3.0)
    with pytest.raises(
        StoreError, match=r"expected no rows there yet, found some beside FB\.parquet; move one"
    ):
        files.rename(*asked)
    assert files.names() == ["FB.parquet", "META.parquet"]


def test_a_small_file_of_very_many_rows_is_refused_unread():
    pq.write_table(table := pa.table({"close": [0.0] * 1_000_000}), file := BytesIO())
    with pytest.raises(ValueError, match=r"^damage: 1,000,000 rows in [\d,]{4,6} bytes$"):
        from_bytes(file.getvalue(), "IBM", table.schema, unmarked=True)
