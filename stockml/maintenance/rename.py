"""A share that goes on under another symbol: bars, forecasts, models, nights and MLflow follow it.

Each step looks at what is still under the old name, so a rename that was cut short is finished by the same command.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from stockml.errors import InvalidFile, StoreError, TrackingUnavailable
from stockml.forecasts.ledger import Ledger
from stockml.home import Home
from stockml.models.registry import Registry
from stockml.nights import glance
from stockml.nights.record import read_night, write_night
from stockml.prices.store import BarStore
from stockml.storage.files import file_lock
from stockml.tickers import validated_ticker
from stockml.tracking.client import Tracking


def rename(home: Home, old: str, new: str, *, missed: Callable[[TrackingUnavailable], None]) -> tuple[str, ...]:
    """Move all that is kept of `old` to `new`; what was moved, in words. MLflow that is away is told to `missed`.

    Raises InvalidTicker, StoreError where `new` has something of its own already, StoreBusy while a night runs.
    """
    old, new = validated_ticker(old), validated_ticker(new)
    with ExitStack() as nights:
        for ticker in sorted({old, new}):
            nights.enter_context(file_lock(home.locks / f"{ticker}.night.lock", 1.0))
        for before, after in _places(home, old, new):
            _is_free(before, after)
        Ledger(home.ledger).check_free(old, new)
        moved = [*_bars(home, old, new), *_ledger(home, old, new), *_folders(home, old, new)]
        if Registry(home.models).renamed(old, new):
            moved.append("champions")
        moved += _nights(home, old, new)
    try:
        moved += Tracking.of(home).rename(old, new)
    except TrackingUnavailable as away:
        missed(away)
    return tuple(moved)


def is_known(home: Home, ticker: str) -> bool:
    """Whether anything is kept of it: of the new name, that the rename was made before."""
    places = (after.exists() for _, after in _places(home, ticker, ticker))
    kept = any(places) or Ledger(home.ledger).file(ticker).exists()
    return kept or ticker in BarStore(home.store, home.locks).tickers()


def _renamed(path: Path, old: str, new: str) -> Path:
    """A place within the home, below the new name's folder."""
    return Path(*(new if part == old else part for part in path.parts))


def _bars(home: Home, old: str, new: str) -> Iterator[str]:
    moved = BarStore(home.store, home.locks).rename(old, new)
    yield from ["bars"] if moved else []


def _ledger(home: Home, old: str, new: str) -> Iterator[str]:
    moved = Ledger(home.ledger).rename(old, new)
    yield from ["forecasts"] if moved else []


def _folders(home: Home, old: str, new: str) -> Iterator[str]:
    for before, after in _places(home, old, new):
        if _is_free(before, after):
            before.rename(after)
            yield before.parent.name


def _places(home: Home, old: str, new: str) -> list[tuple[Path, Path]]:
    """What is looked up by the name of its folder or file alone."""
    folders = ("models", "nights", "evaluations", "datasets", "plots", "payloads")
    found = [(home.root / what / old, home.root / what / new) for what in folders]
    return [*found, (home.settings / f"{old}.json", home.settings / f"{new}.json")]


def _is_free(before: Path, after: Path) -> bool:
    """Whether there is something to move, and nothing in its way. Raises StoreError."""
    if before.exists() and after.exists():
        raise StoreError(str(after), f"expected nothing there yet, found data beside {before}; move one of them away")
    return before.exists()


def _nights(home: Home, old: str, new: str) -> Iterator[str]:
    """The records name their ticker, and where their files are; the glance at the newest is made again from them."""
    (home.nights / new / glance.FILE).unlink(missing_ok=True)
    for path in sorted(home.nights.glob(f"{new}/*/night.json")):
        try:
            night = read_night(path)
        except InvalidFile:
            continue  # as it was: it says itself that it cannot be read
        if night.ticker == old:
            places = ("model_folder", "evaluation_folder", "dataset_path", "plots_folder")
            there: dict[str, Any] = {
                name: str(home.root / _renamed(Path(value).relative_to(home.root), old, new))
                for name in places
                if (value := getattr(night, name))
            }
            write_night(replace(night, ticker=new, **there), path)
            yield f"night of {night.session}"
