"""Commands that maintain a home: the weekly clean-up, backup, restore, and rebuilding MLflow's runs."""

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, BadParameter, Option, Typer

from deployments.cli.options import Json
from deployments.cli.runs import outcome
from deployments.errors import refused_as
from deployments.servers.databases import create, vacuum
from deployments.servers.prefect_api import OWN_SERVER, prefect_api
from stockml.errors import InvalidFile, counted
from stockml.home import OLD_PLACE, home
from stockml.provider.price_source import replay_home

if TYPE_CHECKING:
    from stockml.maintenance.backup import Archived

app = Typer()


@app.command("maintenance")
def clear_up(
    dry_run: Annotated[bool, Option("--dry-run", help="Only list what would be removed.")] = False,
    keep: Annotated[list[str] | None, Option(metavar="NAME=NUMBER", help="Such as model_days=30; repeatable.")] = None,
    as_json: Json = False,
) -> int:
    """End dead runs, resume waiting ones, remove old data.

    Never removes a champion, the ledger, the store, or a night that MLflow lacks.
    """
    days = as_days(keep)
    with prefect_api(home()):
        from flows.maintenance import maintenance

        steps = outcome(maintenance, dry_run=dry_run, keep=days, quiet=as_json or dry_run)
        if OWN_SERVER in os.environ and not dry_run:
            vacuum()
    from stockml.maintenance.report import readable, summary

    if as_json:
        shown = [vars(step) for step in steps]
        print(json.dumps({"dry_run": dry_run, "message": summary(steps), "steps": shown}, default=list))
    else:
        for step in steps:
            size = "" if step.size is None else f", {readable(step.size)}"
            found = f"not done: {step.failed}" if step.failed else f"{counted(step.count, 'thing')}{size}"
            print(f"{step.name:<28} {found}")
            for thing in step.things:
                print(f"  {thing}")
        print(f"{'would go' if dry_run else 'done'}: {summary(steps)}")
    return int(bool(steps) and all(step.failed for step in steps))


@app.command()
def backup(
    file: Annotated[Path, Argument(metavar="FILE", help="The zip archive to create.")], as_json: Json = False
) -> int:
    """Archive all that cannot be recomputed. Bars, ledger, champions, settings and night records; nights may run on.

    Exit code 1 if one of these files is damaged or missing.
    """
    from deployments.registration.own_list import tickers_of
    from stockml.maintenance.backup import back_up

    made = back_up(home(), file, datetime.now(UTC))
    try:
        tickers_of(home())
    except InvalidFile as fault:
        made = replace(made, damaged=(*made.damaged, str(fault)))
    return _print_archived(file, made, "archived in", as_json)


@app.command("restore")
def restore_home(
    file: Annotated[Path, Argument(metavar="FILE", help="An archive made by `stockml backup`.")],
    only: Annotated[str | None, Option(metavar="NAME", help="Only this one, such as ledger/IBM.parquet.")] = None,
    as_json: Json = False,
) -> int:
    """Restore an archive into an empty home. All or nothing.

    Then run `stockml rebuild-tracking` and `stockml deploy`. A replay's goes to `replay/` in the usual home.
    """
    from stockml.maintenance.backup import holds_replay, restore

    place = home()
    if place.root.name == OLD_PLACE and holds_replay(file):  # no folder was named: that one is for the market's prices
        place = replay_home(os.environ)
    return _print_archived(file, restore(place, file, only), f"brought to {place.root} from", as_json)


@app.command("rebuild-tracking")
def rebuild_tracking(as_json: Json = False) -> int:
    """Make MLflow's runs again from the nights' records. Models that are still kept are registered again too.

    Exit code 1 if a record is damaged.
    """
    from stockml.maintenance.integrity import damaged_nights
    from stockml.tracking.client import Tracking
    from tasks.artifacts import mlflow_pages

    place = home()
    create(place)  # away, it would be asked again and again, with a screen of MLflow's warnings
    nights = Tracking(place, mlflow_pages(place)).rebuild()
    models = sum(night.model_version is not None for night in nights)
    text = f"MLflow has {counted(len(nights), 'run')} from the records of the nights, {models} of them with their model"
    print(json.dumps({"runs": len(nights), "with_model": models}) if as_json else text)
    for fault in (damaged := tuple(damaged_nights(place))):
        print(f"stockml: left out: {fault}", file=sys.stderr)
    return int(bool(damaged))


def _print_archived(file: Path, done: "Archived", where: str, as_json: bool) -> int:
    if as_json:
        print(json.dumps({"file": str(file), **vars(done)}))
    else:
        print(f"{counted(done.files, 'file')} {where} {file} ({done.size / 1e6:.1f} MB)")
        for fault in done.damaged:
            print(f"stockml: damaged or missing, also in the archive: {fault}", file=sys.stderr)
    return 1 if done.damaged else 0


def as_days(assignments: Sequence[str] | None) -> dict[str, int]:
    """Parse `model_days=30 plot_days=10` to a dictionary; RetentionSettings checks names and bounds."""
    from stockml.maintenance.retention import RetentionSettings

    days = {}
    for assignment in assignments or ():
        name, _, value = assignment.partition("=")
        if not value.isdecimal():
            raise BadParameter(f"expected NAME=NUMBER such as model_days=30, found {assignment[:60]!r}")
        days[name.strip()] = int(value)
    with refused_as(BadParameter):
        RetentionSettings().changed(**days)
    return days
