"""Nights on real servers that are killed, run twice at once or lack MLflow leave what an
undisturbed one leaves."""

import random
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from flows.nightly import nightly
from stockml.forecasts.ledger import Ledger
from stockml.home import HomePaths
from stockml.models.registry import Registry
from stockml.tracking.client import Tracking
from tests.support import replaying
from tests.support.night_process import (
    KILLED,
    Standing,
    copied,
    held_locks,
    nights,
    standing,
    start_night,
    stored,
)
from tests.support.patience import PATIENCE_S, until
from tests.support.scripted_feed import ScriptedFeed
from tests.support.verdicts import check_every_page_says_the_same

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]

FRIDAY = date(2013, 3, 1)
ASKED: dict[str, Any] = {
    "ticker": "IBM",
    "session": replaying.THURSDAY,
    "settings": replaying.SMALL,
    "late_retries": 0,
}
# `python -m tests.faults.campaign --flows 20` kills more often, and every flow
TRIES, AT_ONCE = (
    1,
    1,
)
EARLIER = 0.8


@dataclass(frozen=True)
class Try:
    """A night that was killed, at the first of the moments tried that was not too late, and run
    again."""

    moments_s: list[float]
    exit_code: int | None
    bars_as_left: bool
    after: Standing
    held: list[Path]


def killed_and_run_again(ready: HomePaths, folder: Path, moment_s: float) -> Try:
    """SIGKILL the night's process at this moment of its life, then run the night to its end.

    How long a night takes depends on what else the machine does: one that ends before its moment is
    repeated in a fresh home, and killed earlier.
    """
    moments = []
    while True:
        home = copied(ready, folder / str(len(moments)))
        moments.append(moment_s)
        lived_s, was_killed = killed(home, moment_s)
        if was_killed:
            break
        moment_s = EARLIER * lived_s
    before, left = stored(ready), stored(home)
    again = start_night(home, **ASKED)
    again.join(PATIENCE_S)
    return Try(
        moments,
        again.exitcode,
        left in (before, stored(home)),
        standing(home),
        list(held_locks(home)),
    )


def killed(home: HomePaths, moment_s: float) -> tuple[float, bool]:
    """Kill a night at this moment; return how long it lived, and whether it was still at work
    then."""
    began, night = time.monotonic(), start_night(home, **ASKED)
    night.join(moment_s)
    lived_s = time.monotonic() - began
    night.kill()
    night.join()
    return lived_s, night.exitcode == KILLED


def test_a_night_killed_at_any_moment_and_run_again_ends_as_if_undisturbed(
    ready: HomePaths, tmp_path: Path
) -> None:
    # ends at once; later nights find everything imported
    no_session = ASKED | {"session": date(2013, 2, 24)}
    start_night(copied(ready, tmp_path / "warm"), **no_session).join(PATIENCE_S)
    undisturbed = [copied(ready, tmp_path / f"undisturbed {n}") for n in range(AT_ONCE)]
    with ThreadPoolExecutor(AT_ONCE) as at_once:
        length_s = min(
            length for length, _ in at_once.map(killed, undisturbed, AT_ONCE * [PATIENCE_S])
        )
        expected = standing(undisturbed[0])
        once = (expected.runs, expected.versions, expected.entries, expected.promotions)
        assert [len(each) for each in once] == [1] * 4
        chance = random.Random(20130228)
        moments = [length_s * (n + chance.random()) / TRIES for n in range(TRIES)]
        folders = [tmp_path / f"try {n}" for n in range(TRIES)]
        tries = list(at_once.map(killed_and_run_again, TRIES * [ready], folders, moments))
    wrong = [
        each for each in tries if (each.exit_code, each.bars_as_left, each.held) != (0, True, [])
    ]
    assert wrong + [each for each in tries if each.after != expected] == [], (
        f"of {length_s:.2f} s; expected {expected}"
    )
    again = sum(len(each.moments_s) > 1 for each in tries)
    print(f"{TRIES} kills within {length_s:.1f} s, {again} of them drawn again")


@pytest.mark.campaign
def test_a_champion_to_be_whose_night_was_killed_before_it_was_promoted_is_so_by_the_next_night(
    ready: HomePaths, feed: ScriptedFeed
) -> None:
    """Every page would call it promoted, and no later night would compare with it."""
    # without which it cannot be logged, and so not promoted
    with FileLock(ready.locks / "mlflow-IBM.lock"):
        killed = start_night(ready, **ASKED)
        until(
            lambda: any(
                path.with_name("night.json").exists() for path in ready.nights.rglob("waiting")
            )
        )
        killed.kill()
        killed.join()
    assert Registry(ready.models).history("IBM") == ()
    feed.set_clock(FRIDAY)
    second = nightly(**ASKED | {"session": FRIDAY}, return_state=True).result()
    first, _ = nights(ready)
    assert "1 new session" in second.reason
    assert Registry(ready.models).history("IBM")[0].key == first.key
    check_every_page_says_the_same(ready, second)


def test_two_runs_of_one_ticker_at_once_do_the_night_once(
    ready: HomePaths, tmp_path: Path, feed: ScriptedFeed
) -> None:
    alone = copied(ready, tmp_path / "alone")
    start_night(alone, **ASKED).join(PATIENCE_S)
    asked = feed.requests
    both = [start_night(ready, **ASKED) for _ in range(2)]
    for night in both:
        night.join(PATIENCE_S)
    assert [night.exitcode for night in both] == [0, 0]
    assert standing(ready) == standing(alone)
    assert feed.requests == 2 * asked
    check_every_page_says_the_same(ready, nights(ready)[0])


@pytest.fixture
def no_mlflow(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Set a tracking address where nothing listens, until it is undone."""
    with monkeypatch.context() as away:
        away.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
        yield away


def test_a_night_without_mlflow_is_kept_and_logged_once_when_it_is_run_again(
    ready: HomePaths, no_mlflow: pytest.MonkeyPatch
) -> None:
    night = nightly(**ASKED, return_state=True).result()
    assert (night.status, night.mlflow_run_id) == ("completed", None)
    assert len(Ledger(ready.ledger).entries("IBM")) == 1
    assert Tracking(ready).pending("IBM")[0].key == night.key
    no_mlflow.undo()
    again = nightly(**ASKED, return_state=True).result()
    assert again.mlflow_run_id
    found = standing(ready)
    assert found.runs == ((night.key, "FINISHED"),)
    assert found.versions == found.entries == found.promotions == (night.key,)
    assert found.waiting == 0


def test_the_next_night_logs_what_mlflow_missed(
    ready: HomePaths, feed: ScriptedFeed, no_mlflow: pytest.MonkeyPatch
) -> None:
    first = nightly(**ASKED, return_state=True).result()
    no_mlflow.undo()
    feed.set_clock(FRIDAY)
    second = nightly(**ASKED | {"session": FRIDAY}, return_state=True).result()
    assert first.key != second.key
    found = standing(ready)
    assert found.runs == tuple(sorted((night.key, "FINISHED") for night in (first, second)))
    assert found.entries == (first.key, second.key)
    assert found.waiting == 0
    assert nights(ready)[0].mlflow_run_id


def test_the_alias_of_a_champion_that_mlflow_could_not_set_follows_with_the_next_night(
    ready: HomePaths, feed: ScriptedFeed
) -> None:
    refuse = (
        "BEFORE INSERT ON registered_model_aliases WHEN NEW.alias = 'champion' BEGIN SELECT "
        "RAISE(FAIL, 'away'); END"
    )
    in_mlflow(ready, f"CREATE TRIGGER away {refuse}")
    first = nightly(**ASKED, return_state=True).result()
    assert (first.status, first.verdict.promoted) == ("completed", True)
    in_mlflow(ready, "DROP TRIGGER away")
    feed.set_clock(FRIDAY)
    second = nightly(**ASKED | {"session": FRIDAY}, return_state=True).result()
    assert not second.verdict.promoted, "which would set the alias itself"
    for night in (first, second):
        check_every_page_says_the_same(ready, night)


def in_mlflow(home: HomePaths, statement: str) -> None:
    """Have MLflow's database execute this."""
    with closing(sqlite3.connect(home.root / "mlflow.db")) as database, database:
        database.execute(statement)
