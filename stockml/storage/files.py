"""Files read and hashed, and writes that no reader ever sees half done."""

import errno
import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import takewhile
from pathlib import Path

from stockml.errors import DiskFull, StoreError

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def write_atomically(path: Path, content: bytes) -> None:
    """Write beside the target, fsync, and replace it in one step: a reader sees the old file or the
    new one.

    The folder is synced too: once this returns, a power cut does not bring the old file back.
    Raises DiskFull, or OSError for any other reason; the old file is then still in place.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        new_folders = list(takewhile(lambda folder: not folder.exists(), path.parents))
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        for folder in (path, *new_folders):
            sync_folder(folder.parent)
    except OSError as error:
        if error.errno in NO_ROOM:
            raise DiskFull(str(path), error.strerror or str(error)) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def read_if_there(path: Path) -> bytes | None:
    """The file's content; None if there is no file. Raises StoreError."""
    with refused_by_disk(path), suppress(FileNotFoundError):
        return path.read_bytes()
    return None


def sha256_of(path: str | Path) -> str | None:
    """SHA-256 of a file, or of a folder's files in name order; None if nothing is there, or it
    disappears meanwhile.

    In a folder, names that begin with `_` hold side information (timings, say) and do not count,
    nor do names with a leading dot, such as the temporary file of a killed writer.
    """
    path = Path(path)
    with suppress(FileNotFoundError):
        if not path.is_dir():
            return hashlib.sha256(path.read_bytes()).hexdigest()
        files = sorted(
            p for p in path.rglob("*") if p.is_file() and not p.name.startswith(("_", "."))
        )
        lines = [
            f"{p.relative_to(path).as_posix()} {hashlib.sha256(p.read_bytes()).hexdigest()}"
            for p in files
        ]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()
    return None


@contextmanager
def refused_by_disk(path: Path) -> Iterator[None]:
    """Raise StoreError for whatever the system refuses in the block, DiskFull where there is no
    room."""
    try:
        yield
    except OSError as error:
        if error.errno in NO_ROOM:
            raise DiskFull(str(path), error.strerror or str(error)) from error
        why = (
            "expected a file that can be read and written, found another "
            f"({error.strerror or error})"
        )
        way_back = "it was left as it is: move it away, or restore access, and run again"
        raise StoreError(str(path), f"{why}; {way_back}") from error


def sync_folder(folder: Path) -> None:
    """fsync a folder, so that the names in it survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
