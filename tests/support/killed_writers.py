"""Two processes that write to one file until they are killed: what they said is written is there, and each line once.

`python -m tests.support.killed_writers ledger|promotions FOLDER` forks them, several times one after the other.
"""

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

Write, Keys = Callable[[str, int], object], Callable[[], list[str]]


def ledger(folder: Path) -> tuple[Write, Keys]:
    from stockml.forecasts.ledger import Ledger
    from tests.support.forecasts import entry

    kept = Ledger(folder)
    return (
        lambda key, number: kept.publish(replace(entry(number % 180), key=key)),
        lambda: [each.key for each in kept.entries("IBM")],
    )


def promotions(folder: Path) -> tuple[Write, Keys]:
    from stockml.models.registry import Promotion, Registry

    kept, first = Registry(folder), datetime(2013, 3, 1, tzinfo=UTC)

    def promote(key: str, number: int) -> None:
        at = first + timedelta(days=number)
        kept.promote(Promotion("IBM", "promote", key, "x", "0", None, at.date(), "better", at))

    return promote, lambda: [line.key for line in kept.history("IBM")]


def begin(write: Write, name: str) -> tuple[int, int]:
    """Fork a writer; its process, and where a byte comes after each of its lines."""
    reading, writing = os.pipe()
    if (writer := os.fork()) == 0:
        try:
            for number in count(1):
                write(f"{name}-{number}", number)
                os.write(writing, b".")
        finally:
            os._exit(1)
    os.close(writing)
    return writer, reading


def kill(write: Write, keys: Keys, lines: int) -> None:
    """Both, once each has acknowledged so many lines."""
    writers = {name: begin(write, name) for name in (f"{lines}-one", f"{lines}-other")}
    said = {name: b"".join(os.read(reading, 1) for _ in range(lines)) for name, (_, reading) in writers.items()}
    for writer, _ in writers.values():
        os.kill(writer, signal.SIGKILL)
        assert os.waitpid(writer, 0)[1] == signal.SIGKILL, "it ended by itself"
    for name, (_, reading) in writers.items():
        with os.fdopen(reading, "rb") as rest:
            said[name] += rest.read()
    found = keys()
    assert len(found) == len(set(found))
    assert {f"{name}-{number + 1}" for name in said for number in range(len(said[name]))} <= set(found)


if __name__ == "__main__":
    write, keys = {"ledger": ledger, "promotions": promotions}[sys.argv[1]](Path(sys.argv[2]))
    for lines in (1, 7, 23):
        kill(write, keys, lines)
