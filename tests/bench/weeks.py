"""The memory of `stockml up` against the number of nights its worker has run, by process.

python -m tests.bench.weeks HOME --tickers 20 --sessions 13

Prints a line after each session: nights so far, then RSS and USS (MB), open files and threads of each process.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import psutil
import yaml

from deployments.replay.feed import replay_environment
from stockml.prices.bars import days_of
from tests.bench.on_scheduled import PARTS, ended
from tests.bench.on_universe import RECORDED, aliases_of, with_history
from tests.pages.prefect_session import up
from tests.support.recordings import recorded
from tests.support.scripted_feed import ScriptedFeed

MB = 1_000_000


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("home", type=Path, help="a folder that is not there yet")
    options.add_argument("--tickers", type=int, default=20)
    options.add_argument("--sessions", type=int, default=13)
    chosen = options.parse_args()
    aliases, days = aliases_of(chosen.tickers), days_of(recorded(RECORDED[0])).tolist()[-chosen.sessions :]
    place = with_history(chosen.home, aliases, before=days[0])
    (place / "tickers.yaml").write_text(yaml.safe_dump({"tickers": [*aliases]}))
    with ScriptedFeed(aliases=aliases) as feed:
        feed.set_clock(days[-1])
        with up(place, **replay_environment(feed)) as pages:
            [stack] = (each for each in psutil.Process().children() if "deployments.cli" in each.cmdline())
            for number, day in enumerate(days, 1):
                runs = [pages.start(f"nightly/{ticker}", session=str(day)) for ticker in aliases]
                ends = [ended(pages, run) for run in runs]
                assert ends == ["Completed"] * len(aliases), ends
                print(f"{number * len(aliases)} nights:", ", ".join(_memory(stack)), flush=True)


def _memory(stack: psutil.Process) -> Iterator[str]:
    for process in stack.children(recursive=True):
        try:
            module, memory = " ".join(process.cmdline()), process.memory_full_info()
            held = f"{process.num_fds()} files, {process.num_threads()} threads"
        except psutil.Error:  # a night's process, which has just ended
            continue
        for name, part in PARTS.items():
            if f"deployments.servers.{name}" in module:
                yield f"{part} {memory.rss / MB:.0f} and {memory.uss / MB:.0f} MB, {held}"


if __name__ == "__main__":
    main()
