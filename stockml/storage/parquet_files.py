"""Parquet files that are only ever replaced whole: read, checked, and swapped in one step under a lock.

A root may be a local folder or any fsspec address. The lock covers the processes of this machine that share a locks
folder. Beyond it a replacement is compare-and-set (`objects`).
"""

import hashlib
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import pyarrow as pa

from stockml.errors import StoreBusy, StoreError, StoreUnreadable
from stockml.storage.files import file_lock, write_atomically
from stockml.storage.objects import Found, Objects, Overtaken
from stockml.storage.table_bytes import Table, as_bytes, from_bytes

ATTEMPTS = 5

T = TypeVar("T")


@dataclass(frozen=True)
class TableFiles:
    """The Parquet files under one root; one that is not there is an empty table, and nothing is made before a write."""

    root: str
    locks: Path
    lock_timeout_s: float = 30.0

    def address(self, name: str) -> str:
        """The file's full address, as `fsspec.open` takes it."""
        return str(self._local / name) if self._local else self._objects.address(name)

    def names(self, folder: str = "") -> tuple[str, ...]:
        """The names of the Parquet files right under the root, or under a folder there."""
        if self._local:
            names = [path.name for path in (self._local / folder).glob("*")]
        else:
            within = f"{folder}/" if folder else ""
            found = (name.removeprefix(within) for name in self._objects.names(folder))
            names = [name for name in found if "/" not in name]
        return tuple(sorted(n for n in names if n.endswith(".parquet") and not n.startswith(".")))

    def read(self, name: str, ticker: str, schema: pa.Schema) -> Table:
        """The table of a file. Raises StoreUnreadable, never treats damage as empty."""
        return self._parsed(self._found(name).content, name, ticker, schema)

    def update(
        self, name: str, ticker: str, schema: pa.Schema, change: Callable[[Table], tuple[Table | None, T]]
    ) -> tuple[T, str]:
        """Replace a file by what `change` makes of its table; what else `change` returns, and the file's SHA-256.

        Of None as the table everything stays as it is, byte for byte. `change` may be called again when another machine
        was faster. Raises StoreUnreadable, StoreBusy, StoreError.
        """
        with self._lock(name):
            for _ in range(ATTEMPTS):
                found = self._found(name)
                changed, told = change(self._parsed(found.content, name, ticker, schema))
                if changed is None:
                    return told, hashlib.sha256(found.content or b"").hexdigest()
                written = as_bytes(changed, ticker)
                with suppress(Overtaken):
                    self._replace(name, written, found)
                    return told, hashlib.sha256(written).hexdigest()
        raise StoreBusy(self.address(name), f"replaced by others {ATTEMPTS} times in a row")

    def rename(self, name: str, new_name: str, tickers: tuple[str, str], schema: pa.Schema) -> bool:
        """Move a table to another name and owner (before, after); False when there is none.

        The new file is there before the old one goes. Raises StoreError where the new name holds other rows.
        """
        with self._lock(name):
            table = self.read(name, tickers[0], schema)
            if not len(table):
                return False

            def moved(there: Table) -> tuple[Table | None, None]:
                if len(there) and not there.equals(table):
                    raise StoreError(self.address(new_name), f"expected no rows there yet, found some beside {name}")
                return None if len(there) else table.replace_schema_metadata(), None

            self.update(new_name, tickers[1], schema, moved)
            if self._local:
                (self._local / name).unlink()
            else:
                self._objects.remove([name])
            return True

    def _lock(self, name: str) -> AbstractContextManager[None]:
        return file_lock(self.locks / f"store-{name.replace('/', '-')}.lock", self.lock_timeout_s)

    @cached_property
    def _objects(self) -> Objects:
        return Objects(self.root)

    @property
    def _local(self) -> Path | None:
        """The folder; None for an address elsewhere."""
        scheme, found, path = self.root.rpartition("://")
        return Path(path) if not found or scheme == "file" else None

    def _found(self, name: str) -> Found:
        try:
            return Found((self._local / name).read_bytes()) if self._local else self._objects.read(name)
        except FileNotFoundError:
            return Found(None)
        except OSError as problem:
            raise StoreUnreadable(self.address(name), f"{type(problem).__name__}: {problem}") from problem

    def _parsed(self, content: bytes | None, name: str, ticker: str, schema: pa.Schema) -> Table:
        if content is None:
            return schema.empty_table()
        try:
            return from_bytes(content, ticker, schema)
        except ValueError as problem:
            raise StoreUnreadable(self.address(name), str(problem)) from problem

    def _replace(self, name: str, written: bytes, found: Found) -> None:
        if not self._local:
            self._objects.replace(name, written, found)
            return
        path = self._local / name
        try:
            for orphan in path.parent.glob(f".{path.name}.*.tmp"):
                orphan.unlink(missing_ok=True)  # of a writer that was killed: nobody else holds this lock
            write_atomically(path, written)
        except OSError as problem:
            what = f"could not be written ({problem}); it was left as it was"
            raise StoreError(str(path), f"{what}: make room or restore access, then run again") from problem
