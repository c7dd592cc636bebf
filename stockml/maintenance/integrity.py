"""Whether everything that cannot be made again is as it was written. Changes nothing."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar

from stockml.errors import HistoryError, InvalidFile, NoBars, StoreError
from stockml.forecasts.ledger import Ledger
from stockml.home import Home
from stockml.models.pooled_vintages import KINDS, read
from stockml.models.registry import FILE, Registry, check_intact
from stockml.models.trained_model import pool_files
from stockml.nights.record import check_night
from stockml.prices.store import BarStore
from stockml.tickers import TICKER
from stockml.training.tuned_settings import tuned_settings

T = TypeVar("T")


def faults(home: Home) -> Iterator[str]:
    """What is damaged of bars, forecasts, champions, settings, bases and nights: a line each, with the way back."""
    store, ledger = BarStore.of(home), Ledger(home.ledger)
    yield from _faults(store.view, store.tickers())
    yield from _faults(ledger.entries, _stems(home.ledger, "*.parquet"))
    yield from _faults(partial(check_champion, home), [path.parent.name for path in home.models.glob(f"*/{FILE}")])
    yield from _faults(partial(tuned_settings, home), _stems(home.settings, "*.json"))
    yield from damaged_bases(home)
    yield from damaged_nights(home)


def damaged_bases(home: Home) -> Iterator[str]:
    for kind in KINDS.values():
        kept = [path for folder in ("", "superseded/*/") for path in home.bases.glob(f"{folder}{kind.pattern}")]
        yield from _faults(read, sorted(kept))


def damaged_nights(home: Home) -> Iterator[str]:
    """The records of nights that cannot be read, or are not as they were written, a line each."""
    return _faults(check_night, sorted(home.nights.glob("*/*/night.json")))


def _faults(look: Callable[[T], object], names: Iterable[T]) -> Iterator[str]:
    for name in names:
        try:
            look(name)
        except (NoBars, HistoryError):  # nothing there, or nothing that fits: no damage
            continue
        except (StoreError, InvalidFile) as fault:
            yield str(fault)


def check_champion(home: Home, ticker: str) -> None:
    """Raises StoreError or InvalidFile where the champion, or a base that it stands on, is not as it was promoted."""
    if champion := Registry(home.models).champion(ticker):
        check_intact(ticker, champion.path, champion.sha256)
        pool_files(Path(champion.path))


def _stems(folder: Path, pattern: str) -> list[str]:
    return sorted(path.stem for path in folder.glob(pattern) if TICKER.fullmatch(path.stem))
