"""A file of notices, one line each: the last resort for a person who reads no mail."""

from datetime import datetime

from stockml.home import HomePaths
from stockml.redaction import excerpt
from stockml.storage.files import write_atomically
from stockml.storage.locks import file_lock

MAX_LENGTH = 1_000  # of a line
MAX_LINES = 1_000


def append_notice(home: HomePaths, what: str, at: datetime) -> None:
    """Append the time and what happened, without line breaks or keys, to `notices.log`. Raises
    StoreBusy, DiskFull."""
    path = home.root / "notices.log"
    with file_lock(home.locks / "notices.lock", timeout_s=30):
        earlier = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
        line = f"{at.isoformat(timespec='seconds')} {excerpt(what, MAX_LENGTH)}".encode()
        write_atomically(path, b"".join(each + b"\n" for each in [*earlier, line][-MAX_LINES:]))
