"""Small documents that many processes change in turn: files on one machine, rows of a database on many."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from stockml.home import Home
from stockml.storage.database import Database
from stockml.storage.files import file_lock, write_atomically


class Notes(Protocol):
    """Documents by name, and a lock by name under which one is read and written."""

    def read(self, name: str) -> bytes | None: ...
    def write(self, name: str, content: bytes) -> None: ...
    def locked(self, name: str, timeout_s: float) -> AbstractContextManager[None]: ...
    def place(self, name: str) -> str:
        """Where it stands, for a message."""


@dataclass(frozen=True)
class FileNotes:
    """In a folder, for the processes of this machine. Nothing is made before the first lock or write."""

    folder: Path

    def read(self, name: str) -> bytes | None:
        try:
            return (self.folder / name).read_bytes()
        except FileNotFoundError:
            return None

    def write(self, name: str, content: bytes) -> None:
        write_atomically(self.folder / name, content)

    def locked(self, name: str, timeout_s: float) -> AbstractContextManager[None]:
        return file_lock(self.folder / f"{name}.lock", timeout_s)

    def place(self, name: str) -> str:
        return str(self.folder / name)


def notes_of(home: Home, folder: Path) -> Notes:
    """Those that stand in `folder`, one of the home's own; where its state is shared, in its database."""
    if home.database is None:
        return FileNotes(folder)
    return Database(home.database, f"{home.state} {folder.name}")
