"""Locks that end with their holder: of a file, of a ticker; and small documents that many processes
change in turn. Separate from `files`, which a served model imports."""

import re
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from stockml.errors import StoreBusy, StoreError
from stockml.home import HomePaths
from stockml.storage.files import read_if_there, refused_by_disk, write_atomically
from stockml.storage.os_errors import check_home

BUSY_S, MOVE_BUSY_S = 30.0, 1.0  # to wait for a lock; a person waits for a rename


@contextmanager
def file_lock(path: Path, timeout_s: float) -> Iterator[None]:
    """Hold the lock `path` for the block's duration.  Raises StoreBusy if it is not free within
    `timeout_s`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        lock = FileLock(path).acquire(timeout_s)
    except Timeout as error:
        raise StoreBusy(str(path), f"waited {timeout_s:.0f} s{_for_whom(path)}") from error
    with lock:
        yield


@contextmanager
def ticker_lock(home: HomePaths, ticker: str, timeout_s: float = BUSY_S) -> Iterator[None]:
    """Hold the ticker's lock: one process at a time works on its files. Raises StoreBusy,
    StoreError."""
    check_home(home)
    with _ticker_lock(home, ticker, timeout_s):
        for error in interrupted_renames(home, {ticker}):
            raise error
        yield


@contextmanager
def rename_lock(home: HomePaths, old: str, new: str) -> Iterator[None]:
    """Hold two tickers' locks while the data of `old` is moved to `new`. Raises StoreBusy,
    StoreError."""
    check_home(home)
    with ExitStack() as stack:
        for ticker in sorted({old, new}):
            stack.enter_context(_ticker_lock(home, ticker, MOVE_BUSY_S))
        yield


def rename_marker(home: HomePaths, old: str, new: str) -> Path:
    """The mark that exists while the files of `old` are moved to `new`, and stays if that is cut
    short."""
    return home.locks / f"{old} {new}.renaming"


def interrupted_renames(
    home: HomePaths, tickers: Collection[str] | None = None
) -> Iterator[StoreError]:
    """Yield the renamings, of these tickers or of any, that were interrupted: each must be finished
    first."""
    for mark in sorted(home.locks.glob("* *.renaming")):
        old, new = mark.stem.split(" ")
        if tickers is None or {old, new} & {*tickers}:
            advice = f"finish it: `stockml tickers rename {old} {new}`"
            yield StoreError(
                str(mark), f"expected {old} renamed to {new}, found that it was cut short; {advice}"
            )


def _ticker_lock(home: HomePaths, ticker: str, timeout_s: float) -> AbstractContextManager[None]:
    return file_lock(home.locks / f"{ticker}.night.lock", timeout_s)


def _for_whom(path: Path, locks: Path = Path("/proc/locks")) -> str:
    """The process that holds the lock, and its command, where the system shows them: on Linux."""
    with suppress(OSError, psutil.Error):
        for pid in re.findall(rf"FLOCK .* (\d+) \S+:{path.stat().st_ino} ", locks.read_text()):
            holder = psutil.Process(int(pid))  # or of a file of that number on another disk
            if any(path.samefile(each.path) for each in holder.open_files()):
                command = " ".join(Path(word).name for word in holder.cmdline())
                return f" for process {pid}: {' '.join(command.split())[:100]}"
    return ""


@dataclass(frozen=True)
class FileNotes:
    """Notes in a folder. Nothing is created before the first lock or write.

    Raises StoreError for whatever the disk refuses, such as a folder in a note's place.
    """

    folder: Path

    def read(self, name: str) -> bytes | None:
        return read_if_there(self.folder / name)

    def write(self, name: str, content: bytes) -> None:
        with refused_by_disk(self.folder / name):
            write_atomically(self.folder / name, content)

    @contextmanager
    def locked(self, name: str, timeout_s: float) -> Iterator[None]:
        path = self.folder / f"{name}.lock"
        with ExitStack() as stack:
            with refused_by_disk(path):
                stack.enter_context(file_lock(path, timeout_s))
            yield

    def place(self, name: str) -> str:
        """Where a note is kept, for a message."""
        return str(self.folder / name)
