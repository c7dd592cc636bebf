"""Parquet files that are only ever replaced whole: read, checked, and swapped in one step under a lock.

A root may be a local folder or any fsspec address. The lock covers the processes of this machine that share a locks
folder. Beyond it a replacement is compare-and-set: on S3-like stores the server refuses a PUT whose `If-Match` is no
longer true, so two machines cannot lose each other's rows; on other remote file systems the content is compared right
before it is written, which narrows the gap and does not close it.
"""

import hashlib
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa

from stockml.errors import StoreBusy, StoreError, StoreUnreadable
from stockml.storage.files import file_system, write_atomically
from stockml.storage.locks import file_lock
from stockml.storage.table_bytes import Table, as_bytes, from_bytes

ATTEMPTS = 5

Change: TypeAlias = Callable[[Table | None], Table | None]


class _Overtaken(Exception):
    """Somebody else replaced the file between our reading and our writing."""


@dataclass(frozen=True)
class TableFiles:
    """The Parquet files under one root. Nothing is created before the first write."""

    root: str
    locks: Path
    lock_timeout_s: float = 30.0

    def address(self, name: str) -> str:
        """The file's full address, as `fsspec.open` takes it."""
        return str(Path(self._base) / name) if self._local else f"{self.root.rstrip('/')}/{name}"

    def names(self, folder: str = "") -> tuple[str, ...]:
        """The names of the Parquet files right under the root, or under a folder there."""
        try:
            found = self._fs.ls(f"{self._base}/{folder}".rstrip("/"), detail=False)
        except FileNotFoundError:
            return ()
        names = (entry.rstrip("/").rsplit("/", 1)[-1] for entry in found)
        return tuple(sorted(n for n in names if n.endswith(".parquet") and not n.startswith(".")))

    def read(self, name: str, ticker: str, schema: pa.Schema) -> Table | None:
        """The table of a file; None when there is no file. Raises StoreUnreadable, never treats damage as empty."""
        content = self._content(name)
        return None if content is None else self._parsed(content, name, ticker, schema)

    def update(self, name: str, ticker: str, schema: pa.Schema, change: Change) -> tuple[Table | None, str]:
        """Replace a file by what `change` makes of its table, and return that table and the file's SHA-256.

        `change` gets None when there is no file, and returns None to leave everything as it is, byte for byte.
        It may be called again when another machine was faster. Raises StoreUnreadable, StoreBusy, StoreError.
        """
        with self._lock(name):
            for _ in range(ATTEMPTS):
                version = self._version(name)
                content = self._content(name)
                table = None if content is None else self._parsed(content, name, ticker, schema)
                changed = change(table)
                if changed is None:
                    return table, hashlib.sha256(content or b"").hexdigest()
                written = as_bytes(changed, ticker)
                with suppress(_Overtaken):
                    self._replace(name, written, content, version)
                    return changed, hashlib.sha256(written).hexdigest()
        raise StoreBusy(self.address(name), f"replaced by others {ATTEMPTS} times in a row")

    def rename(self, name: str, new_name: str, tickers: tuple[str, str], schema: pa.Schema) -> bool:
        """Move a table to another name and owner (before, after); False when there is none.

        The new file is there before the old one goes. Raises StoreError where the new name holds other rows.
        """
        with self._lock(name):
            table = self.read(name, tickers[0], schema)
            if table is None:
                return False

            def moved(there: Table | None) -> Table | None:
                if there is not None and not there.equals(table):
                    raise StoreError(self.address(new_name), f"expected no rows there yet, found some beside {name}")
                return None if there is not None else table.replace_schema_metadata()

            self.update(new_name, tickers[1], schema, moved)
            self._fs.rm_file(f"{self._base}/{name}")
            return True

    def _lock(self, name: str) -> AbstractContextManager[None]:
        return file_lock(self.locks / f"store-{name.replace('/', '-')}.lock", self.lock_timeout_s)

    @cached_property
    def _fs_and_base(self) -> tuple[Any, str]:
        return file_system(self.root)

    @property
    def _fs(self) -> Any:
        return self._fs_and_base[0]

    @property
    def _base(self) -> str:
        return self._fs_and_base[1]

    @property
    def _local(self) -> bool:
        return bool(self._fs.protocol == "file" or "file" in self._fs.protocol)

    def _content(self, name: str) -> bytes | None:
        try:
            if self._local:
                return (Path(self._base) / name).read_bytes()
            content: bytes = self._fs.cat_file(f"{self._base}/{name}")
        except FileNotFoundError:
            return None
        except OSError as problem:
            raise StoreUnreadable(self.address(name), f"{type(problem).__name__}: {problem}") from problem
        return content

    def _parsed(self, content: bytes, name: str, ticker: str, schema: pa.Schema) -> Table:
        try:
            return from_bytes(content, ticker, schema)
        except ValueError as problem:
            raise StoreUnreadable(self.address(name), str(problem)) from problem

    def _version(self, name: str) -> str | None:
        """The remote object's ETag, None when it is absent or the file system has none."""
        if self._local:
            return None
        try:
            tag = self._fs.info(f"{self._base}/{name}").get("ETag")
        except FileNotFoundError:
            return None
        return None if tag is None else str(tag)

    def _replace(self, name: str, written: bytes, expected: bytes | None, version: str | None) -> None:
        try:
            if self._local:
                self._replace_local(Path(self._base) / name, written)
            else:
                self._replace_remote(name, written, expected, version)
        except OSError as problem:
            why = (
                f"could not be written ({problem}); it was left as it was: make room or restore access, then run again"
            )
            raise StoreError(self.address(name), why) from problem

    def _replace_local(self, path: Path, written: bytes) -> None:
        for orphan in path.parent.glob(f".{path.name}.*.tmp"):
            orphan.unlink(missing_ok=True)  # of a writer that was killed: nobody else holds this lock
        write_atomically(path, written)

    def _replace_remote(self, name: str, written: bytes, expected: bytes | None, version: str | None) -> None:
        path = f"{self._base}/{name}"
        if "s3" in self._fs.protocol:
            condition = {"IfNoneMatch": "*"} if expected is None else {"IfMatch": version}
            try:
                self._fs.pipe_file(path, written, **condition)
            except OSError as problem:
                vanished = expected is not None and isinstance(problem, FileNotFoundError)
                if vanished or "condition" in str(problem).lower():
                    raise _Overtaken from problem
                raise
        elif self._content(name) != expected:
            raise _Overtaken
        else:
            self._fs.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
            self._fs.pipe_file(path, written)
