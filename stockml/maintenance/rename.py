"""A share that gets another symbol: bars, forecasts, models, nights and MLflow follow it.

The same command finishes one that was cut short; until then, nights of these tickers are refused.
"""

import shutil
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from stockml.errors import InvalidFile, StoreError
from stockml.forecasts.ledger import Ledger
from stockml.home import HomePaths
from stockml.models.registry import Registry
from stockml.nights.record import read_night, write_night
from stockml.prices.store import BarStore
from stockml.storage.locks import interrupted_renames, rename_lock, rename_marker
from stockml.storage.os_errors import check_links, closed_to_us
from stockml.tickers import validated_ticker
from stockml.tracking.client import Tracking

FOLDERS = ("models", "nights", "payloads", "evaluations", "datasets", "plots")  # one a ticker


def rename(home: HomePaths, old: str, new: str) -> tuple[str, ...]:
    """Move all data of `old` to `new`; returns what moved, in words.

    Raises InvalidTicker; StoreError where `new` has data already, data of `old` cannot be reached,
    or another rename of either was cut short; StoreBusy while a night runs; TrackingUnavailable.
    """
    old, new = validated_ticker(old), validated_ticker(new)
    mark, store, ledger = rename_marker(home, old, new), BarStore.of(home), Ledger(home.ledger)
    with rename_lock(home, old, new):
        for half_done in interrupted_renames(home, {old, new}):
            if half_done.path != str(mark):
                raise half_done
        for before, after in _paths(home, old, new):
            _check(before, after)
        store.rename(old, new, only_check=True)
        ledger.check_free(old, new)
        moved = Tracking(home).rename(old, new)
        mark.touch()
        moved += ["bars"] if store.rename(old, new) else []
        moved += ["forecasts"] if ledger.rename(old, new) else []
        for before, after in _paths(home, old, new):
            if _has_files(before):
                shutil.rmtree(after, ignore_errors=True)  # nothing but locks
                before.rename(after)
                moved.append(before.parent.name)
        moved += ["champions"] if Registry(home.models).rename(old, new) else []
        for path in sorted(home.nights.glob(f"{new}/*/night.json")):
            with suppress(InvalidFile):  # a damaged one is left, or it was written before
                write_night(replace(read_night(path, of=old), ticker=new), path)
        mark.unlink()
    return tuple(moved)


def is_known(home: HomePaths, ticker: str) -> bool:
    paths = [Ledger(home.ledger).file(ticker), *(path for path, _ in _paths(home, ticker, ticker))]
    return any(map(_has_files, paths)) or ticker in BarStore.of(home).tickers()


def _paths(home: HomePaths, old: str, new: str) -> list[tuple[Path, Path]]:
    """The old and new path of all that only its folder's or file's name gives to a ticker."""
    folders = [(home.root / kind / old, home.root / kind / new) for kind in FOLDERS]
    return [*folders, (home.settings / f"{old}.json", home.settings / f"{new}.json")]


def _check(before: Path, after: Path) -> None:
    """Raise StoreError for what cannot be moved, or is in the way."""
    check_links([before])
    if closed := next(closed_to_us(before), None):
        raise StoreError(str(closed), "expected what we may read and write, found it closed to us")
    if _has_files(before) and _has_files(after):
        why = f"expected nothing there yet, found data beside {before}; move one of them away"
        raise StoreError(str(after), why)


def _has_files(path: Path) -> bool:
    return path.is_file() or any(file.is_file() for file in path.rglob("[!.]*"))
