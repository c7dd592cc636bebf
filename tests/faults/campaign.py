"""The kill and fuzz campaigns, as large as one likes: nothing is lost or doubled, and no damage is
believed.

`python -m tests.faults.campaign` prints one line per campaign; `--help` lists its numbers. The
tests do the same with small ones. `--flows 20` also kills every flow 20 times, on a real Prefect
server, and runs it again; `--only` selects flows.
"""

import argparse
import os
import random
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from deployments.replay import Feed
from stockml.forecasts.ledger import Ledger
from stockml.home import current_home
from stockml.models import vintage_store
from stockml.models.registry import Registry
from stockml.models.vintage_store import SHIPPED
from stockml.training.tuning import tuned_settings, write_tuned_settings
from tests.faults.flipped_bits import NOW, SEED, flip, kinds
from tests.stockml.models.test_registry import night
from tests.stockml.provider import test_parsing_fuzz as fuzz
from tests.support import appending
from tests.support.forecasts import entry
from tests.support.replaying import THURSDAY

# a write that a process repeats, and how many of its writes are kept, or which one if each replaces
# the last: this raises if what it finds is wrong
Writer = tuple[Callable[[int], object], Callable[[], int]]


def writers(folder: Path) -> dict[str, Writer]:
    """A writer for each kind of file that is replaced whole; the store has its own."""
    place = current_home({"STOCKML_HOME": str(folder)})
    ledger, registry = Ledger(place.ledger), Registry(place.models)
    made = [night(place.models, number) for number in range(3)]
    learned = vintage_store.read(SHIPPED / "network-2005-06.npz")

    def promote(number: int) -> object:
        at = NOW + timedelta(minutes=number)
        return registry.promote(replace(made[number % 3], key=str(number), at=at))

    def publish(number: int) -> object:
        return ledger.publish(replace(entry(number % 180), key=str(number)))

    def learn(number: int) -> object:
        return vintage_store.write(replace(learned, sessions=number), place.pretrained)

    def tune(number: int) -> object:
        return write_tuned_settings(place, "IBM", {"training.seed": number}, {"trials": number})

    def in_order(kept: Iterable[Any]) -> int:
        keys = [int(each.key) for each in kept]
        assert keys == [*range(1, len(keys) + 1)]
        return len(keys)

    def learned_last() -> int:
        return sum(vintage_store.read(path).sessions for path in place.pretrained.glob("*.npz"))

    return {
        "ledger": (publish, lambda: in_order(ledger.entries("IBM"))),
        "promotions": (promote, lambda: in_order(registry.history("IBM"))),
        "settings": (tune, lambda: int(tuned_settings(place, "IBM").get("training.seed", 0))),
        "pretrained network": (learn, learned_last),
    }


def kill(writer: Writer, kills: int, chance: random.Random) -> tuple[int, int]:
    """Kill the writer at random moments, and check each time; count writes acknowledged, and kills
    that lost one."""
    lost, total, (write, kept) = 0, 0, writer
    for _ in range(kills):
        moment_s = chance.uniform(0, appending.LONGEST_LIFE_S)
        said = appending.live_until_killed(write, kept(), moment_s)
        total += len(said)
        # the last one may be kept without being acknowledged
        lost += kept() - said[-1] not in (0, 1)
    return total, lost


def parse(payloads: int, chance: random.Random) -> Counter[str]:
    """Parse mutated answers and count the outcomes. Raises if one is neither an answer nor a typed
    error."""
    contents = list(fuzz.FILES.values())
    return Counter(
        fuzz.check(chance.choice(fuzz.MUTATIONS)(contents[at % len(contents)], chance), "IBM")
        for at in range(payloads)
    )


def kill_flows(kills: int, only: Sequence[str] | None, chance: random.Random) -> None:
    """Kill each flow `kills` times, and check each time what it leaves after it has run again."""
    os.environ["PREFECT_LOGGING_LEVEL"] = "ERROR"
    from tests.faults.flow_kills import kill, killings
    from tests.support.prefect_server import temporary_prefect

    with tempfile.TemporaryDirectory() as folder, Feed() as feed, temporary_prefect():
        feed.set_clock(THURSDAY)
        os.environ.update(
            ALPHAVANTAGE_URL=feed.address,
            ALPHAVANTAGE_API_KEY="premium",
            ALPHAVANTAGE_PLAN="1200/min",
        )
        for name, one in killings(Path(folder) / "prices").items():
            if name in (only or [name]):
                found = kill(one, kills, Path(folder) / name, chance)
                print(f"{name}: {found}", flush=True)
                assert not found.wrong, found.wrong


def main(arguments: list[str] | None = None) -> None:
    """Run what the arguments ask for. Raises AssertionError if something was lost or wrongly
    believed."""
    asked = argparse.ArgumentParser(
        prog="python -m tests.faults.campaign", description="kill and fuzz campaigns"
    )
    for name, usual, meaning in (
        ("bits", 1_000, "flipped in each kind of file"),
        ("kills", 50, "of each kind of writer"),
        ("payloads", 10_000, "mutated answers of the provider"),
        ("flows", 0, "kills of each flow"),
    ):
        asked.add_argument(f"--{name}", type=int, default=usual, help=meaning)
    asked.add_argument("--only", action="append", help="kill this flow alone; may be repeated")
    given, chance = asked.parse_args(arguments), random.Random(SEED)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        if given.kills:
            appending.kill_writers(root / "store", root / "locks", SEED, given.kills)
            for name, writer in writers(root / "killed").items():
                said, lost = kill(writer, given.kills, chance)
                told = f"{given.kills} kills, {said} writes acknowledged, {lost} lost"
                print(f"{name}: {told}", flush=True)
                assert not lost, name
        for kind in kinds(root / "home").values() if given.bits else ():
            found = flip(kind, given.bits, chance)
            outcomes = ("named", "harmless", "believed", "unnamed")
            told = ", ".join(f"{found[name]} {name}" for name in outcomes)
            print(f"{kind.name}: {given.bits} flipped bits, {told}", flush=True)
            assert not found["believed"] + found["unnamed"], kind.name
    if given.payloads:
        counts = parse(given.payloads, chance).most_common()
        told = ", ".join(f"{count} {name}" for name, count in counts)
        print(f"{given.payloads} payloads: {told}")
    if given.flows:
        kill_flows(given.flows, given.only, chance)


if __name__ == "__main__":
    main()
