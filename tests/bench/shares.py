"""Breakdown of the CPU time of a cold night and of a universe: `python -m tests.bench.shares`.

py-spy, which must be on the PATH (`pip install py-spy`), samples every process fifty times a second; a stack counts for
the first of PARTS that one of its frames matches.
"""

import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path

from deployments.replay.feed import Feed
from stockml.prices.bars import days_of
from tests.bench import on_nights, on_universe
from tests.bench.material import TICKER
from tests.bench.processes import stockml
from tests.support.recordings import recorded
from tests.support.scripted_feed import ScriptedFeed

WAITS = ("wait (threading.py", "select (selectors.py", "poll (selectors.py", "accept (socket.py", "wait (subprocess.py")
PARTS = {
    "imports": ("_find_and_load (<frozen importlib",),
    "Prefect's server": ("deployments/servers/prefect_app.py", "prefect/server/"),
    "MLflow's server": ("mlflow/server/",),
    "plots": ("stockml/plots/",),
    "MLflow's client": ("stockml/tracking/",),
    "train": ("stockml/nights/train.py",),
    "evaluate": ("stockml/nights/evaluate.py",),
    "the other steps": ("call_task_fn (prefect/task_engine.py",),
    "Prefect's client": ("prefect/",),
    "Dask": ("distributed/", "tornado/", "dask/"),
}
REST = "the rest"


def part_of(stack: str) -> str | None:
    """The part that a stack (root first) belongs to; None if it waits."""
    last = stack.rpartition(";")[2]
    if any(wait in last for wait in WAITS):
        return None
    if last.startswith("night_of (flows/universe.py"):  # does nothing else itself
        return "the collector"
    return next((part for part, marks in PARTS.items() if any(mark in stack for mark in marks)), REST)


def shares(samples: str) -> dict[str, float]:
    """Each part's share of samples in py-spy's raw format, largest first."""
    found: Counter[str] = Counter()
    for line in samples.splitlines():
        stack, _, count = line.rpartition(" ")
        if part := part_of(stack):
            found[part] += int(count)
    return {part: count / found.total() for part, count in found.most_common()}


def cold_night(folder: Path, spy: list[str]) -> None:
    """Profile the third night of a home, with one new session, which fine-tunes or keeps."""
    days = days_of(recorded(TICKER)).tolist()[-3:]
    place = on_nights._with_history(folder / "night", len(days))
    with Feed() as feed:
        for day in days:
            feed.set_clock(day)
            stockml(place, feed, "nightly", TICKER, under=spy if day == days[-1] else [])


def universe(folder: Path, spy: list[str]) -> None:
    """Profile the second night of fifty tickers."""
    aliases = on_universe.aliases_of(on_universe.TICKERS)
    days = days_of(recorded(TICKER)).tolist()[-2:]
    place = on_universe.with_history(folder / "universe", aliases, before=days[0])
    with ScriptedFeed(aliases=aliases) as feed:
        for day in days:
            feed.set_clock(day)
            command = ["universe", *aliases, "--session", str(day)]
            stockml(place, feed, *command, under=spy if day == days[-1] else [])


def main() -> None:
    if not (program := shutil.which("py-spy")):
        sys.exit("expected py-spy on the PATH, found none: pip install py-spy")
    for name, measure in (("a cold night", cold_night), ("a universe of fifty", universe)):
        with tempfile.TemporaryDirectory() as folder:
            samples = Path(folder) / "samples"
            spy = [program, "record", "--subprocesses", "--rate", "50", "--format", "raw", "--output", str(samples)]
            measure(Path(folder), [*spy, "--"])
            print(f"{name}:")
            for part, share in shares(samples.read_text()).items():
                print(f"  {share:6.1%}  {part}")


if __name__ == "__main__":
    main()
