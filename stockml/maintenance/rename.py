"""A share that gets another symbol: bars, forecasts, models, nights and MLflow follow it.

Each step moves what is still under the old name, so the same command finishes an interrupted rename. Until then,
nights and other renames of these tickers are refused.
"""

import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from stockml.errors import InvalidFile, StoreError, TrackingUnavailable, quantity
from stockml.forecasts.ledger import Ledger
from stockml.home import HomePaths
from stockml.models.registry import Registry
from stockml.nights.record import read_night, write_night
from stockml.prices.store import BarStore
from stockml.storage.locks import file_lock, interrupted_renames, rename_lock, rename_marker
from stockml.storage.os_errors import check_links, closed_to_us
from stockml.tickers import validated_ticker
from stockml.tracking.client import Tracking

MAX_LOGGING_S = 600  # for a share with many nights
FOLDERS = ("models", "nights", "payloads", "evaluations", "datasets")  # each holds one folder a ticker
MLFLOW_PENDING = ".renamed"  # suffix of the marker of a rename that MLflow lacks


def rename(home: HomePaths, old: str, new: str, *, missed: Callable[[TrackingUnavailable], None]) -> tuple[str, ...]:
    """Move all data of `old` to `new`; returns what moved, in words. Calls `missed` if MLflow is away.

    Raises InvalidTicker, StoreError where `new` has data already, where data of `old` cannot be reached, or another
    rename of either was interrupted; StoreBusy while a night runs.
    """
    old, new = validated_ticker(old), validated_ticker(new)
    mark = rename_marker(home, old, new)
    with rename_lock(home, old, new):
        for half_done in interrupted_renames(home, {old, new}):
            if half_done.path != str(mark):
                raise half_done
        for before, after in _paths(home, old, new):
            _check_reach(before)
            _has_something_to_move(before, after)
        BarStore.of(home).rename(old, new, only_check=True)
        Ledger(home.ledger).check_free(old, new)
        mark.touch()
        moved = ["bars"] if BarStore.of(home).rename(old, new) else []
        moved += ["forecasts"] if Ledger(home.ledger).rename(old, new) else []
        for before, after in _paths(home, old, new):
            if _has_something_to_move(before, after):
                if after.is_dir():  # nothing of its own
                    shutil.rmtree(after)
                before.rename(after)
                moved.append(before.parent.name)
        moved += ["champions"] if Registry(home.models).rename(old, new) else []
        moved += _rename_records(home, old, new)
        mark.with_suffix(MLFLOW_PENDING).touch()
        mark.unlink(missing_ok=True)
    try:
        with file_lock(home.locks / "renamed.lock", MAX_LOGGING_S):
            moved += _rename_in_mlflow(home, new)
    except TrackingUnavailable as away:
        missed(away)
    return tuple(dict.fromkeys(moved))


def _rename_in_mlflow(home: HomePaths, new: str) -> list[str]:
    """Rename to `new` in MLflow, after earlier ones of its chain that MLflow missed."""
    name, pending, moved = new, list[Path](), list[str]()
    for mark in sorted(home.locks.glob(f"* *{MLFLOW_PENDING}"), key=lambda path: path.stat().st_mtime_ns, reverse=True):
        before, after = mark.stem.split(" ")
        if after == name:
            pending.append(mark)
            name = before
    for mark in reversed(pending):
        moved += Tracking(home).rename(*mark.stem.split(" "))
        mark.unlink()
    return moved


def is_known(home: HomePaths, ticker: str) -> bool:
    """Whether there is data of the ticker; for a new name, whether the rename was already made."""
    files = (_files_below(after) for _, after in _paths(home, ticker, ticker))
    has_files = any(files) or Ledger(home.ledger).file(ticker).exists()
    return has_files or ticker in BarStore.of(home).tickers()


def _paths(home: HomePaths, old: str, new: str) -> list[tuple[Path, Path]]:
    """The old and new path of everything that only its folder's or file's name assigns to a ticker."""
    folders = [(home.root / kind / old, home.root / kind / new) for kind in (*FOLDERS, "plots")]
    return [*folders, (home.settings / f"{old}.json", home.settings / f"{new}.json")]


def _check_reach(path: Path) -> None:
    """Raise StoreError if not everything there can be moved: the rest would keep the old name."""
    check_links([path])
    if closed := next(closed_to_us(path), None):
        why = "expected what may be read and written, found it closed; restore access, then run this again"
        raise StoreError(str(closed), why)


def _has_something_to_move(before: Path, after: Path) -> bool:
    """Whether there is something to move. Raises StoreError if other data is in its way."""
    old_files, new_files = _files_below(before), _files_below(after)
    differs = before.is_file() and after.is_file() and before.read_bytes() != after.read_bytes()
    if old_files and (differs or not new_files <= old_files):
        raise StoreError(str(after), f"expected nothing there yet, found data beside {before}; move one of them away")
    return bool(old_files)


def _files_below(path: Path) -> set[Path]:
    """The files there. A move by another machine leaves folders, and locks in them, behind."""
    files = [path] if path.is_file() else [file for file in path.rglob("[!.]*") if file.is_file()]
    return {file.relative_to(path) for file in files}


def _rename_records(home: HomePaths, old: str, new: str) -> list[str]:
    """Write the new ticker into the records. The old ticker's key figures file is then ignored."""
    renamed = 0
    for path in sorted(home.nights.glob(f"{new}/*/night.json")):
        with suppress(InvalidFile):  # a damaged one is left: reading it raises
            write_night(replace(read_night(path, of=old), ticker=new), path)
            renamed += 1
    return [f"records of {quantity(renamed, 'night')}"] if renamed else []
