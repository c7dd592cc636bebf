"""Files: their SHA-256, and writes that no reader ever sees half done."""

import errno
import hashlib
import os
import threading
from itertools import takewhile
from pathlib import Path
from typing import Any

import fsspec

from stockml.errors import DiskFull

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def sha256_of(address: str) -> str | None:
    """SHA-256 of a file, or of a folder's files in name order; None if nothing is there, or it disappears meanwhile.

    In a folder, names that begin with `_` hold side information (timings, say) and do not count, nor do names with a
    leading dot, such as the temporary file of a killed writer. A file's address may be any fsspec URL; a folder must be
    local.
    """
    local = Path(address)
    try:
        if local.is_dir():
            files = sorted(p for p in local.rglob("*") if p.is_file() and not p.name.startswith(("_", ".")))
            lines = [f"{p.relative_to(local).as_posix()} {hashlib.sha256(p.read_bytes()).hexdigest()}" for p in files]
            return hashlib.sha256("\n".join(lines).encode()).hexdigest()
        fs, path = file_system(address)
        return hashlib.sha256(fs.cat_file(path)).hexdigest()
    except FileNotFoundError:
        return None


def file_system(address: str, answer_s: float = 20.0) -> tuple[Any, str]:
    """The fsspec file system of an address, and the path in it.  answer_s: time-out of each s3fs request."""
    if "://" not in (folder := address.removeprefix("file://")):
        return fsspec.filesystem("file"), folder
    patience = {"connect_timeout": min(5.0, answer_s), "read_timeout": answer_s, "retries": {"max_attempts": 0}}
    of_s3 = {"config_kwargs": patience} if address.startswith("s3:") else {}
    fs, path = fsspec.core.url_to_fs(address, use_listings_cache=False, **of_s3)
    return fs, path


def write_atomically(path: Path, content: bytes) -> None:
    """Write beside the target, fsync, and replace it in one step: a reader sees the old file or the new one.

    The folder is synced too: once this returns, a power cut does not bring the old file back.
    Raises DiskFull, or OSError for any other reason; the old file is then still in place.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        made = list(takewhile(lambda folder: not folder.exists(), path.parents))
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
        for folder in (path, *made):
            sync_folder(folder.parent)
    except OSError as error:
        if error.errno in NO_ROOM:
            raise DiskFull(str(path), error.strerror or str(error)) from error
        raise
    finally:
        beside.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """fsync a folder, so that the names in it survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
