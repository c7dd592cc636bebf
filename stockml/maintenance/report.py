"""What is told: of the weekly maintenance, as Markdown; and in a file of notices, the last resort
for a person who reads no mail."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from rich.filesize import decimal

from stockml.errors import quantity
from stockml.home import HomePaths
from stockml.redaction import escape_markdown, excerpt
from stockml.storage.files import write_atomically
from stockml.storage.locks import file_lock

MAX_LISTED = 50  # things named per step; the table has their number
MAX_NOTICE, MAX_NOTICES = 1_000, 1_000  # characters of a line; lines


@dataclass(frozen=True)
class StepReport:
    """One step's result. `size`: in bytes, if known; `failed`: what kept the step from its work."""

    name: str
    count: int = 0
    size: int | None = None
    things: tuple[str, ...] = ()
    failed: str | None = None


def markdown(steps: Sequence[StepReport], *, dry_run: bool) -> str:
    """A table with one row per step, then the things of each step."""
    done = "would do (dry run: nothing was changed)" if dry_run else "did"
    text = f"## What maintenance {done}\n\n| step | things | size |\n|---|--:|--:|"
    for step in steps:
        size = "–" if step.size is None else decimal(step.size)
        count = f"not done: {step.failed}" if step.failed else step.count
        text += f"\n| {step.name} | {count} | {size} |"
    for step in (step for step in steps if step.things):
        text += "\n".join([f"\n\n### {step.name}\n", *(f"- {x}" for x in step.things[:MAX_LISTED])])
        more = len(step.things) - MAX_LISTED
        text += f"\n- and {more} more" if more > 0 else ""
    return escape_markdown(text)


def summary(steps: Sequence[StepReport]) -> str:
    """One line: how much went, or would go, and which steps could not be done."""
    things, size = sum(step.count for step in steps), sum(step.size or 0 for step in steps)
    failed = [f"{step.name}: {step.failed}" for step in steps if step.failed]
    line = f"{quantity(things, 'thing')}, {decimal(size)}" if things else "nothing was due"
    return f"{line}. Not done: {'; '.join(failed)}" if failed else line


def append_notice(home: HomePaths, what: str, at: datetime) -> None:
    """Append the time and what happened, without line breaks or keys, to `notices.log`. Raises
    StoreBusy, DiskFull."""
    path = home.root / "notices.log"
    with file_lock(home.locks / "notices.lock", timeout_s=30):
        earlier = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
        line = f"{at.isoformat(timespec='seconds')} {excerpt(what, MAX_NOTICE)}".encode()
        write_atomically(path, b"".join(each + b"\n" for each in [*earlier, line][-MAX_NOTICES:]))
