"""A share that goes on under another symbol: bars, forecasts, models, nights and MLflow follow it.

Each step looks at what is still under the old name, so a rename that was cut short is finished by the same command.
Until then, nights and other renames of these tickers are refused. Where machines share the state, a commit decides.
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
from stockml.storage.locks import file_lock
from stockml.storage.manifests import FOLDERS
from stockml.storage.os_errors import check_links, closed_to_us
from stockml.storage.sharing import interrupted_renames, rename_lock, rename_marker
from stockml.tickers import validated_ticker
from stockml.tracking.client import Tracking

TELLING_S = 600  # at most, of a share with many nights
TO_TELL = ".renamed"  # of the mark of a rename that MLflow is still to be told of


def rename(home: HomePaths, old: str, new: str, *, missed: Callable[[TrackingUnavailable], None]) -> tuple[str, ...]:
    """Move all that is kept of `old` to `new`; returns what moved, in words. `missed` is told if MLflow is away.

    Raises InvalidTicker, StoreError where `new` has something of its own already, where something of `old` cannot be
    reached, or another rename of either was cut short; StoreBusy while a night runs, here or on another machine that
    shares the state.
    """
    old, new = validated_ticker(old), validated_ticker(new)
    mark = rename_marker(home, old, new)
    with rename_lock(home, old, new):
        for half_done in interrupted_renames(home, {old, new}):
            if half_done.path != str(mark):
                raise half_done
        for before, after in _places(home, old, new):
            _check_reach(before)
            _has_something_to_move(before, after)
        BarStore.of(home).rename(old, new, only_check=True)
        Ledger(home.ledger).check_free(old, new)
        if home.state is None:
            mark.touch()
        moved = ["bars"] if BarStore.of(home).rename(old, new) else []
        moved += ["forecasts"] if Ledger(home.ledger).rename(old, new) else []
        for before, after in _places(home, old, new):
            if _has_something_to_move(before, after):
                if after.is_dir():  # nothing of its own
                    shutil.rmtree(after)
                before.rename(after)
                moved.append(before.parent.name)
        moved += ["champions"] if Registry(home.models).renamed(old, new) else []
        moved += _nights(home, old, new)
        mark.with_suffix(TO_TELL).touch()
        mark.unlink(missing_ok=True)
    try:
        with file_lock(home.locks / "renamed.lock", TELLING_S):
            moved += _told(home, new)
    except TrackingUnavailable as away:
        missed(away)
    return tuple(dict.fromkeys(moved))


def _told(home: HomePaths, new: str) -> list[str]:
    """Tell MLflow of the rename to `new`, after those that it goes on from and that were killed, or found it away."""
    wanted, untold, moved = new, list[Path](), list[str]()
    for mark in sorted(home.locks.glob(f"* *{TO_TELL}"), key=lambda path: path.stat().st_mtime_ns, reverse=True):
        before, after = mark.stem.split(" ")
        if after == wanted:
            untold.append(mark)
            wanted = before
    for mark in reversed(untold):
        moved += Tracking(home).rename(*mark.stem.split(" "))
        mark.unlink()
    return moved


def is_known(home: HomePaths, ticker: str) -> bool:
    """Whether anything is kept of the ticker; for a new name, whether the rename was already made."""
    places = (_held(after) for _, after in _places(home, ticker, ticker))
    kept = any(places) or Ledger(home.ledger).file(ticker).exists()
    return kept or ticker in BarStore.of(home).tickers()


def _places(home: HomePaths, old: str, new: str) -> list[tuple[Path, Path]]:
    """The old and new path of everything that is found by the name of its folder or file alone."""
    found = [(home.root / what / old, home.root / what / new) for what in (*FOLDERS, "plots")]
    return [*found, (home.settings / f"{old}.json", home.settings / f"{new}.json")]


def _check_reach(path: Path) -> None:
    """Raise StoreError if not all that is kept there can be moved: the rest would be left under the old name."""
    check_links([path])
    if closed := next(closed_to_us(path), None):
        why = "expected what may be read and written, found it closed; restore access, then run this again"
        raise StoreError(str(closed), why)


def _has_something_to_move(before: Path, after: Path) -> bool:
    """Whether there is something to move. Raises StoreError if something of its own is in its way.

    A killed rename leaves copies under the new name where machines share the state: it brings the old name's back.
    """
    found, there = _held(before), _held(after)
    differs = before.is_file() and after.is_file() and before.read_bytes() != after.read_bytes()
    if found and (differs or not there <= found):
        raise StoreError(str(after), f"expected nothing there yet, found data beside {before}; move one of them away")
    return bool(found)


def _held(path: Path) -> set[Path]:
    """What is kept there. What another machine moved away leaves its folders, and locks in them, behind."""
    files = [path] if path.is_file() else [each for each in path.rglob("[!.]*") if each.is_file()]
    return {each.relative_to(path) for each in files}


def _nights(home: HomePaths, old: str, new: str) -> list[str]:
    """Write the new ticker into the records. The newest's key figures, of the old one, count for none."""
    renamed = 0
    for path in sorted(home.nights.glob(f"{new}/*/night.json")):
        with suppress(InvalidFile):  # a damaged one is left as it is: whoever reads it is told
            write_night(replace(read_night(path, of=old), ticker=new), path)
            renamed += 1
    return [f"records of {quantity(renamed, 'night')}"] if renamed else []
