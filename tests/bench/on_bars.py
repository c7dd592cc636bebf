"""Benchmarks of payloads, store, import and baselines: no network, no server."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from stockml.models.baselines import baseline_paths
from stockml.prices.bars import Bars, Split, checked
from stockml.prices.calendar import sessions_for
from stockml.prices.csv_import import import_file
from stockml.prices.series import PriceSeries
from stockml.prices.store import BarStore
from stockml.provider.parsing import parse_daily
from tests.bench.material import TICKER, csv_file, long_bars, payload
from tests.bench.measuring import Measured, Scene, timed

PAYLOAD_SESSIONS, STORED_SESSIONS, COMPACT = 6_300, 14_000, 100
HORIZON = 50
NOW = datetime(2026, 1, 5, 4, tzinfo=UTC)


def parse(scene: Scene) -> Iterator[Measured]:
    """Parse and check the provider's bytes, up to bars ready to store."""
    bars, what = long_bars(PAYLOAD_SESSIONS)
    content, last, calendar = payload(bars), bars.index[-1].date(), sessions_for(TICKER)

    def action(run: int) -> None:
        bars = parse_daily(content, TICKER, last_final=last)
        assert len(checked(TICKER, bars, calendar)) == PAYLOAD_SESSIONS

    yield timed(
        "parse", action, runs=scene.runs(30, 10), remark=f"{what}, {len(content) / 1e6:.1f} MB"
    )


def append(scene: Scene) -> Iterator[Measured]:
    """Append a compact answer of 100 bars, one of them new, as every night does."""
    runs = scene.runs(40, 10)
    bars, what = long_bars(STORED_SESSIONS + runs + 1)
    store = _store(scene.folder / "append", bars.iloc[:STORED_SESSIONS])

    def action(run: int) -> None:
        answer = bars.iloc[STORED_SESSIONS + run + 1 - COMPACT : STORED_SESSIONS + run + 1]
        session, recorded_at = answer.index[-1].date(), NOW + timedelta(days=run + 1)
        receipt = store.append(
            TICKER, answer, recorded_at=recorded_at, source="bench", session=session
        )
        assert receipt.added == 1

    yield timed("append", action, runs=runs, remark=f"{what}; 100 bars come, one is new")


def read(scene: Scene) -> Iterator[Measured]:
    """Read adjusted bars as of a time, with two splits, and with later records that must be
    hidden."""
    bars, what = long_bars(STORED_SESSIONS + COMPACT)
    store = _store(scene.folder / "read", bars.iloc[:STORED_SESSIONS])
    splits = [Split(bars.index[at].date(), 2.0) for at in (5_000, 9_000)]
    store.record_splits(TICKER, splits, recorded_at=NOW, source="bench")
    later = {
        "recorded_at": NOW + timedelta(days=9),
        "source": "bench",
        "session": bars.index[-1].date(),
    }
    store.append(TICKER, bars.iloc[-COMPACT:], **later)

    def action(run: int) -> None:
        assert len(store.adjusted(TICKER, as_of=NOW + timedelta(days=1))) == STORED_SESSIONS

    yield timed("read", action, runs=scene.runs(50, 15), remark=f"{what}, two splits")


def import_csv(scene: Scene) -> Iterator[Measured]:
    """Import a CSV file (read, check, write), each run into a new store."""
    path, what = csv_file(scene.folder)

    def action(run: int) -> None:
        import_file(
            _empty(scene.folder / "import" / str(run)), path, recorded_at=NOW, ticker=TICKER
        )

    yield timed("import", action, runs=scene.runs(10, 3), remark=what)


def baselines(scene: Scene) -> Iterator[Measured]:
    """All baselines, one step ahead of every session and 50-step paths from every tenth, as a night
    scores them."""
    bars, what = long_bars(STORED_SESSIONS)
    mid, origins = PriceSeries.from_bars(bars).mid, np.arange(0, STORED_SESSIONS, 10)

    def action(run: int) -> None:
        baseline_paths(mid, origins, HORIZON)
        baseline_paths(mid, np.arange(STORED_SESSIONS), 1)

    remark = f"{what}; one step everywhere, 50-step paths from {len(origins):,} origins"
    yield timed("baselines", action, runs=scene.runs(50, 15), remark=remark)


def _empty(folder: Path) -> BarStore:
    return BarStore(folder / "store", folder / "locks")


def _store(folder: Path, bars: Bars) -> BarStore:
    store = _empty(folder)
    store.append(TICKER, bars, recorded_at=NOW, source="bench", session=bars.index[-1].date())
    return store
