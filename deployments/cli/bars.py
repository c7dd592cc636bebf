"""Commands that import price history from files and show the stored bars. None needs a server."""

import json
import os
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deployments.cli.options import SHOWN_ROWS, Calendar, Json, Ticker, as_ticker, as_time, day
from stockml.errors import InvalidSetting, NoBars, counted
from stockml.home import home
from stockml.provider.price_source import check, kind_of, replay_home
from stockml.settings import DateOrder, DecimalMark

if TYPE_CHECKING:
    import pandas as pd

    from stockml.prices.csv_cells import Readings
    from stockml.prices.csv_import import CsvNotes, History, ImportReport
    from stockml.prices.store import BarStore

app = typer.Typer()


@app.command("import")
def import_history(
    ticker: Annotated[str, typer.Argument(metavar="TICKER|FOLDER", help="The ticker; or only a folder of CSV files.")],
    file: Annotated[
        Path | None, typer.Argument(help="The ticker's CSV file in Kaggle's, Stooq's or Yahoo's layout.")
    ] = None,
    calendar: Calendar = None,
    dates: Annotated[
        DateOrder | None, typer.Option(help="How to read dates such as 03/04/2026 if the file is ambiguous.")
    ] = None,
    decimal: Annotated[DecimalMark | None, typer.Option(help="The decimal mark, if ambiguous.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the first and last rows as parsed; import nothing.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Import a ticker's price history from a CSV file. For a folder, take each ticker from its file's name."""
    from stockml.prices.csv_cells import Readings
    from stockml.prices.csv_import import files_in, import_file, read_history, ticker_of
    from stockml.prices.store import BarStore

    place = home()
    store, readings = BarStore.of(place, calendar), Readings(dates, decimal)
    if file is None and not Path(ticker).is_dir():
        raise typer.BadParameter(f"expected a ticker and its file, or a folder, found {ticker[:60]!r} alone")
    if file and file.is_dir():
        raise typer.BadParameter(
            f"expected a file of {ticker[:60]!r}, found a folder, whose files are named for theirs"
        )
    if dry_run:
        files = [(file, as_ticker(ticker))] if file else [(path, ticker_of(path)) for path in files_in(Path(ticker))]
        understood = ((path, read_history(path, store.sessions(named), named, readings)) for path, named in files)
        _show_understood(understood, store, as_json)
        return 0
    check(place, kind_of(os.environ))
    replay = replay_home(os.environ)
    leaves_replay = replay.in_use and not (place.in_use or os.environ.get("ALPHAVANTAGE_API_KEY"))
    code = 0
    if file is None:
        code = _import_folder(store, Path(ticker), readings, as_json)
    else:
        report = import_file(store, file, recorded_at=datetime.now(UTC), ticker=as_ticker(ticker), readings=readings)
        print(json.dumps(vars(report), default=str) if as_json else _report_text(report))
    if leaves_replay and place.in_use:
        print(
            f"stockml: commands now use {place.root}, for the market's prices, whose nights need ALPHAVANTAGE_API_KEY; "
            f"the recorded ones are still in {replay.root}: name it in STOCKML_HOME",
            file=sys.stderr,
        )
    return code


def _show_understood(files: Iterable[tuple[Path, "History"]], store: "BarStore", as_json: bool) -> None:
    from stockml.prices.csv_import import finished_bars, missing

    found = []
    for path, history in files:
        sessions = store.sessions(history.ticker)
        over = finished_bars(path, history.bars, sessions, datetime.now(UTC))
        name, days, absent = path.name, over.index, missing(over, sessions)
        if as_json:
            span = {"first": str(days[0].date()), "last": str(days[-1].date())}
            found.append({"ticker": history.ticker, "file": name, "sessions": len(days), **span, "missing": absent})
            continue
        print(f"{history.ticker}: {counted(len(days), 'session')} as understood from {name}; nothing was imported")
        left_out = _counted_notes(absent, len(history.bars) - len(over))
        print("\n".join([rows_of(over, ends=3), *left_out, *_notes(history), *_set_aside(history)]))
    if as_json:
        print(json.dumps({"understood": found}))


def _import_folder(store: "BarStore", folder: Path, readings: "Readings", as_json: bool) -> int:
    """Import every CSV file below the folder, with a progress bar; return exit code 1 if any was refused."""
    from rich.console import Console
    from rich.progress import Progress

    from stockml.prices.csv_import import import_folder

    with Progress(console=Console(stderr=True), disable=as_json) as bar:
        task = bar.add_task("importing", total=None)
        reports, refusals = import_folder(
            store,
            folder,
            recorded_at=datetime.now(UTC),
            readings=readings,
            on_file=lambda done, total, path: bar.update(task, completed=done, total=total, description=path.name),
        )
    if as_json:
        print(json.dumps({"imported": [vars(report) for report in reports], "refused": refusals}, default=str))
    else:
        print("\n".join([*map(_report_text, reports)]) or f"{folder}: no CSV files")
        for path, error in refusals.items():
            named = "" if path in str(error) else f"{path}: "
            print(f"stockml: {named}{error}", file=sys.stderr)
    return 1 if refusals else 0


def _report_text(report: "ImportReport") -> str:
    if not report.recorded:
        return f"{report.ticker}: this history was there already, nothing changed"
    notes = [*_counted_notes(report.missing, report.not_over), *_notes(report)]
    told = f" ({'; '.join(notes)})" if notes else ""
    found = (
        f"{report.ticker}: {counted(report.sessions, 'session')} from {report.first} to {report.last} imported{told}"
    )
    return "\n".join([found, *_set_aside(report)])


def _counted_notes(missing: int, not_over: int) -> list[str]:
    absent = f"{counted(missing, 'session')} between the first and the last missing"
    return [absent] * (missing > 0) + [f"{not_over} left out, not over yet"] * (not_over > 0)


def _notes(file: "CsvNotes") -> list[str]:
    notes = [f"{file.empty} rows without prices left out"] if file.empty else []
    notes += [f"{file.repaired} rows repaired within rounding"] if file.repaired else []
    columns = ", ".join(file.no_volume_among)
    notes += [f"volumes unknown: no column volume among {columns}"] if columns else []
    off = ", ".join(map(str, file.off_calendar[:3])) + " …" * (len(file.off_calendar) > 3)
    return [*notes, *([f"left out, no session of the exchange: {off}"] if off else [])]


def _set_aside(file: "CsvNotes") -> list[str]:
    aside = [f"  set aside {bar}" for bar in file.set_aside[:SHOWN_ROWS]]
    return aside + ([f"  and {more} more"] if (more := len(file.set_aside) - SHOWN_ROWS) > 0 else [])


@app.command()
def bars(
    ticker: Ticker,
    as_of: Annotated[
        datetime | None, typer.Option(parser=as_time, metavar="TIME", help="Show bars as known then; UTC if no zone.")
    ] = None,
    adjusted: Annotated[bool, typer.Option("--adjusted", help="Adjust for splits and join imported history.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print every bar as CSV.")] = False,
    restated: Annotated[bool, typer.Option("--restated", help="Show values that the provider changed later.")] = False,
    holes: Annotated[bool, typer.Option("--holes", help="Show missing sessions and bars set aside.")] = False,
    accept: Annotated[date | None, day("Use a bar that was set aside.", "SESSION")] = None,
    reject: Annotated[date | None, day("Set a bar aside until it is restated.", "SESSION")] = None,
    calendar: Calendar = None,
    as_json: Json = False,
) -> None:
    """Show a ticker's stored bars. Or accept or reject a doubtful one."""
    from stockml.prices.store import BarStore

    if csv and as_json:
        raise typer.BadParameter("expected --csv or --json, found both")
    if restated and holes:
        raise typer.BadParameter("expected --restated or --holes, found both")
    doubts = _given({"--holes": holes, "--restated": restated, "--accept": accept, "--reject": reject})
    if doubts and (of_bars := _given({"--as-of": as_of, "--adjusted": adjusted, "--csv": csv})):
        raise typer.BadParameter(f"expected {of_bars[0]} for the bars themselves, found it with {doubts[0]}")
    if accept and accept == reject:
        raise typer.BadParameter(f"expected {accept} to be accepted or rejected, found both")
    store = BarStore.of(home(), calendar)
    for session, accepted in ((accept, True), (reject, False)):
        if session:
            store.judge(ticker, session, accepted=accepted, recorded_at=datetime.now(UTC), source="stockml bars")
    if holes or accept or reject:
        _show_holes(ticker, store, as_json)
    elif restated:
        _show_restated(ticker, store, as_json)
    else:
        _show_bars(ticker, store, as_of, adjusted=adjusted, csv=csv, as_json=as_json)


def _given(options: Mapping[str, object]) -> list[str]:
    return [name for name, value in options.items() if value]


def _show_bars(
    ticker: str, store: "BarStore", as_of: datetime | None, *, adjusted: bool, csv: bool, as_json: bool
) -> None:
    found, how = _found(store, ticker, as_of, adjusted=adjusted)
    if csv:
        found.to_csv(sys.stdout, date_format="%Y-%m-%d", lineterminator="\n")
    elif as_json:
        values = found.astype(object).where(found.notna(), None).to_dict("records")
        rows = [{"session": f"{day:%Y-%m-%d}", **row} for day, row in zip(found.index, values, strict=True)]
        print(json.dumps({"ticker": ticker, "sessions": len(rows), "bars": rows}))
    else:
        first, last = found.index[0].date(), found.index[-1].date()
        print(f"{ticker}: {len(found):,} sessions, {first} to {last}, {how}")
        print(rows_of(found.tail(SHOWN_ROWS), ends=SHOWN_ROWS))
        absent = store.view(ticker, as_of=as_of).holes(store.sessions(ticker)) if adjusted else ()
        if absent:
            named = ", ".join(map(str, absent[:SHOWN_ROWS]))
            print(f"{len(absent)} sessions of the calendar have no bar: {named}{' …' * (len(absent) > SHOWN_ROWS)}")


def rows_of(bars: "pd.DataFrame", ends: int) -> str:
    shown = bars if len(bars) <= 2 * ends else bars.iloc[[*range(ends), *range(-ends, 0)]]
    return str(shown.to_string(float_format=lambda value: f"{value:,.4f}".rstrip("0").rstrip(".")))


def _show_holes(ticker: str, store: "BarStore", as_json: bool) -> None:
    view = store.view(ticker)
    holes = view.holes(store.sessions(ticker))
    if as_json:
        aside = [{"session": str(bar.session), "reason": bar.reason} for bar in view.set_aside]
        print(json.dumps({"ticker": ticker, "holes": list(map(str, holes)), "set_aside": aside}))
        return
    lines = [f"{bar.session} set aside: {bar.reason}" for bar in view.set_aside]
    lines = sorted([*lines, *(f"{day} no bar" for day in holes)])
    print("\n".join(lines) or f"{ticker}: every session has a bar that is believed")


def _found(store: "BarStore", ticker: str, as_of: datetime | None, *, adjusted: bool) -> tuple["pd.DataFrame", str]:
    """Return the bars and a description of them; a ticker that was only imported has no raw bars."""
    how = "adjusted"
    if not adjusted:
        try:
            return store.read(ticker, as_of=as_of), "raw as traded"
        except NoBars:
            how = "adjusted, as imported"
    try:
        return store.adjusted(ticker, as_of=as_of), how
    except NoBars:
        if not (first := store.first_recorded(ticker) if as_of else None):
            raise
        bound = f"{first:%Y-%m-%d %H:%M} UTC or later, the first was recorded then"
        raise InvalidSetting("--as-of", str(as_of), bound) from None


def _show_restated(ticker: str, store: "BarStore", as_json: bool) -> None:
    changes = store.restatements(ticker)
    if as_json:
        rows = json.loads(changes.to_json(orient="records", date_format="iso"))
        print(json.dumps({"ticker": ticker, "restated": rows}))
    elif changes.empty:
        print(f"{ticker}: nothing was restated")
    else:
        print(changes.to_string(index=False))
