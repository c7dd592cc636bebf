"""Every flow, killed at random moments and run again, leaves what an undisturbed run leaves.

A flow's facts are texts, such as `IBM: forecast of 3f2a…`: a missing one was lost, one that occurs
too often was doubled, and one that an undisturbed run does not leave was believed.
"""

import os
import random
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import ViewType

from stockml.home import HomePaths
from stockml.home import current_home as home_of
from stockml.models import vintage_store
from stockml.nights.record import night_path, write_night
from stockml.tracking.client import WAITING, Tracking
from stockml.training.tuning import tuned_settings
from tests.bench.material import write_csv
from tests.support import replaying
from tests.support.night_process import KILLED, copied, held_locks, standing, start_flow, stored
from tests.support.nights import recorded_night
from tests.support.patience import PATIENCE_S
from tests.support.recordings import recorded

EARLIER = 0.8
WEDNESDAY = date(2013, 2, 27)
NIGHT: dict[str, Any] = {"late_retries": 0, "settings": replaying.SMALL}
SMALL_TUTORIAL = {
    "network": {"units": [4], "look_back": 5, "dropout": 0.0},
    "training": {"epochs": 2, "batch_size": 32, "learning_rate": 1e-3, "optimizer": "adamw"},
    "evaluation": {
        "horizon": 5,
        "direction_step": 3,
        "test_sessions": 60,
        "validation_sessions": 60,
    },
}


@dataclass(frozen=True)
class Killing:
    """A flow with its arguments, what its home holds beforehand, and the facts that it leaves
    there."""

    flow: str
    asked: dict[str, Any]
    prepare: Callable[[HomePaths], object]
    facts: Callable[[HomePaths], Counter[str]]


@dataclass
class Found:
    """The outcome of the kills; `again` counts moments that came too late and were drawn again."""

    kills: int = 0
    longest_s: float = 0.0
    again: int = 0
    wrong: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        kinds = Counter(each.partition(" ")[0] for each in self.wrong.elements())
        wrong = ", ".join(f"{kinds[name]} {name}" for name in ("lost", "doubled", "believed"))
        drawn = f"{self.again} drawn again"
        return f"{self.kills} kills within {self.longest_s:.1f} s, {drawn}: {wrong}"


def kill(one: Killing, kills: int, folder: Path, chance: random.Random) -> Found:
    """Kill the flow `kills` times, each time in a fresh home, and run it again to its end; print a
    line each time."""
    before = home_of({"STOCKML_HOME": str(folder / "before")})
    one.prepare(before)
    undisturbed, found = copied(before, folder / "undisturbed"), Found()
    ended(one, copied(before, folder / "warm"), PATIENCE_S)
    found.longest_s, code = ended(one, undisturbed, PATIENCE_S)
    assert code == 0, f"{one.flow} ended with {code} without being killed"
    expected = one.facts(undisturbed)
    for number in range(kills):
        moment_s = found.longest_s * (number + chance.random()) / kills
        while True:
            place = copied(before, folder / "killed")
            lived_s, code = ended(one, place, moment_s)
            if code == KILLED:
                break
            found.again, moment_s = found.again + 1, EARLIER * lived_s
            shutil.rmtree(place.root)
        _, code = ended(one, place, PATIENCE_S)
        found.wrong += compared(expected, one.facts(place))
        found.kills += 1
        failed = [f"ended with {code}"] if code else []
        failed += [f"{lock} is held" for lock in held_locks(place)]
        found.wrong.update(f"at {moment_s:.2f} s: {each}" for each in failed)
        shutil.rmtree(place.root)
        print(f"{one.flow}: {found}", file=sys.stderr, flush=True)
    return found


def ended(one: Killing, place: HomePaths, moment_s: float) -> tuple[float, int | None]:
    """Kill a run at this moment; return how long it lived and its exit code."""
    began, process = time.monotonic(), start_flow(place, one.flow, **one.asked)
    process.join(moment_s)
    lived_s = time.monotonic() - began
    process.kill()
    process.join()
    return lived_s, process.exitcode


def compared(expected: Counter[str], facts: Counter[str]) -> Counter[str]:
    """The facts that were lost, doubled or believed, each after this word."""
    wrong = Counter({f"lost {fact}": count for fact, count in (expected - facts).items()})
    for fact, count in (facts - expected).items():
        wrong[f"{'doubled' if fact in expected else 'believed'} {fact}"] = count
    return wrong


def killings(prices: Path) -> dict[str, Killing]:
    """The flows by name. prices: the folder for the files that a pretrained network is learned
    from."""
    thursday = {"session": replaying.THURSDAY, **NIGHT}
    past = {
        "first": WEDNESDAY,
        "last": replaying.THURSDAY,
        "learn": "every night",
        "settings": replaying.SMALL,
    }
    grid = {"trials": 3, "sampler": "grid", "settings": SMALL_TUTORIAL}
    two = {"tickers": ["IBM", "AAPL"], "processes": 1}
    return {
        each.flow: each
        for each in (
            Killing("nightly", {"ticker": "IBM", **thursday}, filled("IBM"), nights("IBM")),
            Killing("backfill", {"ticker": "IBM", **past}, filled("IBM"), nights("IBM")),
            Killing("universe", {**two, **thursday}, filled("IBM", "AAPL"), nights("IBM", "AAPL")),
            Killing("history", {"ticker": "IBM"}, nothing, bars),
            Killing("maintenance", {}, aged, what_is_kept),
            Killing("pretrain", {"prices": str(prices), "seeds": 1}, thirty_in(prices), pretrained),
            Killing("tune", {"ticker": "IBM", **grid}, filled("IBM"), trials),
        )
    }


def filled(*tickers: str) -> Callable[[HomePaths], object]:
    """The tickers' bars up to a week before Thursday, and an empty MLflow, whose tables take
    seconds to make."""

    def prepare(place: HomePaths) -> None:
        replaying.fill(place, tickers)
        Tracking(place).prepare()

    return prepare


def nothing(place: HomePaths) -> None:
    place.root.mkdir(parents=True)
    Tracking(place).prepare()


def aged(place: HomePaths) -> None:
    """Put there what may be removed and what may not: old files, old runs in MLflow, and a night
    that MLflow lacks."""
    filled("IBM")(place)
    *logged, waiting = (recorded_night(day=date(2013, 2, day), share=0.4) for day in (26, 27, 28))
    for night in logged:
        Tracking(place).keep_and_log(night)
    write_night(waiting, path := night_path(place.nights, "IBM", waiting.key))
    path.with_name(WAITING).touch()
    long_ago = (datetime.now(UTC) - timedelta(days=2_000)).timestamp()
    names = ("payloads/IBM/{}.json.gz", "datasets/IBM/{}.parquet")
    for name in (*names, "plots/IBM/{}/fan.png", "models/IBM/{}/model"):
        for number in range(4):
            path = place.root / name.format(number)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(str(number))
            os.utime(path, (long_ago + number, long_ago + number))


def nights(*tickers: str) -> Callable[[HomePaths], Counter[str]]:
    def facts(place: HomePaths) -> Counter[str]:
        return Counter(fact for ticker in tickers for fact in of_ticker(place, ticker))

    return facts


def of_ticker(place: HomePaths, ticker: str) -> Iterator[str]:
    for name, value in vars(standing(place, ticker)).items():
        for one in value if isinstance(value, tuple) else (value,):
            yield f"{ticker}: {name} {one}"


def bars(place: HomePaths) -> Counter[str]:
    found = standing(place)
    return Counter(
        [f"bars {found.bars}", f"rows {found.rows}", f"file {stored(place) is not None}"]
    )


def what_is_kept(place: HomePaths) -> Counter[str]:
    tops = ("store", "payloads", "datasets", "plots", "models", "nights", "ledger")
    files = (path for top in tops for path in (place.root / top).rglob("*") if path.is_file())
    runs = MlflowClient(place.tracking_uri).search_runs(["1", "2", "3"], run_view_type=ViewType.ALL)
    told = [f"run {run.info.run_name} {run.info.status} {run.info.lifecycle_stage}" for run in runs]
    kept = [str(path.relative_to(place.root)) for path in files if path.suffix != ".lock"]
    return Counter([*told, *kept])


def pretrained(place: HomePaths) -> Counter[str]:
    made = [*place.pretrained.glob("network-*.npz"), *place.pretrained.glob("*.json")]
    found = [f"learned {vintage_store.digest(vintage_store.read(path))}" for path in made]
    found += [f"left over {path.name}" for path in place.pretrained.iterdir() if path.is_dir()]
    versions = MlflowClient(place.tracking_uri).search_model_versions("name = 'lstm-pretrained'")
    return Counter(found + [f"version of {version.tags['vintage']}" for version in versions])


def trials(place: HomePaths) -> Counter[str]:
    """The settings that were found, and MLflow's trials by what they tried and found."""
    client = MlflowClient(place.tracking_uri)
    found = client.search_experiments(filter_string="name LIKE '%trials%'")
    runs = client.search_runs([each.experiment_id for each in found]) if found else []
    tried = [
        f"trial {run.data.params.get('network.cell')}: {run.data.metrics.get('loss')}"
        for run in runs
    ]
    return Counter([f"settings {sorted(map(str, tuned_settings(place, 'IBM').items()))}", *tried])


def thirty_in(folder: Path) -> Callable[[HomePaths], object]:
    def prepare(place: HomePaths) -> None:
        nothing(place)
        write_thirty(folder)

    return prepare


def write_thirty(folder: Path) -> None:
    """Thirty price files, of three recorded shares in different years."""
    for number in range(30):
        bars = recorded(("IBM", "AAPL", "MSFT")[number % 3])
        first = 60 * (number // 3)
        write_csv(bars.iloc[-2_600 + first : -600 + first], folder / f"t{number:02d}.us.txt")
