"""What is said of a file that the system refuses. Separate from `files`, which a night's numbers rest on."""

from pathlib import Path

from stockml.errors import RecordUnreadable
from stockml.storage.files import NO_ROOM


def refused(error: OSError) -> str:
    """What the system refused, in a line for a message: which file it is, and what to do."""
    why, file = error.strerror or str(error), error.filename2 or error.filename
    place = f"{file}: " if file else ""
    if error.errno in NO_ROOM:
        return f"{place}expected room on the disk, found none ({why}); make room, then run this again"
    return f"{place}{why}; see that it is there, and that you may read and write it"


def unreadable(path: Path, error: OSError | ValueError) -> RecordUnreadable:
    """The error of a record that cannot be read; one that is merely closed to this user is not to be moved away."""
    if isinstance(error, PermissionError):
        return RecordUnreadable(str(path), error.strerror or str(error), "see that you may read and write it")
    return RecordUnreadable(str(path), str(error))
