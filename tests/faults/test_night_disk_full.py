"""The disk is full while a night logs: a real file system without room, under the home or under
MLflow's files.

Nothing half-written is believed, the night's end says what is wrong, and once there is room the
next run ends as if nothing had happened. Each night runs in a process of its own, which alone sees
its small disk.
"""

import logging
import os
import re
import shutil
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar, cast

import pytest

from stockml.forecasts.ledger import Ledger
from stockml.home import HomePaths
from stockml.home import current_home as home_of
from stockml.storage.files import sha256_of
from tests.support import replaying
from tests.support.night_process import (
    Standing,
    copied,
    forked,
    nights,
    reporting,
    standing,
    start_night,
    stored,
)
from tests.support.patience import PATIENCE_S
from tests.support.small_disk import fill, make_room, mount_small_disk

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]

ASKED: dict[str, Any] = {
    "ticker": "IBM",
    "session": replaying.THURSDAY,
    "settings": replaying.SMALL,
    "late_retries": 0,
}
NO_ROOM = re.compile("No space left on device|database or disk is full")
T = TypeVar("T")
MLFLOWS_OWN = re.compile("(m-)?[0-9a-f]{32}(?=/)")


@dataclass(frozen=True)
class Shortage:
    """Which folder of the home is on a small disk ("" for all of it), and how much room that has as
    the night starts.

    `share` is a share of what an undisturbed night adds to its home; its bars, model and scores are
    the first fifth.
    """

    folder: str
    share: float


SHORTAGES = {
    "half of what MLflow keeps of a night": Shortage("artifacts", 0.1),
    "MLflow's database, not made yet": Shortage("mlflow", 0.0),
    "the home, from the plots on": Shortage("", 0.25),
    "the home, from the run in MLflow on": Shortage("", 0.4),
    "the home, from the model in MLflow on": Shortage("", 0.75),
}


@dataclass(frozen=True)
class Seen:
    """How a night without room ended and what it left; then what the next run leaves, with room.

    `steps` are those that failed or warned, in the order of their last messages, which are in
    `said`.
    """

    ended: str
    steps: tuple[str, ...]
    said: str
    # the bars' hash, the nights and the ledger's entries that can be read
    left: tuple[str | None, int, int]
    half_written: list[str]
    again: str
    bars: str | None
    after: Standing
    files: list[str]


@pytest.mark.campaign
def test_a_night_without_room_to_log_says_so_and_is_logged_once_when_there_is_room(
    ready: HomePaths, tmp_path: Path
) -> None:
    undisturbed = copied(ready, tmp_path / "undisturbed")
    start_night(undisturbed, **ASKED).join(PATIENCE_S)
    expected, files, added = (
        standing(undisturbed),
        logged_files(undisturbed),
        size(undisturbed) - size(ready),
    )
    assert [
        len(each)
        for each in (expected.runs, expected.versions, expected.entries, expected.promotions)
    ] == [1] * 4

    def with_shortage(name: str) -> Seen:
        return ends(SHORTAGES[name], ready, tmp_path / name, int(SHORTAGES[name].share * added))

    with ThreadPoolExecutor(2) as two_at_once:
        seen = dict(zip(SHORTAGES, two_at_once.map(with_shortage, SHORTAGES), strict=True))
    for name, found in seen.items():
        # it is in the ledger already
        assert found.steps in (("log",), ("log", "promote")), (
            name,
            found,
        )
        assert NO_ROOM.search(found.said), (name, found)
        if found.ended == "Completed, not in MLflow":
            assert "is kept and logged on the next run" in found.said, (name, found)
            assert found.left == (found.bars, 1, 1), (name, found)
        else:
            assert found.ended == "Failed: DiskFull", (name, found)
            assert "make room, then run this again" in found.said, (name, found)
            left = ((found.bars, 0, 1), (found.bars, 1, 1))  # published before it is logged
            assert found.left in left, (name, found)
        assert found.half_written == [], name
        assert found.again == "Completed", (name, found)
        assert found.after == expected, name
        assert found.files == files, name
    assert {found.ended for found in seen.values()} == {
        "Completed, not in MLflow",
        "Failed: DiskFull",
    }


@pytest.mark.campaign
def test_a_universe_whose_table_finds_no_room_ends_as_its_nights_did_and_says_so(
    ready: HomePaths, tmp_path: Path
) -> None:
    ended, said = in_a_process_of_its_own(_without_room_for_a_table, ready, tmp_path / "short")
    assert ended == "Completed: 1 completed"
    assert "universe/2013-02-28.csv: expected room on the disk" in said


def _without_room_for_a_table(ready: HomePaths, folder: Path, api: str) -> tuple[str, str]:
    from flows.universe import universe

    mount_small_disk(folder / "universe")
    os.environ["STOCKML_HOME"] = str(folder)
    shutil.copytree(ready.root, folder, dirs_exist_ok=True)
    fill(folder / "universe", 0)
    asked = {name: value for name, value in ASKED.items() if name != "ticker"}
    with reporting(api, quiet=True), Warnings("prefect.flow_runs") as warned:
        state = universe(["IBM"], processes=1, return_state=True, **asked)
    return f"{state.name}: {state.message}", " | ".join(warned.last.values())


def ends(shortage: Shortage, ready: HomePaths, folder: Path, free: int) -> Seen:
    """The outcome of a night that starts with `free` bytes of room, in a process with a disk of its
    own."""
    return in_a_process_of_its_own(_short_of_room, shortage.folder, ready, folder, free)


def in_a_process_of_its_own(seen: Callable[..., T], *arguments: object) -> T:
    """What `seen` returns for these arguments and the address of Prefect's server."""
    from prefect.settings import PREFECT_API_URL

    here, there = Pipe(duplex=False)
    process = forked(_sent, there, seen, *arguments, PREFECT_API_URL.value())
    there.close()
    found = here.recv() if here.poll(PATIENCE_S) else "it did not end"
    process.join(PATIENCE_S)
    assert not isinstance(found, str), found
    return cast("T", found)


def _sent(result: Connection, seen: Callable[..., object], *arguments: object) -> None:
    try:
        result.send(seen(*arguments))
    except Exception as error:  # noqa: BLE001 - whatever it is, the test shows it
        result.send("".join(traceback.format_exception(error)))


def _short_of_room(on_disk: str, ready: HomePaths, folder: Path, free: int, api: str) -> Seen:
    mount_small_disk(folder / on_disk)  # first: a process with threads may not mount
    os.environ["STOCKML_HOME"] = str(folder)
    if on_disk == "mlflow":
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder / on_disk / 'mlflow.db'}"
    shutil.copytree(ready.root, folder, dirs_exist_ok=True)
    return _seen(home_of(), folder / on_disk, free, api)


def _seen(home: HomePaths, disk: Path, free: int, api: str) -> Seen:
    with reporting(api, quiet=True), Warnings("prefect.task_runs") as warned:
        fill(disk, free)
        ended = _night()
        steps, said = tuple(warned.last), " | ".join(warned.last.values())
        left = (stored(home), len(nights(home)), len(Ledger(home.ledger).entries("IBM")))
        half_written = [str(path.relative_to(home.root)) for path in home.root.rglob(".*.tmp")]
        make_room(disk)
        again = _night()
    return Seen(
        ended,
        steps,
        said,
        left,
        half_written,
        again,
        stored(home),
        standing(home),
        logged_files(home),
    )


def _night() -> str:
    """How the night ended, in a few words."""
    from flows.nightly import nightly

    state = nightly(**ASKED, return_state=True)
    if state.is_failed():
        return f"Failed: {type(state.result(raise_on_failure=False)).__name__}"
    return "Completed" if state.result().mlflow_run_id else "Completed, not in MLflow"


class Warnings(logging.Handler):
    """Keeps the last warning or error of each step that has one, or of the flow."""

    def __init__(self, logger: str) -> None:
        super().__init__(logging.WARNING)
        self.logger, self.last = logging.getLogger(logger), dict[str, str]()

    def emit(self, record: logging.LogRecord) -> None:
        self.last[getattr(record, "task_run_name", "?").split(" ")[0]] = record.getMessage()

    def __enter__(self) -> "Warnings":
        self.logger.addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        self.logger.removeHandler(self)


def logged_files(home: HomePaths) -> list[str]:
    """MLflow's files of the nights, without its own names; with the hashes of pictures and
    weights."""
    root = home.root / "artifacts"
    kept = [path for path in root.rglob("*") if path.is_file()]
    known = {path: sha256_of(str(path)) if path.suffix in (".png", ".npz") else "" for path in kept}
    return sorted(
        MLFLOWS_OWN.sub("", f"{path.relative_to(root)} {content}")
        for path, content in known.items()
    )


def size(home: HomePaths) -> int:
    """Bytes that the home's files take, in whole pages."""
    return sum(
        -(-path.stat().st_size // 4096) * 4096 for path in home.root.rglob("*") if path.is_file()
    )
