"""The weekly clearing up, by hand."""

import json
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from deployments.cli.options import Json
from deployments.cli.runs import outcome
from deployments.servers.prefect_api import OWN_SERVER, prefect_api
from deployments.servers.vacuum import vacuum
from stockml.home import home

if TYPE_CHECKING:
    from stockml.maintenance.report import StepReport

app = typer.Typer()


def as_days(assignments: Sequence[str]) -> dict[str, int]:
    """`model_days=30 plot_days=10` as a dictionary; which names there are is the library's to say."""
    days = {}
    for assignment in assignments:
        name, _, value = assignment.partition("=")
        if not value.isdecimal():
            raise typer.BadParameter(f"expected NAME=NUMBER such as model_days=30, found {assignment[:60]!r}")
        days[name.strip()] = int(value)
    return days


@app.command("maintenance")
def clear_up(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only list what would go")] = False,
    keep: Annotated[
        list[str] | None, typer.Option(metavar="NAME=NUMBER", help="such as model_days=30; may be repeated")
    ] = None,
    as_json: Json = False,
) -> int:
    """End zombies, resume what waited, remove what is old.

    Never a champion, the ledger, the store, or a night that MLflow lacks.
    """
    days = as_days(keep or [])
    with prefect_api(home()):
        from flows.maintenance import maintenance

        steps: list[StepReport] = outcome(maintenance, dry_run=dry_run, keep=days, quiet=as_json)
        if OWN_SERVER in os.environ and not dry_run:
            vacuum()
    from stockml.maintenance.report import readable, summary

    if as_json:
        shown = [vars(step) for step in steps]
        print(json.dumps({"dry_run": dry_run, "message": summary(steps), "steps": shown}, default=list))
    else:
        for step in steps:
            size = "" if step.size is None else readable(step.size)
            print(f"{step.name:<28} {f'not done: {step.failed}' if step.failed else step.count} {size}")
            for thing in step.things:
                print(f"  {thing}")
        print(f"{'would go' if dry_run else 'done'}: {summary(steps)}")
    return int(bool(steps) and all(step.failed for step in steps))
