"""Disk use of nights: a measured month of two tickers with weekly clean-ups, extrapolated to a year
of fifty.

The flow itself runs each night at its replayed time, but no real days pass in between, so nothing
is removed by age. That is computed instead: of a part that is kept for some days, a year holds
those days and one more week.
"""

import gc
import os
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from pathlib import Path

from deployments.cli.runs import result_of, run_flow
from deployments.replay import Feed, replay_environment
from deployments.servers.prefect_api import EVENT_DAYS, RUN_DAYS, prefect_api
from stockml.home import HomePaths, current_home
from stockml.maintenance.retention import RetentionSettings
from stockml.prices.bars import days_of
from stockml.tracking.client import Tracking
from tests.bench.measuring import Measured, Scene, own_peak
from tests.support.recordings import recorded
from tests.support.replaying import fill

TICKERS = ("IBM", "AAPL")
MONTH, WEEK, YEAR, FIFTY = 20, 5, 252, 50
TRASH_DAYS = 30  # in MLflow's trash
MODELS, RUNS = KEPT_BY_COUNT = ("MLflow's models", "MLflow's plots and records")
KEEP = RetentionSettings()
DAYS_KEPT = {
    "datasets": KEEP.cache_days,
    "evaluations": KEEP.cache_days,
    "plots": KEEP.plot_days,
    "results": KEEP.cache_days,
    "payloads": KEEP.payload_days,
    "models": KEEP.model_days,
    "nights": KEEP.night_days,
    "mlflow.db": KEEP.mlflow_days + TRASH_DAYS,
    "prefect": RUN_DAYS,
    "events": EVENT_DAYS,
}
BARE = ("mlflow.db", "prefect", "events")  # of which a home without tickers has bytes


def disk(scene: Scene) -> Iterator[Measured]:
    """Run the nights; measure before each week's clean-up, when the home is fullest."""
    days = days_of(recorded("IBM")).tolist()[-(2 * WEEK if scene.fast else MONTH) - 1 :]
    place = current_home({"STOCKML_HOME": str(scene.folder / "disk")})
    os.environ["STOCKML_HOME"] = str(place.root)
    fill(place, TICKERS, days[0])
    with Feed() as feed:
        _at(feed, days[1])
        with prefect_api(place):
            # only once the environment names this home
            from prefect.client.orchestration import get_client

            from flows.maintenance import maintenance

            Tracking(place).prepare()
            with get_client(sync_client=True) as client:
                client.hello()  # once it answers, its tables exist
            empty, seen = sizes(place), []
            for number, day in enumerate(days[1:], start=1):
                _nights(feed, day)
                if number % WEEK == 0:
                    seen.append(sizes(place))
                    result_of(maintenance, quiet=True)
    bare = {part: empty[part] for part in BARE}
    year = {}
    for part in seen[-1]:
        weeks = [(week[part] - bare.get(part, 0)) / len(TICKERS) for week in seen]
        year[part] = year_of(part, bare.get(part, 0), weeks)
    largest = sorted(year.items(), key=lambda each: -each[1][0])
    told = "; ".join(
        f"{part} {size / 1e6:.0f} MB, {why}" for part, (size, why) in largest if size > 1e6
    )
    remark = f"{', '.join(TICKERS)}, {len(seen) * WEEK} sessions. {told}"
    yield Measured("disk", (sum(size for size, _ in year.values()),), own_peak(), remark=remark)


def year_of(part: str, bare: int, weeks: list[float]) -> tuple[float, str]:
    """A part's bytes after a year of fifty tickers, and an explanation. weeks: bytes per ticker
    after each week.

    bare: bytes of a home without tickers. A part kept by count stays at its fullest week; a part
    kept by days holds the first week's bytes and what the nights of those days add; the others grow
    with every night of the year.
    """
    if part in KEPT_BY_COUNT:
        return FIFTY * max(weeks), f"{max(weeks) / 1e3:.0f} kB a ticker in its fullest week"
    growth = max(0.0, weeks[-1] - weeks[0]) / WEEK / (len(weeks) - 1)
    nights = min(YEAR, DAYS_KEPT.get(part, 365) * YEAR / 365 + WEEK)
    kept = weeks[0] + growth * (nights - WEEK)
    return bare + FIFTY * kept, f"{growth / 1e3:.1f} kB a ticker-night, of {nights:.0f}"


def sizes(place: HomePaths) -> Counter[str]:
    """Bytes allocated on disk to each part of a home, folders included; Prefect's events apart from
    its runs."""
    found: Counter[str] = Counter()
    for path in place.root.rglob("*"):
        found[part_of(path.relative_to(place.root))] += path.lstat().st_blocks * 512
    with closing(sqlite3.connect(place.prefect / "prefect.db")) as tables:
        [(events,)] = tables.execute("SELECT sum(pgsize) FROM dbstat WHERE name LIKE '%event%'")
    return found + Counter(events=events) - Counter(prefect=events)


def part_of(path: Path) -> str:
    """A path's part: its first folder, or for MLflow's files whether they belong to a model or a
    run."""
    if path.parts[0] != "artifacts":
        return path.parts[0]
    return MODELS if "models" in path.parts else RUNS


def _nights(feed: Feed, day: date) -> None:
    _at(feed, day)
    for ticker in TICKERS:
        night = run_flow("nightly.nightly", ticker, pages=[ticker], quiet=True)
        assert night.status == "completed", night.reason
    gc.unfreeze()  # a command freezes its imports once; here every night would
    gc.collect()


def _at(feed: Feed, day: date) -> None:
    feed.set_clock(day)
    os.environ.update(replay_environment(feed))
