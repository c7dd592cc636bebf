"""A file lock that ends with its holder. Separate from `files`, which a served model imports: it needs no locks."""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from stockml.errors import StoreBusy


@contextmanager
def file_lock(path: Path, timeout_s: float) -> Iterator[None]:
    """Hold the lock `path` for the block's duration.  Raises StoreBusy if it is not free within `timeout_s`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        lock = FileLock(path).acquire(timeout_s)
    except Timeout as error:
        raise StoreBusy(str(path), f"waited {timeout_s:.0f} s{_for_whom(path)}") from error
    with lock:
        yield


def _for_whom(path: Path, locks: Path = Path("/proc/locks")) -> str:
    """The process that holds the lock, and its command, where the system shows them: on Linux."""
    with suppress(OSError, psutil.Error):
        for pid in re.findall(rf"FLOCK .* (\d+) \S+:{path.stat().st_ino} ", locks.read_text()):
            holder = psutil.Process(int(pid))  # or of a file of that number on another disk
            if any(path.samefile(each.path) for each in holder.open_files()):
                command = " ".join(Path(word).name for word in holder.cmdline())
                return f" for process {pid}: {' '.join(command.split())[:100]}"
    return ""
