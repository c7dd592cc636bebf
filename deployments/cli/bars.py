"""Commands that bring price history, from files or the provider, and show the stored bars."""

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, BadParameter, Option, Typer

from deployments.cli.options import (
    SHOWN_ROWS,
    Calendar,
    Json,
    Ticker,
    as_ticker,
    as_time,
    day,
    json_text,
)
from deployments.cli.runs import night_parameters, run_flow
from stockml.errors import InvalidFile, InvalidTicker, NoBars, StockmlError, quantity
from stockml.home import current_home
from stockml.provider.price_source import check, kind_of
from stockml.redaction import one_line
from stockml.settings import DecimalMark

if TYPE_CHECKING:
    import pandas as pd

    from stockml.prices.csv_import import ImportReport, Readings
    from stockml.prices.store import BarStore

app = Typer()
DAY = "%Y-%m-%d"
FileResult = tuple[dict[str, Any], list[str]]  # what a file brought: for JSON, and as lines of text


@app.command("import")
def import_history(
    ticker: Annotated[
        str, Argument(metavar="TICKER|FOLDER", help="The ticker, or a folder of CSV files alone.")
    ],
    file: Annotated[
        Path | None,
        Argument(metavar="FILE", help="Its CSV file of daily prices; default: ask the provider."),
    ] = None,
    calendar: Calendar = None,
    date_format: Annotated[
        str | None, Option(metavar="FORMAT", help="How dates are written, such as %d.%m.%Y.")
    ] = None,
    decimal: Annotated[DecimalMark | None, Option(help="The decimal mark, if ambiguous.")] = None,
    columns: Annotated[
        str | None,
        Option(
            metavar="NAME=HEADING,...",
            help="Other headings: date, open, high, low, close, adjusted, volume.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, Option("--dry-run", help="Show the first and last rows as parsed; import nothing.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Load a price history: from a CSV file, or the provider.

    For a folder, each ticker is its file's name. Without a file, a premium or a Tiingo key is
    needed.
    """
    from stockml.prices.csv_import import Readings
    from stockml.prices.store import BarStore

    home = current_home()
    if file is None and not Path(ticker).is_dir():
        if dry_run or date_format or decimal or columns:
            raise BadParameter("expected a file to read so, found none", param_hint="FILE")
        _fetch(as_ticker(ticker), calendar, as_json=as_json)
        return 0
    files = _files(ticker, file)
    readings = Readings(date_format, decimal, _headings(columns))
    if file:
        calendar = night_parameters(str(files[file]), None, calendar, None)["calendar"]
    store = BarStore.of(home, calendar or None)
    read = _understood if dry_run else _imported
    if not dry_run:
        check(home, kind_of(os.environ))
    results, lines, refusals = _read_all(
        files, partial(read, store, readings), alone=file is not None, quiet=as_json
    )
    output: dict[str, Any] = {"understood" if dry_run else "imported": results}
    if refusals or not dry_run:
        output["refused"] = refusals
    if file and not dry_run:
        [output] = results
    if as_json or lines:
        print(json_text(output, default=str) if as_json else "\n".join(lines))
    for path, error in () if as_json else refusals.items():
        prefix = "" if path in str(error) else f"{path}: "
        print(f"stockml: {one_line(f'{prefix}{error}')}", file=sys.stderr)
    return int(bool(refusals))


def _fetch(ticker: str, calendar: str | None, *, as_json: bool) -> None:
    check(current_home(), kind_of(os.environ))
    exchange = night_parameters(ticker, None, calendar, None)["calendar"]
    receipt, second = run_flow("backfill.history", ticker, calendar=exchange, quiet=as_json)
    plain = {"ticker": ticker, "rows_added": receipt.added, "rows_restated": receipt.restated}
    plain |= {"path": receipt.path, "second_provider": second or None}
    text = "; ".join(filter(None, (receipt.counted, second)))
    print(json_text(plain) if as_json else f"{ticker}: {text}")


def _headings(columns: str | None) -> dict[str, str]:
    """Parse `date=Datum,open=Erster`: the file's heading of each of our columns."""
    from stockml.prices.csv_import import NAMES

    headings = dict[str, str]()
    for part in columns.split(",") if columns else ():
        name, _, heading = part.partition("=")
        if name.strip() not in NAMES or not heading.strip():
            raise BadParameter(
                f"expected NAME=HEADING with one of {', '.join(NAMES)}, found {part[:60]!r}"
            )
        headings[name.strip()] = heading.strip()
    return headings


def _files(ticker: str, file: Path | None) -> dict[Path, str | None]:
    """The files to import, each with its ticker as the list spells it; None where a folder's file
    has no such name."""
    from deployments.registration.ticker_list import listed_spelling
    from stockml.prices.csv_import import files_in, ticker_of

    spelling = listed_spelling(current_home())

    def listed_ticker(path: Path) -> str | None:
        with suppress(InvalidTicker):  # reported when the file is read
            return spelling(ticker_of(path))
        return None

    if file and file.is_dir():
        raise BadParameter(
            f"expected a file of {ticker[:60]!r}, found a folder, whose files are named for theirs"
        )
    if file:
        return {file: spelling(as_ticker(ticker))}
    if not (paths := files_in(Path(ticker))):
        raise InvalidFile(
            ticker, "expected a folder of CSV files of daily prices, such as ibm.us.txt, found none"
        )
    return {path: listed_ticker(path) for path in paths}


def _read_all(
    files: Mapping[Path, str | None],
    read: Callable[[Path, str | None], FileResult],
    *,
    alone: bool,
    quiet: bool,
) -> tuple[list[dict[str, Any]], list[str], dict[str, StockmlError]]:
    """The results of `read` for JSON, their lines, and the refusals by file. Raises that of a file
    `alone`."""
    from rich.console import Console
    from rich.progress import Progress

    results, lines, refusals = list[dict[str, Any]](), list[str](), dict[str, StockmlError]()
    with Progress(console=Console(stderr=True), disable=alone or quiet) as bar:
        task = bar.add_task("reading", total=len(files))
        for path, ticker in files.items():
            bar.update(task, description=one_line(path.name))
            try:
                result, text = read(path, ticker)
            except StockmlError as refusal:
                if alone:
                    raise
                refusals[str(path)] = refusal
            else:
                results.append(result)
                lines += text
            bar.advance(task)
    return results, lines, refusals


def _understood(
    store: "BarStore", readings: "Readings", path: Path, ticker: str | None
) -> FileResult:
    """How a file is read; nothing is imported."""
    from stockml import clock
    from stockml.prices.csv_import import preview_import

    report, history = preview_import(store, path, now=clock.now(), ticker=ticker, readings=readings)
    span = {"first": str(report.first), "last": str(report.last), "missing": report.missing}
    summary = (
        f"{quantity(report.sessions, 'session')} as understood from {one_line(path.name)}; "
        "nothing was imported"
    )
    rows = rows_of(history.bars.loc[: str(report.last)], ends=3)
    plain = {"ticker": report.ticker, "file": path.name, "sessions": report.sessions, **span}
    return plain, [f"{report.ticker}: {summary}", rows, *_notes(report), *_set_aside(report)]


def _imported(
    store: "BarStore", readings: "Readings", path: Path, ticker: str | None
) -> FileResult:
    """Import a file; how it was read, and how its history fits the bars that were there."""
    from stockml import clock
    from stockml.nights.dataset import of_joins
    from stockml.prices.csv_import import import_file

    now = {"recorded_at": datetime.now(UTC), "now": clock.now()}
    report = import_file(store, path, **now, ticker=ticker, readings=readings)
    joins = of_joins(store.view(report.ticker))
    return {**vars(report), "joins": joins}, [
        _report_text(report),
        *(f"  {join}" for join in joins),
    ]


def _report_text(report: "ImportReport") -> str:
    if not report.recorded:
        return f"{report.ticker}: this history was there already, nothing changed"
    notes = _notes(report)
    end = f" ({'; '.join(notes)})" if notes else ""
    line = (
        f"{report.ticker}: {quantity(report.sessions, 'session')} from {report.first} to "
        f"{report.last} imported{end}"
    )
    return "\n".join([line, *_set_aside(report)])


def _notes(report: "ImportReport") -> list[str]:
    columns = ", ".join(report.no_volume_among)
    missing = quantity(report.missing, "session")
    closed = _listed(report.off_calendar)
    notes = {
        f"{missing} between the first and the last missing": report.missing,
        f"left out, not over yet: {_listed(report.not_over)}": report.not_over,
        f"{quantity(report.empty, 'row')} without prices left out": report.empty,
        f"{quantity(report.repaired, 'row')} repaired within rounding": report.repaired,
        f"volumes unknown: no column volume among {columns}": columns,
        "prices scaled to its adjusted close": report.adjusted,
        f"left out, no session of the exchange: {closed}": report.off_calendar,
    }
    return [note for note, applies in notes.items() if applies]


def _listed(days: Sequence[date]) -> str:
    more = " …" if len(days) > 3 else ""
    return ", ".join(map(str, days[:3])) + more


def _set_aside(report: "ImportReport") -> list[str]:
    lines = [f"  set aside {bar}" for bar in report.set_aside[:SHOWN_ROWS]]
    lines += [f"  and {more} more"] if (more := len(report.set_aside) - SHOWN_ROWS) > 0 else []
    return lines + ([f"  look at these prices: {report.suspicions}"] if report.suspicions else [])


@app.command()
def bars(
    ticker: Ticker,
    as_of: Annotated[
        datetime | None,
        Option(parser=as_time, metavar="TIME", help="Show bars as known then; UTC if no zone."),
    ] = None,
    adjusted: Annotated[
        bool, Option("--adjusted", help="Adjust for splits and join imported history.")
    ] = False,
    csv: Annotated[bool, Option("--csv", help="Print every bar as CSV.")] = False,
    restated: Annotated[
        bool, Option("--restated", help="Show values that the provider changed later.")
    ] = False,
    holes: Annotated[
        bool, Option("--holes", help="Show missing sessions and bars set aside.")
    ] = False,
    accept: Annotated[date | None, day("Use a bar that was set aside.", metavar="SESSION")] = None,
    reject: Annotated[
        date | None, day("Set a bar aside until it is restated.", metavar="SESSION")
    ] = None,
    calendar: Calendar = None,
    as_json: Json = False,
) -> None:
    """Show a ticker's stored bars. Or accept or reject a doubtful one."""
    from deployments.registration.ticker_list import ticker_store

    if csv and as_json:
        raise BadParameter("expected --csv or --json, found both")
    if sum(map(bool, (holes or accept or reject, restated, as_of or adjusted or csv))) > 1:
        raise BadParameter(
            "expected one of --holes (or --accept, --reject), --restated, and the bars themselves "
            "(--as-of, --adjusted, --csv), found two"
        )
    if accept and accept == reject:
        raise BadParameter(f"expected {accept} to be accepted or rejected, found both")
    store = ticker_store(current_home(), ticker, calendar)
    for session, accepted in ((accept, True), (reject, False)):
        if session:
            store.judge(
                ticker,
                session,
                accepted=accepted,
                recorded_at=datetime.now(UTC),
                source="stockml bars",
            )
    if csv:
        _read_bars(store, ticker, as_of, adjusted=adjusted)[0].to_csv(
            sys.stdout, date_format=DAY, lineterminator="\n"
        )
        return
    if holes or accept or reject:
        plain, text = _holes(ticker, store)
    elif restated:
        plain, text = _restated(ticker, store)
    else:
        plain, text = _bars(ticker, store, as_of, adjusted=adjusted)
    print(json_text({"ticker": ticker, **plain}) if as_json else text)


def _bars(
    ticker: str, store: "BarStore", as_of: datetime | None, *, adjusted: bool
) -> tuple[dict[str, Any], str]:
    """The bars for JSON, and the newest as text."""
    frame, how = _read_bars(store, ticker, as_of, adjusted=adjusted)
    values = frame.astype(object).where(frame.notna(), None).to_dict("records")
    rows = [
        {"session": f"{day:{DAY}}", **row} for day, row in zip(frame.index, values, strict=True)
    ]
    span = f"{rows[0]['session']} to {rows[-1]['session']}"
    head = f"{ticker}: {quantity(len(rows), 'session')}, {span}, {how}"
    text = f"{head}\n{rows_of(frame.tail(SHOWN_ROWS), ends=SHOWN_ROWS)}"
    return {"sessions": len(rows), "bars": rows}, text


def rows_of(bars: "pd.DataFrame", ends: int) -> str:
    shown = bars if len(bars) <= 2 * ends else bars.iloc[[*range(ends), *range(-ends, 0)]]
    return str(shown.to_string(float_format=lambda value: f"{value:,.4f}".rstrip("0").rstrip(".")))


def _holes(ticker: str, store: "BarStore") -> tuple[dict[str, Any], str]:
    view = store.view(ticker)
    holes = view.holes(store.sessions(ticker))
    aside = [{"session": str(bar.session), "reason": bar.reason} for bar in view.set_aside]
    lines = [f"{bar['session']} set aside: {bar['reason']}" for bar in aside] + [
        f"{day} no bar" for day in holes
    ]
    text = "\n".join(sorted(lines)) or f"{ticker}: every session has a bar that is believed"
    return {"holes": list(map(str, holes)), "set_aside": aside}, text


def _read_bars(
    store: "BarStore", ticker: str, as_of: datetime | None, *, adjusted: bool
) -> tuple["pd.DataFrame", str]:
    """Return the bars and a description of them; a ticker that was only imported has no raw
    bars."""
    with suppress(NoBars):
        if not adjusted:
            return store.read(ticker, as_of=as_of), "raw as traded"
    return store.adjusted(ticker, as_of=as_of), "adjusted" if adjusted else "adjusted, as imported"


def _restated(ticker: str, store: "BarStore") -> tuple[dict[str, Any], str]:
    changes = store.restatements(ticker)
    text = f"{ticker}: nothing was restated" if changes.empty else changes.to_string(index=False)
    return {"restated": json.loads(changes.to_json(orient="records", date_format="iso"))}, text
