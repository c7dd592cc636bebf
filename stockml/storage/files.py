"""Writes that no reader ever sees half done."""

import errno
import os
import threading
from itertools import takewhile
from pathlib import Path

from stockml.errors import DiskFull

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def write_atomically(path: Path, content: bytes) -> None:
    """Write beside the target, fsync, and replace it in one step: a reader sees the old file or the new one.

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


def sync_folder(folder: Path) -> None:
    """fsync a folder, so that the names in it survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
