"""Commands that keep a home safe: an archive of what cannot be made again, and the way back from one."""

import json
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deployments.cli.options import Json
from stockml.home import home

if TYPE_CHECKING:
    from stockml.maintenance.backup import Archived

app = typer.Typer()


@app.command()
def backup(file: Annotated[Path, typer.Argument(help="the archive to make")], as_json: Json = False) -> int:
    """Archive what cannot be made again, while nights may run: bars, ledger, champions, settings, records of nights.

    Exit code 1 where something in it is damaged.
    """
    from stockml.maintenance.backup import back_up

    return _told(file, back_up(home(), file, datetime.now(UTC)), "archived in", as_json)


@app.command("restore")
def restore_home(
    file: Annotated[Path, typer.Argument(help="what `stockml backup` made")],
    only: Annotated[str | None, typer.Option(metavar="NAME", help="one file or folder, as ledger/IBM.parquet")] = None,
    as_json: Json = False,
) -> int:
    """Bring an archive back into an empty home, whole or not at all.

    Then `stockml rebuild-tracking` and `stockml deploy`.
    """
    from stockml.maintenance.backup import restore

    return _told(file, restore(home(), file, only), f"brought to {home().root} from", as_json)


@app.command("rebuild-tracking")
def rebuild_tracking(as_json: Json = False) -> int:
    """Make MLflow's runs again from the records of the nights, with the models that are still kept.

    Exit code 1 where a record is damaged.
    """
    from deployments.servers.environment import mlflow_address
    from stockml.maintenance.soundness import damaged_nights
    from stockml.models.registry import Registry
    from stockml.tracking.client import Tracking

    place = home()
    tracking = replace(Tracking.of(place), uri=mlflow_address(place))
    nights = tracking.rebuild()
    registry = Registry(place.models)
    for ticker in {night.ticker for night in nights}:
        if champion := registry.champion(ticker):
            tracking.follow_champion(ticker, champion.key)
    models = sum(night.model_version is not None for night in nights)
    runs = f"{len(nights)} run{'s' * (len(nights) != 1)}"
    text = f"MLflow has {runs} from the records of the nights, {models} of them with their model"
    print(json.dumps({"runs": len(nights), "with_model": models}) if as_json else text)
    for fault in (damaged := tuple(damaged_nights(place))):
        print(f"stockml: left out: {fault}", file=sys.stderr)
    return int(bool(damaged))


def _told(file: Path, done: "Archived", where: str, as_json: bool) -> int:
    if as_json:
        print(json.dumps({"file": str(file), **vars(done)}))
    else:
        print(f"{done.files} file{'s' * (done.files != 1)} {where} {file} ({done.size / 1e6:.1f} MB)")
        for fault in done.damaged:
            print(f"stockml: damaged, and archived as it is: {fault}", file=sys.stderr)
    return 1 if done.damaged else 0
