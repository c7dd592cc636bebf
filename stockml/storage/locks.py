"""A file lock that ends with its holder. Separate from `files`, which a served model imports: it needs no locks."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from stockml.errors import StoreBusy


@contextmanager
def file_lock(path: Path, timeout_s: float) -> Iterator[None]:
    """Hold the lock `path` for the block's duration.  Raises StoreBusy if it is not free within `timeout_s`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        held = FileLock(path).acquire(timeout_s)
    except Timeout as error:
        raise StoreBusy(str(path), f"waited {timeout_s:.0f} s") from error
    with held:
        yield
