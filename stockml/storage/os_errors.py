"""Messages on files that the system refuses. Separate from `files`, on which a night's numbers
depend."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from stockml.errors import RecordUnreadable, StockmlError, StoreError
from stockml.home import HomePaths
from stockml.storage.files import NO_ROOM

RESTORING = "restoring"  # in a home's locks: the command that is restoring it
HOME_CONTENT = ("", "prices.json", "store", "ledger", "nights", "models", "pretrained", "settings")


def refused(error: OSError | StockmlError) -> str:
    """The system's refusal as one line: which file, why, and what to do. Our own errors say so
    already."""
    if isinstance(error, StockmlError):
        return str(error)
    why, file = error.strerror or str(error), error.filename2 or error.filename
    prefix = f"{file}: " if file else ""
    if error.errno in NO_ROOM:
        return (
            f"{prefix}expected room on the disk, found none ({why}); make room, then run this again"
        )
    if isinstance(error, IsADirectoryError):
        return (
            f"{prefix}expected a file, found a folder; name another, or move it away, then run "
            "this again"
        )
    return f"{prefix}{why}; see that it is there, and that you may read and write it"


def unreadable(path: Path, error: OSError | ValueError) -> RecordUnreadable:
    """The error of a record that cannot be read; one that is merely closed to this user is not to
    be moved away."""
    if isinstance(error, PermissionError):
        return RecordUnreadable(
            str(path), error.strerror or str(error), "see that you may read and write it"
        )
    return RecordUnreadable(str(path), str(error))


def check_home(home: HomePaths, *, restoring: bool = False) -> None:
    """Raise StoreError if a home's content is behind a dangling link, as of an unmounted disk; or,
    unless `restoring`, if a restore was cut short. Otherwise the home would seem empty, and be
    begun anew.
    """
    check_links(home.root / name for name in HOME_CONTENT)
    if not restoring and (mark := home.locks / RESTORING).is_file():
        why = "expected a home that was restored whole, found that this was cut short"
        finish = f"finish it: `{mark.read_text(encoding='utf-8')}`"
        raise StoreError(
            str(home.root),
            f"{why}; {finish}, or, without that archive, remove {mark} to go on as it is",
        )


def check_links(paths: Iterable[Path]) -> None:
    """Raise StoreError for the first of these that is a dangling link."""
    for path in paths:
        if path.is_symlink() and not path.exists():
            why = (
                f"expected what is kept there, found a link to {os.readlink(path)}, where nothing "
                "is"
            )
            raise StoreError(
                str(path),
                f"{why}; mount that disk or bring it back, or remove the link to begin anew",
            )


def closed_to_us(path: Path) -> Iterator[Path]:
    """The files that this user may not read, and the folders that it may not change: the path, and
    all below it."""
    yield from filter(_is_closed, [path])
    for parent, folders, files in os.walk(path):
        yield from filter(_is_closed, (Path(parent, name) for name in (*folders, *files)))


def _is_closed(path: Path) -> bool:
    mode = os.R_OK | os.W_OK | os.X_OK if os.path.isdir(path) else os.R_OK
    # a dangling link is no matter of rights
    return not os.access(path, mode) and os.path.exists(path)


def unfinished_rename(old: str, ticker: str) -> str:
    """The advice where data of `old` has another ticker's name; the caller appends the
    alternative."""
    return f"if {old} was to be renamed, finish it: `stockml tickers rename {old} {ticker}`; else "
