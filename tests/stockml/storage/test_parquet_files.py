"""A table's file is replaced whole or left as it is, byte for byte, and says whose it is; no damage
is read as rows."""

import shutil
from datetime import date
from io import BytesIO
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stockml.errors import StoreError, StoreUnreadable
from stockml.prices.bars import COLUMNS
from stockml.prices.revisions import BAR_SCHEMA
from stockml.prices.store import BarStore
from stockml.storage.files import sha256_of
from stockml.storage.parquet_files import TableFiles, as_bytes, from_bytes
from tests.stockml.prices.stored import IBM, NOW, append


@pytest.fixture
def store(tmp_path: Path) -> BarStore:
    return BarStore(tmp_path / "store", tmp_path / "locks")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 3000), flipped=st.integers(1, 255), gone=st.integers(0, 3))
def test_damage_anywhere_is_an_error_or_harmless_and_never_another_price(store, at, flipped, gone):
    path = Path(append(store, IBM.iloc[:50]).path)
    whole = path.read_bytes()
    at %= len(whole)
    path.write_bytes(whole[:at] + bytes([whole[at] ^ flipped]) + whole[at + 1 + gone :])
    try:
        assert store.read("IBM").equals(IBM.iloc[:50])
    except StoreUnreadable as refusal:
        assert refusal.path == str(path)  # noqa: PT017 - either outcome is right
    finally:
        path.write_bytes(whole)


def test_what_a_killed_writer_left_is_removed_by_the_next_writer_of_the_same_file(store):
    path = Path(append(store, IBM.iloc[:50]).path)
    left, of_another = (
        path.with_name(f".{path.name}.7-7.tmp"),
        path.with_name(".MSFT.parquet.7-7.tmp"),
    )
    for each in (left, of_another):
        each.touch()
    append(store, IBM.iloc[:51])
    assert (left.exists(), of_another.exists()) == (False, True)


def test_another_tickers_file_and_other_layouts_are_refused(store):
    path = Path(append(store, IBM.iloc[:100]).path)
    shutil.copy(path, path.with_name("MSFT.parquet"))
    with pytest.raises(StoreUnreadable, match="a file of IBM, expected MSFT"):
        store.read("MSFT")
    table = pq.read_table(path)
    newer = {**table.schema.metadata, b"stockml.schema_version": b"2"}
    pq.write_table(table.replace_schema_metadata(newer), path)
    with pytest.raises(StoreUnreadable, match="schema version 2, this program reads 1"):
        store.read("IBM")
    pq.write_table(table.drop_columns(["volume"]), path)
    with pytest.raises(StoreUnreadable, match="unexpected names or types"):
        append(store, IBM.iloc[:100])
    pq.write_table(pa.table({"x": [1]}), path)
    with pytest.raises(StoreUnreadable, match="schema version none"):
        store.read("IBM")


def table(*closes: float, source: str = "test") -> pa.Table:
    rows = {"session": [date(2024, 1, 2)] * len(closes), **{name: list(closes) for name in COLUMNS}}
    rows |= {"recorded_at": [NOW] * len(closes), "source": [source] * len(closes)}
    return pa.table(rows, schema=BAR_SCHEMA)


def test_a_table_reads_back_as_written_and_equal_ones_give_equal_bytes() -> None:
    one = table(1.0, float("nan"), 5e-324)
    written = as_bytes(one, "IBM")
    assert as_bytes(table(1.0, float("nan"), 5e-324), "IBM") == written
    read = from_bytes(written, "IBM", BAR_SCHEMA)
    assert as_bytes(read, "IBM") == written
    assert (read["close"].to_pylist()[::2], read["source"].to_pylist()) == (
        [1.0, 5e-324],
        ["test"] * 3,
    )


def test_values_and_texts_that_are_not_those_written_are_damage() -> None:
    """As where a page was put together anew, with checksums of its own."""
    sums = from_bytes(as_bytes(table(1.0, 2.0), "IBM"), "IBM", BAR_SCHEMA).schema.metadata
    for other in (table(1.0, 3.0), table(1.0), table(1.0, 2.0, source="another")):
        pq.write_table(
            other.replace_schema_metadata(sums), content := BytesIO(), use_dictionary=["source"]
        )
        with pytest.raises(ValueError, match="damage: the rows are not those that were written"):
            from_bytes(content.getvalue(), "IBM", BAR_SCHEMA)


def test_a_table_of_someone_elses_is_read_only_where_that_is_allowed() -> None:
    pq.write_table(table(1.0), content := BytesIO())
    with pytest.raises(ValueError, match="schema version none, this program reads 1"):
        from_bytes(content.getvalue(), "IBM", BAR_SCHEMA)
    assert from_bytes(content.getvalue(), "IBM", BAR_SCHEMA, unmarked=True)[
        "close"
    ].to_pylist() == [1.0]
    with pytest.raises(ValueError, match="a file of KO, expected IBM"):
        from_bytes(as_bytes(table(1.0), "KO"), "IBM", BAR_SCHEMA, unmarked=True)


@pytest.fixture
def files(tmp_path: Path) -> TableFiles:
    return TableFiles(tmp_path / "store", tmp_path / "locks")


def test_a_missing_file_is_an_empty_table_and_a_change_of_nothing_changes_no_file(
    files: TableFiles,
) -> None:
    assert (len(files.read("IBM.parquet", "IBM", BAR_SCHEMA)), files.names()) == (0, [])
    assert not files.root.exists()
    told, sha256 = files.update(
        "IBM.parquet", "IBM", BAR_SCHEMA, lambda before: (table(1.0), len(before))
    )
    assert (told, sha256) == (0, sha256_of(files.path("IBM.parquet")))
    before = files.path("IBM.parquet").stat()
    assert files.update("IBM.parquet", "IBM", BAR_SCHEMA, lambda there: (None, len(there))) == (
        1,
        sha256,
    )
    assert files.path("IBM.parquet").stat() == before


def test_a_renamed_table_is_its_new_owners_and_never_lies_over_rows_of_another(
    files: TableFiles,
) -> None:
    def put(name: str, *closes: float) -> None:
        files.update(f"{name}.parquet", name, BAR_SCHEMA, lambda _: (table(*closes), None))

    asked = ("FB.parquet", "META.parquet", ("FB", "META"), BAR_SCHEMA)
    assert not files.rename(*asked), "there is none"
    put("FB", 1.0, 2.0)
    assert files.rename(*asked, only_check=True)
    assert files.names() == ["FB.parquet"]
    put("META", 1.0)  # as a killed rename may leave it: rows are only added
    assert files.rename(*asked)
    assert files.names() == ["META.parquet"]
    assert files.read("META.parquet", "META", BAR_SCHEMA)["close"].to_pylist() == [1.0, 2.0]
    put("FB", 3.0)
    with pytest.raises(
        StoreError, match=r"expected no rows there yet, found some beside FB\.parquet; move one"
    ):
        files.rename(*asked)
    assert files.names() == ["FB.parquet", "META.parquet"]


def test_a_small_file_of_very_many_rows_is_refused_unread() -> None:
    pq.write_table(table := pa.table({"close": [0.0] * 1_000_000}), file := BytesIO())
    with pytest.raises(ValueError, match=r"^damage: 1,000,000 rows in [\d,]{4,6} bytes$"):
        from_bytes(file.getvalue(), "IBM", table.schema, unmarked=True)
