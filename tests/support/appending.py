"""A process that appends bars one session at a time, and one that kills such processes at random
moments.

`python -m tests.support.appending kill ROOT LOCKS SEED` forks 50 writers, kills each with SIGKILL
at a random moment of its work and checks the store after each. Forking from one process that has
imported everything makes it quick. `python -m tests.support.appending write ROOT LOCKS FIRST STEP`
appends every STEP-th session from FIRST on.
"""

import os
import random
import select
import signal
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from stockml.prices.store import BarStore
from tests.support.recordings import recorded

START = datetime(2026, 11, 24, 4, 0, tzinfo=UTC)
BARS = recorded("IBM").iloc[-2000:]
FIRST_BATCH, KILLS, LONGEST_LIFE_S = 1000, 50, 0.06


def append(store: BarStore, stop: int, count: int = 100, source: str = "test") -> None:
    """Append the last `count` sessions before position `stop`, as a night does."""
    bars, recorded_at = BARS.iloc[max(stop - count, 0) : stop], START + timedelta(minutes=stop)
    store.append("IBM", bars, recorded_at=recorded_at, source=source, session=bars.index[-1].date())


def stored(store: BarStore) -> int:
    """Check the stored bars and return how many sessions there are."""
    bars = store.read("IBM")
    assert bars.equals(BARS.iloc[: len(bars)])
    return len(bars)


def live_until_killed(write: Callable[[int], object], begun: int, life_s: float) -> list[int]:
    """Fork a process that writes the numbers after `begun` in turn; kill it after `life_s` of work.

    Returns the numbers whose writes it acknowledged.
    """
    reading, writing = os.pipe()
    if (writer := os.fork()) == 0:
        for number in range(begun + 1, 1 << 30):
            write(number)
            os.write(writing, number.to_bytes(4, "big"))
    os.close(writing)
    acknowledged = os.read(reading, 4)
    select.select([], [], [], life_s)
    os.kill(writer, signal.SIGKILL)
    os.waitpid(writer, 0)
    while more := os.read(reading, 4096):
        acknowledged += more
    os.close(reading)
    return [
        int.from_bytes(acknowledged[at : at + 4], "big") for at in range(0, len(acknowledged), 4)
    ]


def kill_writers(root: Path, locks: Path, seed: int, kills: int = KILLS) -> None:
    """Check that no acknowledged session is lost or doubled, and that the final store equals an
    undisturbed run's."""
    store, chance = BarStore(root, locks), random.Random(seed)
    append(store, FIRST_BATCH, FIRST_BATCH)
    caught_writing = 0
    for _ in range(kills):
        *_, acknowledged = live_until_killed(
            lambda stop: append(store, stop), stored(store), chance.uniform(0, LONGEST_LIFE_S)
        )
        assert stored(store) - acknowledged in (0, 1), (stored(store), acknowledged)
        caught_writing += any(root.glob(".*.tmp"))
    reached = stored(store) + 1
    append(store, reached)
    assert not list(root.glob(".*.tmp"))
    undisturbed = BarStore(root.with_name(f"{root.name}-undisturbed"), locks)
    append(undisturbed, FIRST_BATCH, FIRST_BATCH)
    for stop in range(FIRST_BATCH + 1, reached + 1):
        append(undisturbed, stop)
    assert Path(store.path("IBM")).read_bytes() == Path(undisturbed.path("IBM")).read_bytes()
    print(
        f"store: {kills} killed, {caught_writing} of them while a temporary file stood there; "
        f"{reached} sessions"
    )


def write(root: Path, locks: Path, first: int, step: int) -> None:
    """Append every `step`-th session from position `first`, one at a time."""
    store = BarStore(root, locks)
    for at in range(first, 200, step):
        append(store, at + 1, 1, f"writer {first}")


if __name__ == "__main__":
    job, root, locks, *numbers = sys.argv[1:]
    if job == "kill":
        kill_writers(Path(root), Path(locks), int(numbers[0]))
    else:
        write(Path(root), Path(locks), int(numbers[0]), int(numbers[1]))
