"""How runs, readers and commands check out and commit a shared state; only locks where the home is the state."""

from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from stockml.errors import StockmlError, StoreBusy, StoreError
from stockml.home import HomePaths
from stockml.storage.locks import file_lock
from stockml.storage.manifests import COMMON, LAST_RUN_SUFFIX, is_merged
from stockml.storage.os_errors import check_home
from stockml.storage.shared_state import Depth, SharedState

BUSY_S, MOVE_BUSY_S = 30.0, 1.0  # to wait for a lock; a person waits for a rename
AT_ONCE = 16  # parts; more would each hold a connection to the database while they are committed
T = TypeVar("T")


@contextmanager
def ticker_lock(home: HomePaths, ticker: str, timeout_s: float = BUSY_S) -> Iterator[None]:
    """Hold the ticker's lock, here and on every machine that shares the state.

    On entry its files are checked out as last committed; on exit changes are committed. Raises StoreBusy, StoreError.
    """
    check_home(home)
    with ExitStack() as stack:
        stack.enter_context(_lock(home, ticker, timeout_s))
        for error in interrupted_renames(home, {ticker}):
            raise error
        if state := SharedState.of(home):
            stack.enter_context(state.database.locked(ticker, timeout_s))
            _checkout_common(home, state)
            state.checkout(ticker, Depth.NIGHT)
            stack.enter_context(committing(lambda: commit(home, ticker)))
        yield


@contextmanager
def rename_lock(home: HomePaths, old: str, new: str) -> Iterator[None]:
    """Hold two tickers' locks, on every machine, while the data of `old` is moved to `new`.

    On entry both are checked out; on exit `new` is committed first, then the removal from `old`: a kill in between
    leaves both. Raises StoreBusy, StoreError.
    """
    check_home(home)
    with ExitStack() as stack:
        state = SharedState.of(home)
        for ticker in sorted({old, new}):
            stack.enter_context(_lock(home, ticker, MOVE_BUSY_S))
            if state:
                stack.enter_context(state.database.locked(ticker, MOVE_BUSY_S))
                state.checkout(ticker)
        stack.enter_context(committing(lambda: _commit_renamed(home, old, new)))
        yield


def rename_marker(home: HomePaths, old: str, new: str) -> Path:
    """The mark that exists while the files of `old` are moved to `new`, and stays if that is cut short."""
    return home.locks / f"{old} {new}.renaming"


def interrupted_renames(home: HomePaths, tickers: Collection[str] | None = None) -> Iterator[StoreError]:
    """Yield the renamings, of these tickers or of any, that were interrupted: each must be finished first."""
    for mark in sorted(home.locks.glob("* *.renaming")):
        old, new = mark.stem.split(" ")
        if tickers is None or {old, new} & {*tickers}:
            advice = f"finish it: `stockml rename {old} {new}`"
            yield StoreError(str(mark), f"expected {old} renamed to {new}, found that it was cut short; {advice}")


@contextmanager
def committing(commit: Callable[[], None]) -> Iterator[None]:
    """Commit after the block, also after one that fails or is cancelled: it may have stored bars, or moved files.

    An error of the block is raised, not that of the commit after it.
    """
    try:
        yield
    except BaseException:
        with suppress(StockmlError):
            commit()
        raise
    commit()


def _commit_renamed(home: HomePaths, old: str, new: str) -> None:
    if state := SharedState.of(home):
        for part in (new, new + LAST_RUN_SUFFIX, COMMON, old, old + LAST_RUN_SUFFIX):
            with _lock(home, part) if is_merged(part) else nullcontext():
                state.commit(part, may_remove=True)


def commit(home: HomePaths, ticker: str) -> None:
    """Commit the changes so far, within `ticker_lock`. Raises StoreBusy, StoreError."""
    if state := SharedState.of(home):
        state.commit(ticker)
        commit_merged(home)


def refresh(home: HomePaths, tickers: Iterable[str] | None = None, depth: Depth = Depth.NIGHT) -> None:
    """Check these tickers (None: all) out for reading, as last committed, except those with a run at work here."""
    if (state := SharedState.of(home)) is None:
        return
    versions = state.parts()
    if not state.is_current(COMMON, versions.get(COMMON), Depth.EVERYTHING):
        _checkout_common(home, state)

    def checkout(part: str) -> None:
        with suppress(StoreBusy), _lock(home, part, 0):
            state.checkout(part, depth, versions[part])

    parts = versions.keys() - {COMMON} if tickers is None else versions.keys() & _parts_of(tickers)
    _in_parallel(state, checkout, (part for part in sorted(parts) if not state.is_current(part, versions[part], depth)))


def commit_merged(home: HomePaths, part: str = COMMON) -> None:
    """Commit the files that belong to no ticker, or how a ticker's newest run ended, even while another holds its lock.

    Raises StoreBusy if another machine changed the same file.
    """
    if state := SharedState.of(home):
        with _lock(home, part):
            state.commit(part)


def commit_all(home: HomePaths, tickers: Iterable[str] | None = None, *, may_remove: bool = False) -> None:
    """Commit a command's changes to these tickers (None: all), except those with a run at work here.

    Raises StoreBusy, once the others are committed, for the first on which another machine is at work, or which it
    committed meanwhile; StoreError.
    """
    if (state := SharedState.of(home)) is None:
        return
    with _lock(home, COMMON):
        refused = [_refusal(state, COMMON, may_remove)]

    def commit_part(part: str) -> StoreBusy | None:
        with suppress(StoreBusy), _lock(home, part, 0):
            return _refusal(state, part, may_remove)
        return None

    parts = state.parts_here() - {COMMON}
    refused += _in_parallel(state, commit_part, sorted(parts if tickers is None else parts & _parts_of(tickers)))
    for busy in filter(None, refused):
        raise busy


def _refusal(state: SharedState, part: str, may_remove: bool) -> StoreBusy | None:
    """Commit the part; return the refusal if another machine is or was at work on it.  Raises StoreError."""
    try:
        state.commit(part, may_remove=may_remove, held=False)
    except StoreBusy as busy:
        return busy
    return None


def unreferenced_before(home: HomePaths, before: datetime, *, remove: bool) -> dict[str, int]:
    """Bytes of each unreferenced object written before `before`; a newer one may belong to a commit in progress."""
    if (state := SharedState.of(home)) is None:
        return {}
    unreferenced = state.unreferenced().items()
    old = {name: int(info["size"]) for name, info in unreferenced if state.objects.written_at(name, info) < before}
    if remove:
        state.objects.remove(old)
    return old


def _in_parallel(state: SharedState, work: Callable[[str], T], parts: Iterable[str]) -> list[T]:
    """Do it for several parts at once; after an error, no further part begins."""
    state.objects.open()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(work, parts))


def _parts_of(tickers: Iterable[str]) -> set[str]:
    return {part for ticker in tickers for part in (ticker, ticker + LAST_RUN_SUFFIX)}


def _checkout_common(home: HomePaths, state: SharedState) -> None:
    with _lock(home, COMMON):
        state.checkout(COMMON)


def _lock(home: HomePaths, part: str, timeout_s: float = BUSY_S) -> AbstractContextManager[None]:
    """The local lock for checking out or committing the part; a ticker's is also the lock of its night."""
    name = "common" if part == COMMON else part if part.endswith(LAST_RUN_SUFFIX) else f"{part}.night"
    return file_lock(home.locks / f"{name}.lock", timeout_s)
