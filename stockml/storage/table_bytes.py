"""A table as the bytes of a Parquet file that carries its ticker and a checksum of its rows, and back, or refused."""

import zlib
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

SCHEMA_VERSION = 1
VERSION_KEY, TICKER_KEY = b"stockml.schema_version", b"stockml.ticker"
CHECKSUM_KEY = b"stockml.rows_crc32"
NUMBERS_KEY = b"stockml.crc32"  # of files written before the text columns counted

Table: TypeAlias = pa.Table


def as_bytes(table: Table, ticker: str) -> bytes:
    """Equal tables give equal bytes."""
    metadata = {
        VERSION_KEY: str(SCHEMA_VERSION).encode(),
        TICKER_KEY: ticker.encode(),
        CHECKSUM_KEY: _checksum(table),
    }
    sink = pa.BufferOutputStream()
    pq.write_table(
        table.replace_schema_metadata(metadata),
        sink,
        compression="snappy",
        use_dictionary=["source"],
        write_page_checksum=True,
    )
    content: bytes = sink.getvalue().to_pybytes()
    return content


def from_bytes(content: bytes, ticker: str, schema: pa.Schema, *, unmarked: bool = False) -> Table:
    """The table that `as_bytes` wrote.  unmarked: one that no checksum and no ticker were written into is taken too.

    Raises ValueError, which says what was found instead of it.
    """
    if not content:
        raise ValueError("an empty file")
    try:
        file = pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True)
        table = file.read(use_threads=False)
        names = ", ".join(table.column_names)
    except (pa.ArrowException, OSError, ValueError) as problem:  # ValueError: a name that is no text any more
        raise ValueError(f"damage: {str(problem)[:200]}") from problem
    known = table.schema.metadata or {}
    version, owner = (known.get(key, b"none").decode(errors="replace") for key in (VERSION_KEY, TICKER_KEY))
    bare = unmarked and not any(key.startswith(b"stockml.") for key in known)
    if version != str(SCHEMA_VERSION) and not bare:
        raise ValueError(f"schema version {version}, this program reads {SCHEMA_VERSION}")
    if owner != ticker and not bare:
        raise ValueError(f"a file of {owner}, expected {ticker}")
    if not table.schema.equals(schema):
        raise ValueError(f"columns {names} of unexpected names or types")
    for key, texts in ((CHECKSUM_KEY, True), (NUMBERS_KEY, False)):
        if key in known and known[key] != _checksum(table, texts=texts):
            raise ValueError("damage: the rows are not those that were written")
    return table


def _checksum(table: Table, *, texts: bool = True) -> bytes:
    """CRC of the days, times and numbers, and the texts. Parquet's own do not cover the headers of its pages."""
    crc = len(table)
    for column in table.columns:
        if not pa.types.is_string(column.type):
            crc = zlib.crc32(np.ascontiguousarray(column.to_numpy()).view(np.uint8).data, crc)
        elif texts:
            crc = zlib.crc32(repr(column.to_pylist()).encode(errors="surrogatepass"), crc)
    return f"{crc:08x}".encode()
