"""A file of notices, one line each: the last resort of a person who reads no mail."""

from datetime import datetime
from pathlib import Path

from stockml.home import Home
from stockml.redaction import excerpt

LONGEST = 1_000


def append_notice(home: Home, what: str, at: datetime) -> Path:
    """Add a line to `notices.log`: the moment, and what happened without line breaks and keys."""
    path = home.root / "notices.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(f"{at.isoformat(timespec='seconds')} {excerpt(what, LONGEST)}\n")
    return path
