"""Two processes that write to one file until they are killed, three times: what they said is written, and what is.

`python -m tests.support.killed_writers ledger|promotions FOLDER` imports once, forks them, and prints both as JSON.
"""

import json
import os
import signal
import subprocess
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


def kill(write: Write, lines: int) -> list[str]:
    """Both, once each has acknowledged so many lines; the keys of all that they acknowledged."""
    writers = {name: begin(write, name) for name in (f"{lines}-one", f"{lines}-other")}
    said = {name: b"".join(os.read(reading, 1) for _ in range(lines)) for name, (_, reading) in writers.items()}
    for writer, _ in writers.values():
        os.kill(writer, signal.SIGKILL)
        assert os.waitpid(writer, 0)[1] == signal.SIGKILL, "it ended by itself"
    for name, (_, reading) in writers.items():
        with os.fdopen(reading, "rb") as rest:
            said[name] += rest.read()
    return [f"{name}-{number + 1}" for name in said for number in range(len(said[name]))]


def killed(what: str, folder: Path) -> list[tuple[list[str], list[str]]]:
    """After each time: the keys that were said to be written so far, and those that the file has."""
    command = [sys.executable, "-m", "tests.support.killed_writers", what, str(folder)]
    return [(said, kept) for said, kept in json.loads(subprocess.run(command, check=True, capture_output=True).stdout)]


if __name__ == "__main__":
    write, keys = {"ledger": ledger, "promotions": promotions}[sys.argv[1]](Path(sys.argv[2]))
    said: list[str] = []
    rounds = [((said := said + kill(write, lines)), keys()) for lines in (1, 7, 23)]
    print(json.dumps(rounds))
