"""Objects at an address, such as `s3://bucket/prefix`, or in a folder: hashed, and replaced by compare-and-swap.

On S3-like stores the server refuses a PUT whose `If-Match` no longer holds, so two machines cannot lose each other's
writes; elsewhere the content is compared just before it is written, which narrows the gap but does not close it.
"""

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.dirfs import DirFileSystem
from tenacity import retry, retry_if_exception, stop_after_delay, wait_fixed

from stockml.errors import StoreError
from stockml.storage.files import write_atomically

AT_ONCE = 64  # requests
TRIES = 2  # of a request without an answer in time: with s3fs's five, a silent store cost a command 104 seconds
TRANSIENT_STATUSES = (500, 502, 503, 504)  # a fault within, a store that restarts, or requests too fast


def sha256_of(address: str | Path) -> str | None:
    """SHA-256 of a file, or of a folder's files in name order; None if nothing is there, or it disappears meanwhile.

    In a folder, names that begin with `_` hold side information (timings, say) and do not count, nor do names with a
    leading dot, such as the temporary file of a killed writer. A file's address may be any fsspec URL; a folder must be
    local. Raises StoreError for a remote address that does not answer.
    """
    if "://" in (path := str(address).removeprefix("file://")):
        root, _, name = path.rpartition("/")
        content = Objects(root).read(name).content
        return None if content is None else hashlib.sha256(content).hexdigest()
    local = Path(path)
    with suppress(FileNotFoundError):
        if not local.is_dir():
            return hashlib.sha256(local.read_bytes()).hexdigest()
        files = sorted(p for p in local.rglob("*") if p.is_file() and not p.name.startswith(("_", ".")))
        lines = [f"{p.relative_to(local).as_posix()} {hashlib.sha256(p.read_bytes()).hexdigest()}" for p in files]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()
    return None


class WriteConflict(Exception):
    """Somebody else replaced the object between our read and our write."""


@dataclass(frozen=True)
class StoredObject:
    """An object as read: its content, None if there is none, and the version by which the server knows it."""

    content: bytes | None
    version: str | None = None


def _is_transient(error: BaseException) -> bool:
    """Whether the connection was refused or cut, as while an object store restarts, or the store is too busy."""
    if error.__cause__ is None:
        return False
    try:
        from botocore.exceptions import ClientError, ConnectionClosedError, ConnectionError
    except ImportError:  # no S3: a folder, or another kind of store
        return False
    cause = error.__cause__.__cause__  # s3fs makes an OSError of it
    if isinstance(cause, ClientError):
        return cause.response.get("ResponseMetadata", {}).get("HTTPStatusCode") in TRANSIENT_STATUSES
    return isinstance(error.__cause__, ConnectionClosedError | ConnectionError)


_retried = retry(  # every decorated call of Objects is safe to repeat
    retry=retry_if_exception(_is_transient),
    wait=wait_fixed(1),
    stop=lambda call: stop_after_delay(call.args[0].retry_for_s)(call),
    reraise=True,
)


@dataclass(frozen=True)
class Objects:
    """The objects under one root. Raises StoreError for what the server or the disk refuses.

    request_timeout_s: time-out of each request to S3.  retry_for_s: how long to wait for a server that is restarting.
    """

    root: str
    request_timeout_s: float = 20.0
    retry_for_s: float = 30.0

    def address(self, name: str) -> str:
        return str(self.folder / name) if self.folder else f"{self.root.rstrip('/')}/{name}"

    @_retried
    def read(self, name: str, version: str | None = None) -> StoredObject:
        """Read the version, then the content: if the object changes in between, a later `replace` is refused.

        version: as it was listed just before, which saves a request.
        """
        with self._refused(name):
            try:
                version = version or self._fs.info(name).get("ETag")
                return StoredObject(self._fs.cat_file(name), version)
            except FileNotFoundError:
                self._check_bucket(name)
                return StoredObject(None)

    @_retried
    def replace(self, name: str, content: bytes, stored: StoredObject) -> None:
        """Write `content` if the object is still as in `stored`. Raises WriteConflict.

        On S3, not if it already is `content`: an earlier try may have written it and lost the answer."""
        with self._refused(name):
            if not self._is_s3:
                if self.read(name).content != stored.content:
                    raise WriteConflict
                self._write({name: content})
                return
            condition = {"IfNoneMatch": "*"} if stored.content is None else {"IfMatch": stored.version}
            try:
                self._check_written([self._fs.pipe_file(name, content, **condition)])
            except OSError as error:
                vanished = stored.content is not None and isinstance(error, FileNotFoundError)
                if not vanished and "condition" not in f"{error} {error.__cause__}".lower():  # may be only its code
                    raise
                if self.read(name).content != content:
                    raise WriteConflict from error

    @_retried
    def put(self, contents: Mapping[str, bytes]) -> None:
        """Write objects unconditionally: named by their content, or otherwise safe from other writers."""
        with self._refused(next(iter(contents), "")):
            self._write(contents)

    @_retried
    def fetch(self, names: Collection[str]) -> dict[str, bytes]:
        """The contents of these objects, requested together. Raises StoreError also if one is missing."""
        ordered = list(names)
        with self._refused(next(iter(ordered), "")):
            try:
                contents = self._fs.cat_ranges(ordered, None, None, on_error="raise") if ordered else []
            except FileNotFoundError as missing:
                raise StoreError(self.root, f"expected objects that it names, found one missing ({missing})") from None
            return dict(zip(ordered, contents, strict=True))

    @_retried
    def names(self, folder: str) -> dict[str, dict[str, Any]]:
        """The objects under a folder, at any depth: by name, the file system's details of each."""
        with self._refused(folder):
            try:
                objects: dict[str, dict[str, Any]] = self._fs.find(folder, detail=True)
            except FileNotFoundError:
                self._check_bucket(folder)
                if self._is_s3:  # which lists an empty folder as nothing: this is a refusal
                    raise
                return {}
            return objects

    def written_at(self, name: str, details: Mapping[str, Any]) -> datetime:
        """When the object, listed with these details, was written; now, if it is gone or the store has no time."""
        moment = datetime.now(UTC)
        with self._refused(name), suppress(FileNotFoundError, NotImplementedError):
            moment = details.get("LastModified") or self._fs.modified(name)
        return moment

    @_retried
    def remove(self, names: Collection[str]) -> None:
        """Delete these objects. Raises StoreError also if the first is still there."""
        with self._refused(""):
            if removed := list(names):
                self._fs.rm(removed)
                if self._fs.exists(removed[0]):  # s3fs does not report refusals
                    why = "expected it to be deleted, found it still there; allow this login to delete objects"
                    raise StoreError(self.address(removed[0]), f"{why}, then run again")

    @cached_property
    def folder(self) -> Path | None:
        """The root as a local folder; None for a remote address."""
        scheme, separator, path = self.root.rpartition("://")
        return Path(path) if not separator or scheme == "file" else None

    def open(self) -> None:
        """Make the client: threads would each make their own, which takes longer than a request."""
        _ = self._fs

    def _check_bucket(self, name: str) -> None:
        """Raise StoreError if there is no bucket, as at a mistyped address."""
        if self._is_s3:
            bucket = self._fs.path.partition("/")[0]
            try:
                is_there = bool(bucket and self._fs.fs.info(bucket))
            except FileNotFoundError:
                is_there = False
            except PermissionError:  # of a login that sees only its folder
                is_there = True
            if not is_there:
                raise StoreError(self.address(name), "expected a bucket, found none; create it, or correct the address")

    def _write(self, contents: Mapping[str, bytes]) -> None:
        if self.folder:
            for name, content in contents.items():
                write_atomically(self.folder / name, content)
            return
        if not self._is_s3:
            for name in contents:
                self._fs.makedirs(name.rpartition("/")[0], exist_ok=True)
        self._check_written(self._fs.pipe(dict(contents)) or ())

    def _check_written(self, answers: Iterable[Mapping[str, Any] | None]) -> None:
        """Raise OSError if an answer to a PUT lacks the store's ETag, as a login page would."""
        if any(answer is not None and not answer.get("ETag") for answer in answers):
            raise OSError("another program answered in its place: expected an ETag, found none")

    @cached_property
    def _fs(self) -> Any:
        if self.folder:
            return DirFileSystem(str(self.folder), fsspec.filesystem("file"))
        s3_options: dict[str, Any] = {}
        if self.root.startswith("s3:"):
            waits = {"connect_timeout": min(5.0, self.request_timeout_s), "read_timeout": self.request_timeout_s}
            config = waits | {"retries": {"max_attempts": 0}, "max_pool_connections": AT_ONCE}
            # an object is read in one request, not in several after one for its size
            s3_options = {"config_kwargs": config, "max_concurrency": 1}
        fs, path = fsspec.core.url_to_fs(self.root, use_listings_cache=False, **s3_options)
        if s3_options:
            fs.retries = TRIES
        return DirFileSystem(path.rstrip("/"), fs)

    @property
    def _is_s3(self) -> bool:
        return "s3" in self._fs.fs.protocol

    @contextmanager
    def _refused(self, name: str) -> Iterator[None]:
        try:
            yield
        except (WriteConflict, StoreError):
            raise
        except Exception as error:  # botocore, aiohttp and fsspec raise a dozen types
            why = f"could not be read or written ({type(error).__name__}: {error}); it was left as it is"
            advice = "see that the address answers and that you may use it"
            way_on = "make room or restore access" if self.folder else advice
            raise StoreError(self.address(name), f"{why}: {way_on}, then run again") from error
