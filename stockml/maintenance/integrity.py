"""Whether everything that cannot be made again is there and undamaged. Changes nothing."""

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from stockml.errors import HistoryError, InvalidFile, NoBars, OtherVersion, StoreError
from stockml.forecasts.ledger import Ledger
from stockml.home import HomePaths
from stockml.models.registry import FILE, Registry, check_intact
from stockml.models.trained_model import vintage_files
from stockml.models.vintage_store import KINDS, OWN, read
from stockml.nights.record import check_night, kept_night, kept_nights
from stockml.storage.arrays import unpacked_by_name
from stockml.storage.os_errors import refused
from stockml.storage.receipts import unsealed
from stockml.tickers import TICKER

T = TypeVar("T")
NO_BARS = "no bars, though there are forecasts or a champion of it"
BARS_BACK = "restore it from a backup, or fetch anew with `stockml nightly`"
SUPERSEDED = "restore it from a backup, or move it away: what stands on it is then trained anew"


def missing(home: HomePaths) -> Iterator[str]:
    """The missing ledgers and promotion histories that nights' records imply, one line each."""
    for ticker in _tickers_of_nights(home):
        ledger, promotions = Ledger(home.ledger).file(ticker), Registry(home.models).file(ticker)
        nights = [] if ledger.exists() and promotions.exists() else kept_nights(home.nights, ticker)
        # the last may still be about to promote
        finished = sorted(nights, key=lambda night: night.finished_at)[:-1]
        promoted = [night for night in finished if night.verdict and night.verdict.promoted]
        for path, evidence, what in (
            (ledger, nights, "forecasts"),
            (promotions, promoted, "promotions"),
        ):
            if evidence and not path.exists():
                why = f"expected the {what} that records of nights tell of, found no file"
                yield f"{path}: {why}; restore it from a backup"


def damaged_vintages(home: HomePaths) -> Iterator[str]:
    for kind in KINDS.values():
        yield from _faults(read, sorted(home.pretrained.glob(kind.pattern)))
        superseded = _faults(read, sorted(home.pretrained.glob(f"superseded/*/{kind.pattern}")))
        yield from (fault.replace(OWN, SUPERSEDED) for fault in superseded)


def damaged_nights(home: HomePaths) -> Iterator[str]:
    """The records of nights that cannot be read or are not as they were written, one line each."""
    paths = (home.nights.glob(f"{ticker}/*/night.json") for ticker in _tickers_of_nights(home))
    return _faults(check_night, sorted(path for ticker_paths in paths for path in ticker_paths))


def _faults(check: Callable[[T], object], names: Iterable[T]) -> Iterator[str]:
    for name in names:
        try:
            check(name)
        except (NoBars, HistoryError):  # nothing there, or nothing that fits: no damage
            continue
        except (
            StoreError,
            InvalidFile,
            OSError,
        ) as fault:  # the last of a file that belongs to another user, say
            yield refused(fault)


def check_champion(home: HomePaths, ticker: str) -> None:
    """Raise StoreError or InvalidFile if the champion or one of its pretrained networks has changed
    since the promotion, or if its evaluation, from which MLflow's model is made, is missing or
    damaged."""
    if champion := Registry(home.models).champion(ticker):
        check_intact(ticker, champion.path, champion.sha256)
        with suppress(OtherVersion):  # the next night trains anew
            vintage_files(Path(champion.path))
        night = kept_night(home.nights, ticker, champion.key)
        if night and night.evaluation_folder:
            _check_evaluation(Path(night.evaluation_folder))


def _check_evaluation(folder: Path) -> None:
    """Check only the files: other figures, as of an earlier version, are no damage. Raises
    InvalidFile."""
    try:
        json.loads(unsealed((folder / "assessment.json").read_bytes()))
        unpacked_by_name((folder / "paths.npz").read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        damaged = (
            "no " + Path(error.filename).name
            if isinstance(error, FileNotFoundError)
            else str(error)
        )
        way_back = "restore it from a backup; without it MLflow's model of it cannot be made again"
        why = f"expected the champion's evaluation, found {damaged}; {way_back}"
        raise InvalidFile(str(folder), why) from error


def database_fault(path: Path, table: str, *, thorough: bool = False) -> str | None:
    """What is wrong with a program's SQLite file, which must have `table`; None if nothing, or no
    file. Nothing that was committed is changed. thorough: check all pages.

    A file that another program has locked is in use, and so not wrong.
    """
    if not path.exists():
        return None
    if path.stat().st_size == 0:
        return "an empty file"
    try:
        with closing(
            sqlite3.connect(f"file:{quote(str(path))}?mode=rw", uri=True, timeout=1)
        ) as database:
            if table not in {
                name for name, _ in database.execute("SELECT name, sql FROM sqlite_master")
            }:
                return f"no table `{table}`"
            [answer] = database.execute("PRAGMA quick_check(1)").fetchone() if thorough else ["ok"]
    except sqlite3.Error as error:
        is_locked = getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
        return None if is_locked else str(error)
    return None if answer == "ok" else str(answer)


def promoted_tickers(home: HomePaths) -> list[str]:
    """The tickers with a promotion history; folders of other names, such as a copy made by hand,
    are ignored."""
    return _valid_tickers(path.parent.name for path in home.models.glob(f"*/{FILE}"))


def tuned_tickers(home: HomePaths) -> list[str]:
    """The tickers with tuned settings; files of other names are ignored likewise."""
    return _valid_tickers(path.stem for path in home.settings.glob("*.json"))


def _tickers_of_nights(home: HomePaths) -> list[str]:
    return _valid_tickers(path.name for path in home.nights.glob("*"))


def _valid_tickers(names: Iterable[str]) -> list[str]:
    return sorted(filter(TICKER.fullmatch, names))
