"""What the weekly maintenance did, or would do, as Markdown: one line per step, and what was removed."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.filesize import decimal

from stockml.errors import quantity
from stockml.redaction import escape_markdown

MAX_LISTED = 50  # things named per step; the table has their number


@dataclass(frozen=True)
class StepReport:
    """One step's result. `size`: in bytes, None where unknown; `failed`: what kept the step from its work."""

    name: str
    count: int = 0
    size: int | None = None
    things: tuple[str, ...] = ()
    failed: str | None = None


def markdown(steps: Sequence[StepReport], *, dry_run: bool) -> str:
    """A table with one row per step, then the things of each step."""
    title = "What maintenance would do (dry run: nothing was changed)" if dry_run else "What maintenance did"
    rows = ["| step | things | size |", "|---|--:|--:|", *(_row(step) for step in steps)]
    return escape_markdown(
        "\n\n".join([f"## {title}", "\n".join(rows), *(_listed(step) for step in steps if step.things)])
    )


def summary(steps: Sequence[StepReport]) -> str:
    """One line: how much went, or would go, and which steps could not be done."""
    things, size = sum(step.count for step in steps), sum(step.size or 0 for step in steps)
    failed = [f"{step.name}: {step.failed}" for step in steps if step.failed]
    line = f"{quantity(things, 'thing')}, {size_text(size)}" if things else "nothing was due"
    return f"{line}. Not done: {'; '.join(failed)}" if failed else line


def size_text(size: int) -> str:
    """Bytes with a unit: 999 B, 1.0 kB, 2.5 MB."""
    return f"{size} B" if size < 1000 else decimal(size)


def _row(step: StepReport) -> str:
    size = "–" if step.size is None else size_text(step.size)
    return f"| {step.name} | {f'not done: {step.failed}' if step.failed else step.count} | {size} |"


def _listed(step: StepReport) -> str:
    more = [f"- and {len(step.things) - MAX_LISTED} more"] if len(step.things) > MAX_LISTED else []
    return "\n".join([f"### {step.name}", "", *(f"- {thing}" for thing in step.things[:MAX_LISTED]), *more])
