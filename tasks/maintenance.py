"""The steps of the weekly maintenance, and what is told of them. In a dry run each says what it
would do and changes nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from prefect import task
from rich.filesize import decimal

from stockml.errors import quantity
from stockml.home import current_home
from stockml.maintenance import retention
from stockml.maintenance.retention import RetentionSettings
from stockml.models.registry import Registry, promoted_tickers
from stockml.redaction import escape_markdown
from stockml.tracking import runs
from stockml.tracking.client import Tracking
from tasks.artifacts import mlflow_pages

MAX_LISTED = 50  # things named per step; the table has their number


@dataclass(frozen=True)
class StepReport:
    """One step's result. `size`: in bytes, if known; `failed`: what kept the step from its work."""

    name: str
    count: int = 0
    size: int | None = None
    things: tuple[str, ...] = ()
    failed: str | None = None


@task(name="resume what waited", task_run_name="resume what waited")
def resume_what_waited(dry_run: bool) -> StepReport:
    """Log to MLflow the nights that it missed."""
    tracking = Tracking(current_home(), mlflow_pages(current_home()))
    if dry_run:
        waiting = tracking.pending()
        return StepReport(
            "nights waiting for MLflow",
            len(waiting),
            things=tuple(night.run_name for night in waiting),
        )
    things = tuple(night.run_name for night in tracking.resume())
    return StepReport("nights logged to MLflow", len(things), things=things)


@task(name="clear folders", task_run_name="clear folders")
def clear_folders(keep: RetentionSettings, now: datetime, dry_run: bool) -> list[StepReport]:
    """Remove what is old and not needed under STOCKML_HOME; one report per kind."""
    removed, unreadable = retention.due(current_home(), keep, now)
    if not dry_run:
        retention.remove(removed)
    steps = []
    for kind in sorted({each.kind for each in removed}):
        of_kind = [each for each in removed if each.kind == kind]
        things = tuple(
            f"`{each.path.relative_to(current_home().root)}`, {each.written:%Y-%m-%d}"
            for each in of_kind
        )
        steps.append(StepReport(kind, len(of_kind), sum(each.size for each in of_kind), things))
    if unreadable:
        steps.append(
            StepReport("left alone because unreadable", len(unreadable), things=tuple(unreadable))
        )
    return steps


@task(name="clear MLflow", task_run_name="clear MLflow")
def clear_mlflow(
    keep: RetentionSettings, now: datetime, trash_days: int, dry_run: bool
) -> list[StepReport]:
    """Put old runs, and models of nights that are no longer among the newest, into MLflow's trash;
    empty it."""
    removed = runs.remove(
        current_home(),
        before=now - timedelta(days=keep.mlflow_days),
        newest=keep.mlflow_nights,
        trash_days=trash_days,
        kept_keys=_kept_keys(keep),
        dry_run=dry_run,
    )
    advice = (removed.advice,) if removed.advice and (removed.runs or removed.models) else ()
    return [
        StepReport("MLflow runs", len(removed.runs), things=(*removed.runs, *advice)),
        StepReport("models in MLflow", len(removed.models), things=removed.models),
    ]


def _kept_keys(keep: RetentionSettings) -> set[str]:
    """The keys of the nights of present champions and of those that a rollback needs."""
    registry = Registry(current_home().models)
    newest = (
        registry.champion_history(ticker)[-keep.champions :]
        for ticker in promoted_tickers(current_home())
    )
    return {champion.key for champions in newest for champion in champions}


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
