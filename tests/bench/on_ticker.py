"""One ticker: its store, a night's training, and whole nights by `stockml nightly IBM`, each in a
new process with its own Prefect server."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from deployments.replay import Feed
from stockml.home import current_home
from stockml.models.trained_model import Decision
from stockml.prices.bars import Bars, Split, days_of
from stockml.prices.csv_import import import_file
from stockml.prices.series import PriceSeries
from stockml.prices.store import BarStore
from stockml.provider.client import AlphaVantage
from stockml.settings import Mode, Settings
from stockml.training.train import train
from tests.bench.material import TICKER, repeated, write_csv
from tests.bench.measuring import Ended, Measured, Scene, by_processes, stockml, timed
from tests.support.recordings import recorded

STORED, COMPACT, SESSIONS = 14_000, 100, 10_000
NOW = datetime(2026, 1, 5, 4, tzinfo=UTC)
WHAT = f"{SESSIONS:,} sessions: IBM's recording behind itself as imported history"


def append(scene: Scene) -> Iterator[Measured]:
    """Append a compact answer of 100 bars, one of them new, as every night does."""
    runs = scene.runs(40, 10)
    bars = repeated(STORED + runs + 1)
    store = _store(scene.folder / "append", bars.iloc[:STORED])

    def action(run: int) -> None:
        answer = bars.iloc[STORED + run + 1 - COMPACT : STORED + run + 1]
        assert _append(store, answer, NOW + timedelta(days=run + 1)) == 1

    yield timed("append", action, runs=runs, remark="100 bars come, one is new")


def read(scene: Scene) -> Iterator[Measured]:
    """Read adjusted bars as of a time, with two splits, and with later records that must be
    hidden."""
    bars = repeated(STORED + COMPACT)
    store = _store(scene.folder / "read", bars.iloc[:STORED])
    splits = [Split(bars.index[at].date(), 2.0) for at in (5_000, 9_000)]
    store.record_splits(TICKER, splits, recorded_at=NOW, source="bench")
    _append(store, bars.iloc[-COMPACT:], NOW + timedelta(days=9))

    def action(run: int) -> None:
        assert len(store.adjusted(TICKER, as_of=NOW + timedelta(days=1))) == STORED

    yield timed("read", action, runs=scene.runs(50, 15), remark="two splits")


def retrain(scene: Scene) -> Iterator[Measured]:
    """Train from the pretrained network on the whole history, and write the model's folder."""
    series = PriceSeries.from_bars(repeated(SESSIONS))

    def action(run: int) -> None:
        _train(series, "retrain", scene.folder / "retrain" / str(run))

    yield timed("retrain", action, runs=scene.runs(5, 2))


def fine_tune(scene: Scene) -> Iterator[Measured]:
    """Continue yesterday's champion."""
    series, champion = PriceSeries.from_bars(repeated(SESSIONS)), scene.folder / "champion"
    _train(series.until(SESSIONS - 1), "retrain", champion)

    def action(run: int) -> None:
        _train(series, "fine-tune", scene.folder / "fine-tune" / str(run), champion)

    yield timed("fine-tune", action, runs=scene.runs(5, 3))


def night(scene: Scene) -> Iterator[Measured]:
    """Measure a first night, nights with one new session each, and repeats of the last one."""
    new, again = scene.runs(3, 1), scene.runs(3, 1)
    days = days_of(recorded(TICKER)).tolist()[-new - 1 :]
    place = _with_history(scene.folder / "night", new + 1)
    with Feed() as feed:
        ended = []
        for day in days:
            feed.set_clock(day)
            ended.append(_night(place, feed))
        first, *others = ended
        yield by_processes("first night", [first], f"{WHAT}; history stored before")
        yield by_processes("night", others, f"{WHAT}; fine-tunes")
        largest = max(each.largest_bytes for each in ended)
        spent = [each.cpu_s for each in others]
        yield Measured("night cpu", spent, largest, remark="of all its processes")
        peaks = [float(each.together_bytes) for each in ended]
        remark = "all its processes, added up; the largest alone beside"
        yield Measured("night memory", peaks, largest, remark=remark)
        loading = _night(place, feed, PYTHONPROFILEIMPORTTIME="1")
        assert " tensorflow" not in loading.errors, "a night with nothing new imports TensorFlow"
        repeats = [_night(place, feed) for _ in range(again)]
        yield by_processes("night again", repeats, "TensorFlow is not imported")


def _with_history(folder: Path, untold: int) -> Path:
    """Make a home whose store lacks the last `untold` sessions of the recording; return its
    folder."""
    place = current_home({"STOCKML_HOME": str(folder)})
    store, now, known = BarStore.of(place), datetime.now(UTC), recorded(TICKER).iloc[:-untold]
    _append(store, known, now, AlphaVantage.name)
    past = write_csv(repeated(SESSIONS - untold, known), folder / "past.csv")
    import_file(store, past, recorded_at=now, ticker=TICKER)
    return place.root


def _night(place: Path, feed: Feed, **environment: str) -> Ended:
    ended = stockml(place, feed, "nightly", TICKER, "--json", **environment)
    assert ended.answer()["status"] == "completed", ended.output
    return ended


def _store(folder: Path, bars: Bars) -> BarStore:
    store = BarStore(folder / "store", folder / "locks")
    _append(store, bars, NOW)
    return store


def _append(store: BarStore, bars: Bars, at: datetime, source: str = "bench") -> int:
    """Append the bars; return how many sessions were new."""
    session = bars.index[-1].date()
    return store.append(TICKER, bars, recorded_at=at, source=source, session=session).added


def _train(series: PriceSeries, mode: Mode, folder: Path, champion: Path | None = None) -> None:
    decision = Decision(mode, "bench")
    train(series, Settings(mode=mode), decision, champion=champion, folder=folder)
