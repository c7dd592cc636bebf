"""The steps of the weekly maintenance. In a dry run each says what it would do and changes nothing."""

import os
from datetime import datetime, timedelta

from prefect import task

from stockml.home import HomePaths, current_home
from stockml.maintenance import retention
from stockml.maintenance.integrity import promoted_tickers
from stockml.maintenance.report import StepReport
from stockml.maintenance.retention import RetentionSettings
from stockml.models.registry import Registry
from stockml.storage import sharing
from stockml.tracking import retention as mlflow_retention
from stockml.tracking.client import Tracking
from tasks.artifacts import mlflow_pages

UNNAMED_FOR = timedelta(days=2)  # a commit names what it has uploaded within minutes


@task(name="resume what waited", task_run_name="resume what waited")
def resume_what_waited(now: datetime, dry_run: bool) -> StepReport:
    """Log to MLflow the nights that it missed, and end its runs that a dead process left open."""
    tracking = Tracking(current_home(), mlflow_pages(current_home()))
    if dry_run:
        waiting = tracking.pending()
        return StepReport("nights waiting for MLflow", len(waiting), things=tuple(night.run_name for night in waiting))
    ended = tracking.sweep_orphans(now=now)
    logged = tracking.resume()
    things = (*(f"run {run_id}: {what}" for run_id, what in ended.items()), *(night.run_name for night in logged))
    return StepReport("nights and runs resumed", len(things), things=things)


@task(name="clear folders", task_run_name="clear folders")
def clear_folders(keep: RetentionSettings, now: datetime, dry_run: bool) -> list[StepReport]:
    """Remove what is old and not needed under STOCKML_HOME; one report per kind."""
    old = retention.outdated(current_home(), keep, now)
    needed = retention.needed(current_home(), keep.champions)
    removed = needed.without(old) if dry_run else retention.remove(needed.without(old))
    steps = []
    for kind in sorted({each.kind for each in removed}):
        of_kind = [each for each in removed if each.kind == kind]
        things = tuple(f"`{each.path.relative_to(current_home().root)}`, {each.written:%Y-%m-%d}" for each in of_kind)
        steps.append(StepReport(kind, len(of_kind), sum(each.size for each in of_kind), things))
    if needed.unreadable:
        steps.append(StepReport("left alone because unreadable", len(needed.unreadable), things=needed.unreadable))
    return steps


@task(name="clear MLflow", task_run_name="clear MLflow")
def clear_mlflow(keep: RetentionSettings, now: datetime, trash_days: int, dry_run: bool) -> StepReport:
    """Put old runs and their models into MLflow's trash, and empty what has been there for `trash_days`."""
    tracking, before = Tracking(current_home()), now - timedelta(days=keep.mlflow_days)
    with tracking.client() as client:
        old = mlflow_retention.outdated(client, before, _kept_keys(keep), tracking.is_own)
        trashed = None if dry_run else mlflow_retention.to_trash(client, old)
    things = tuple(run.name for run in old)
    database = mlflow_database(current_home())
    if trashed and database and mlflow_retention.holds(database, trashed):
        mlflow_retention.empty_trash(database, current_home().tracking_uri, trash_days)
    elif trashed:
        things = (*things, "its database is elsewhere: run `mlflow gc` there to free the space")
    return StepReport("MLflow runs", len(old), sum(run.size for run in old), things)


@task(name="clear MLflow's files", task_run_name="clear MLflow's files")
def clear_mlflow_files(keep: RetentionSettings, now: datetime, dry_run: bool) -> StepReport:
    """Remove the plots and models of nights that are no longer among the newest; their figures stay."""
    tracking = Tracking(current_home())
    with tracking.client() as client:
        old = mlflow_retention.beyond_newest(client, keep.mlflow_nights, _kept_keys(keep), tracking.is_own)
        if not dry_run:
            mlflow_retention.clear_files(client, old, now)
    things = tuple(run.name for run in old)
    return StepReport("plots and models in MLflow", len(old), sum(run.size for run in old), things)


@task(name="clear shared state", task_run_name="clear shared state")
def clear_shared_state(now: datetime, dry_run: bool) -> StepReport:
    """Commit what was removed here, and remove objects that no manifest has named for days."""
    if not dry_run:
        sharing.commit_all(current_home(), may_remove=True)
    old = sharing.unreferenced_before(current_home(), now - UNNAMED_FOR, remove=not dry_run)
    return StepReport("objects of the shared state", len(old), sum(old.values()), tuple(f"`{name}`" for name in old))


def _kept_keys(keep: RetentionSettings) -> set[str]:
    """The keys of the nights of present champions and of those that a rollback needs."""
    registry = Registry(current_home().models)
    newest = (registry.champion_history(ticker)[-keep.champions :] for ticker in promoted_tickers(current_home()))
    return {champion.key for champions in newest for champion in champions}


def mlflow_database(home: HomePaths) -> str | None:
    """MLflow's database, unless another program runs it; None if this machine cannot know it."""
    if address := os.environ.get("MLFLOW_BACKEND_STORE_URI"):
        return address
    if not home.tracking_uri.startswith(("http:", "https:")):
        return home.tracking_uri
    return home.mlflow_database if home.database or (home.root / "mlflow.db").exists() else None
