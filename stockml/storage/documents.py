"""Small documents that many processes change in turn: files in a folder of the home, each with a
lock."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from stockml.storage.files import read_if_there, refused_by_disk, write_atomically
from stockml.storage.locks import file_lock


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
