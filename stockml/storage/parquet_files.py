"""Parquet files that carry a ticker and a checksum of their rows, and are replaced whole, in one
step, under a lock."""

import hashlib
import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import TypeAlias, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from stockml.errors import StoreError, StoreUnreadable
from stockml.storage.files import read_if_there, refused_by_disk, write_atomically
from stockml.storage.locks import file_lock

T = TypeVar("T")

SCHEMA_VERSION = 1
VERSION_KEY, TICKER_KEY = b"stockml.schema_version", b"stockml.ticker"
CHECKSUM_KEY = b"stockml.rows_crc32"
NUMBERS_KEY = b"stockml.crc32"  # in files written before text columns counted

Table: TypeAlias = pa.Table


@dataclass(frozen=True)
class TableFiles:
    """The Parquet files under one root; a missing file is an empty table, and nothing is created
    before a write."""

    root: Path
    locks: Path
    lock_timeout_s: float = 30.0

    def path(self, name: str) -> Path:
        return self.root / name

    def names(self) -> list[str]:
        """The names of the Parquet files under the root, such as `IBM.parquet` and
        `history/IBM.parquet`."""
        return sorted(
            path.relative_to(self.root).as_posix() for path in self.root.rglob("*.parquet")
        )

    def read(self, name: str, ticker: str, schema: pa.Schema) -> Table:
        """The table in a file. Raises StoreUnreadable; never treats damage as empty."""
        return self._parsed(read_if_there(self.path(name)), name, ticker, schema)

    def update(
        self,
        name: str,
        ticker: str,
        schema: pa.Schema,
        change: Callable[[Table], tuple[Table | None, T]],
    ) -> tuple[T, str]:
        """Replace a file's table by the one `change` returns; return `change`'s second value and
        the file's SHA-256.

        If `change` returns None as the table, the file stays as it is, byte for byte.
        Raises StoreUnreadable, StoreBusy, StoreError.
        """
        with self._lock(name):
            stored = read_if_there(self.path(name))
            changed, result = change(self._parsed(stored, name, ticker, schema))
            if changed is None:
                return result, hashlib.sha256(stored or b"").hexdigest()
            written = as_bytes(changed, ticker)
            self._replace(name, written)
            return result, hashlib.sha256(written).hexdigest()

    def rename(
        self,
        name: str,
        new_name: str,
        tickers: tuple[str, str],
        schema: pa.Schema,
        *,
        only_check: bool = False,
    ) -> bool:
        """Move a table to another name and owner, `tickers` (before, after); False if it has no
        rows.

        The new file is written before the old one is removed. Raises StoreError if the new name has
        rows of its own. only_check: move nothing.
        """
        with self._lock(name):
            table = self.read(name, tickers[0], schema)
            if not len(table):
                return False

            def moved(there: Table) -> tuple[Table | None, None]:
                if not there.equals(table[: len(there)]):  # equal rows are those of a killed rename
                    why = (
                        f"expected no rows there yet, found some beside {name}; move one of them "
                        "away"
                    )
                    raise StoreError(str(self.path(new_name)), why)
                return None if only_check else table, None

            self.update(new_name, tickers[1], schema, moved)
            if not only_check:
                with refused_by_disk(self.path(name)):
                    self.path(name).unlink()
            return True

    def _lock(self, name: str) -> AbstractContextManager[None]:
        """One lock for the files of a name in all folders, so that a change to one may depend on
        the others."""
        return file_lock(self.locks / f"store-{name.rpartition('/')[2]}.lock", self.lock_timeout_s)

    def _parsed(self, content: bytes | None, name: str, ticker: str, schema: pa.Schema) -> Table:
        if content is None:
            return schema.empty_table()
        try:
            return from_bytes(content, ticker, schema)
        except ValueError as problem:
            raise StoreUnreadable(str(self.path(name)), str(problem)) from problem

    def _replace(self, name: str, written: bytes) -> None:
        path = self.path(name)
        with refused_by_disk(path):
            for orphan in path.parent.glob(f".{path.name}.*.tmp"):
                # left by a writer that was killed: only we hold the lock
                orphan.unlink(missing_ok=True)
            write_atomically(path, written)


def as_bytes(table: Table, ticker: str) -> bytes:
    """The table as Parquet; equal tables give equal bytes."""
    metadata = {
        VERSION_KEY: str(SCHEMA_VERSION).encode(),
        TICKER_KEY: ticker.encode(),
        CHECKSUM_KEY: _checksum(table),
    }
    content = BytesIO()
    pq.write_table(
        table.replace_schema_metadata(metadata),
        content,
        compression="snappy",
        use_dictionary=["source"],
        write_page_checksum=True,
    )
    return content.getvalue()


def from_bytes(content: bytes, ticker: str, schema: pa.Schema, *, unmarked: bool = False) -> Table:
    """The table that `as_bytes` wrote; `unmarked` allows one without checksum and ticker too.
    Raises ValueError."""
    if not content:
        raise ValueError("an empty file")
    try:
        file = pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True)
        # a row takes 2 bytes at least
        batches = islice(file.iter_batches(len(content), use_threads=False), 1)
        table = pa.Table.from_batches(batches, file.schema_arrow)
        if len(table) != file.metadata.num_rows:
            raise ValueError(f"{file.metadata.num_rows:,} rows in {len(content):,} bytes")
        names = ", ".join(table.column_names)
    except (
        pa.ArrowException,
        OSError,
        ValueError,
    ) as problem:  # ValueError: a column name is damaged
        raise ValueError(f"damage: {str(problem)[:200]}") from problem
    metadata = table.schema.metadata or {}
    version, owner = (
        metadata.get(key, b"none").decode(errors="replace") for key in (VERSION_KEY, TICKER_KEY)
    )
    is_bare = unmarked and not any(key.startswith(b"stockml.") for key in metadata)
    if version != str(SCHEMA_VERSION) and not is_bare:
        raise ValueError(f"schema version {version}, this program reads {SCHEMA_VERSION}")
    if owner != ticker and not is_bare:
        raise ValueError(f"a file of {owner}, expected {ticker}")
    if not table.schema.equals(schema):
        raise ValueError(f"columns {names} of unexpected names or types")
    for key, texts in ((CHECKSUM_KEY, True), (NUMBERS_KEY, False)):
        if key in metadata and metadata[key] != _checksum(table, texts=texts):
            raise ValueError("damage: the rows are not those that were written")
    return table


def _checksum(table: Table, *, texts: bool = True) -> bytes:
    """CRC-32 of all values, text columns only with `texts`. Parquet's own checksums do not cover
    page headers."""
    crc = len(table)
    for column in table.columns:
        if not pa.types.is_string(column.type):
            crc = zlib.crc32(np.ascontiguousarray(column.to_numpy()).view(np.uint8).data, crc)
        elif texts:
            crc = zlib.crc32(repr(column.to_pylist()).encode(errors="surrogatepass"), crc)
    return f"{crc:08x}".encode()
