"""Whole nights of one ticker: `stockml nightly IBM`, each in a new process with its own Prefect
server."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from deployments.replay.feed import Feed
from stockml.home import HomePaths, current_home
from stockml.prices.bars import days_of
from stockml.prices.csv_import import import_file
from stockml.prices.store import BarStore
from stockml.provider.client import AlphaVantage
from tests.bench.material import TICKER, repeated, write_csv
from tests.bench.measuring import Measured, Scene
from tests.bench.processes import Ended, stockml
from tests.support.recordings import recorded

SESSIONS = 10_000
WHAT = f"{SESSIONS:,} sessions: IBM's recording behind itself as imported history"


def nights(scene: Scene) -> Iterator[Measured]:
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
        yield _seconds("first night", [first], f"{WHAT}; history stored before")
        yield _seconds("night", others, f"{WHAT}; fine-tunes")
        spent = tuple(night.cpu_s for night in others)
        largest = max(night.largest_bytes for night in ended)
        yield Measured(
            "night cpu", spent, largest, remark="of all its processes, its Prefect server included"
        )
        peaks = tuple(float(night.together_bytes) for night in ended)
        yield Measured(
            "night memory",
            peaks,
            largest,
            remark="all its processes, added up; the largest alone beside",
        )
        loading = _night(place, feed, PYTHONPROFILEIMPORTTIME="1")
        assert " tensorflow" not in loading.errors, "a night with nothing new imports TensorFlow"
        repeats = [_night(place, feed) for _ in range(again)]
        yield _seconds(
            "night again", repeats, "TensorFlow is not imported, by Python's own list of imports"
        )


def _with_history(folder: Path, untold: int) -> Path:
    """Make a home whose store lacks the last `untold` sessions of the recording; return its
    folder."""
    place: HomePaths = current_home({"STOCKML_HOME": str(folder)})
    store, now = BarStore.of(place), datetime.now(UTC)
    known = recorded(TICKER).iloc[:-untold]
    store.append(
        TICKER, known, recorded_at=now, source=AlphaVantage.name, session=known.index[-1].date()
    )
    past = write_csv(repeated(known, SESSIONS - untold), folder / "past.csv")
    import_file(store, past, recorded_at=now, ticker=TICKER)
    return place.root


def _night(place: Path, feed: Feed, **environment: str) -> Ended:
    ended = stockml(place, feed, "nightly", TICKER, "--json", **environment)
    night = ended.answer()
    assert night["status"] == "completed", night
    return ended


def _seconds(figure: str, ended: list[Ended], remark: str) -> Measured:
    return Measured(
        figure,
        tuple(night.seconds for night in ended),
        max(night.largest_bytes for night in ended),
        together_bytes=round(median(night.together_bytes for night in ended)),
        remark=remark,
    )
