"""The command that gives a ticker its past from files."""

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deployments.cli.bars import rows_of
from deployments.cli.options import SHOWN_ROWS, Calendar, Json, as_ticker
from stockml.home import home
from stockml.settings import DateOrder, DecimalMark

if TYPE_CHECKING:
    from stockml.prices.csv_cells import Readings
    from stockml.prices.csv_import import ImportReport

app = typer.Typer()
SHOWN_ENDS = 3


@app.command("import")
def import_history(
    ticker: Annotated[str, typer.Argument(metavar="TICKER|FOLDER", help="may be left out for a folder of files")],
    file: Annotated[
        Path | None, typer.Argument(help="a CSV file in Kaggle's, Stooq's or Yahoo's layout, or a folder of them")
    ] = None,
    calendar: Calendar = None,
    dates: Annotated[
        DateOrder | None, typer.Option(help="how 03/04/2026 is meant, where the file leaves it open")
    ] = None,
    decimal: Annotated[DecimalMark | None, typer.Option(help="what stands before a fraction, if it is open")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="show the first and last rows as understood; keep none")
    ] = False,
    as_json: Json = False,
) -> int:
    """Give a ticker its past from a CSV file, or many from a folder whose files are named for them."""
    from stockml.prices.csv_cells import Readings
    from stockml.prices.csv_import import files_in, import_file, read_history, ticker_of
    from stockml.prices.store import bar_store

    folder = Path(ticker) if file is None else file
    readings = Readings(dates, decimal)
    if folder.is_dir() and not dry_run:
        return _import_folder(folder, readings, as_json)
    if file is None and not folder.is_dir():
        raise typer.BadParameter(f"expected a ticker and its file, or a folder, found {ticker[:60]!r} alone")
    if dry_run:
        for path in files_in(folder) if folder.is_dir() else (folder,):
            named = ticker_of(path) if folder.is_dir() else as_ticker(ticker)
            history = read_history(path, bar_store(home(), named, calendar).sessions(named), named, readings)
            print(f"{named}: {len(history.bars):,} sessions as understood from {path.name}; nothing was imported")
            print(rows_of(history.bars, SHOWN_ENDS))
            for note in _no_volume(history.no_volume_among):
                print(note)
        return 0
    named = as_ticker(ticker)
    report = import_file(
        bar_store(home(), named, calendar), folder, recorded_at=datetime.now(UTC), ticker=named, readings=readings
    )
    print(json.dumps(_plain_report(report)) if as_json else _report_text(report))
    return 0


def _import_folder(folder: Path, readings: "Readings", as_json: bool) -> int:
    """Every CSV file below the folder, with a progress bar; the exit code is 1 where one was refused."""
    from rich.console import Console
    from rich.progress import Progress

    from stockml.prices.csv_import import import_folder
    from stockml.prices.store import BarStore

    place = home()
    with Progress(console=Console(stderr=True), disable=as_json) as bar:
        task = bar.add_task("importing", total=None)
        reports, refusals = import_folder(
            BarStore(place.store, place.locks),
            folder,
            recorded_at=datetime.now(UTC),
            readings=readings,
            on_file=lambda done, total, path: bar.update(task, completed=done, total=total, description=path.name),
        )
    if as_json:
        refused = {path: str(error) for path, error in refusals.items()}
        print(json.dumps({"imported": [_plain_report(report) for report in reports], "refused": refused}))
    else:
        print("\n".join([*map(_report_text, reports)]) or f"{folder}: no CSV files")
        for path, error in refusals.items():
            print(f"stockml: {path}: {error}", file=sys.stderr)
    return 1 if refusals else 0


def _plain_report(report: "ImportReport") -> dict[str, Any]:
    return json.loads(json.dumps(vars(report), default=str))  # type: ignore[no-any-return]


def _report_text(report: "ImportReport") -> str:
    if not report.recorded:
        return f"{report.ticker}: this history was there already, nothing changed"
    notes = [f"{report.empty} rows without prices left out"] if report.empty else []
    notes += [f"{report.repaired} rows repaired within rounding"] if report.repaired else []
    notes += _no_volume(report.no_volume_among)
    off = ", ".join(map(str, report.off_calendar[:3])) + " …" * (len(report.off_calendar) > 3)
    notes += [f"left out, no session of the exchange: {off}"] if off else []
    told = f" ({'; '.join(notes)})" if notes else ""
    aside = [f"\n  set aside {bar}" for bar in report.set_aside[:SHOWN_ROWS]]
    aside += [f"\n  and {more} more"] if (more := len(report.set_aside) - SHOWN_ROWS) > 0 else []
    first, last = report.first, report.last
    return f"{report.ticker}: {report.sessions:,} sessions from {first} to {last} imported{told}{''.join(aside)}"


def _no_volume(columns: Sequence[str]) -> list[str]:
    """columns: the file's, where none is known as the volume; else none."""
    return [f"volumes unknown: no column volume among {', '.join(columns)}"] if columns else []
