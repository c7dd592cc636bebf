"""Nights on real servers that are killed, run twice at once or lack MLflow leave what an
undisturbed one leaves."""

import random
import time
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from flows.nightly import nightly
from stockml.forecasts.ledger import Ledger
from stockml.home import HomePaths
from stockml.tracking.client import Tracking
from tests.support import replaying
from tests.support.night_process import (
    KILLED,
    copied,
    held_locks,
    nights,
    standing,
    start_night,
    stored,
)
from tests.support.patience import PATIENCE_S
from tests.support.scripted_feed import ScriptedFeed
from tests.support.verdicts import check_every_page_says_the_same

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]

ASKED: dict[str, Any] = {
    "ticker": "IBM",
    "session": replaying.THURSDAY,
    "settings": replaying.SMALL,
    "late_retries": 0,
}
EARLIER = 0.8


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
    """`python -m tests.faults.campaign --flows 20` kills more often, and every flow."""
    # ends at once; later nights find everything imported
    no_session = ASKED | {"session": date(2013, 2, 24)}
    start_night(copied(ready, tmp_path / "warm"), **no_session).join(PATIENCE_S)
    undisturbed = copied(ready, tmp_path / "undisturbed")
    length_s, _ = killed(undisturbed, PATIENCE_S)
    expected = standing(undisturbed)
    once = (expected.runs, expected.versions, expected.entries, expected.promotions)
    assert [len(each) for each in once] == [1] * 4
    moment_s, was_killed = length_s * random.Random(20130228).random(), False
    while not was_killed:  # a night that ends before its moment is repeated, and killed earlier
        home = copied(ready, tmp_path / f"killed at {moment_s:.3f} s")
        lived_s, was_killed = killed(home, moment_s)
        moment_s = EARLIER * lived_s
    left = stored(home)
    again = start_night(home, **ASKED)
    again.join(PATIENCE_S)
    assert (again.exitcode, standing(home), list(held_locks(home))) == (0, expected, [])
    assert left in (stored(ready), stored(home))


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


def test_a_night_without_mlflow_is_kept_and_logged_once_when_it_is_run_again(
    ready: HomePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as away:
        away.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
        night = nightly(**ASKED, return_state=True).result()
        assert (night.status, night.mlflow_run_id) == ("completed", None)
        assert len(Ledger(ready.ledger).entries("IBM")) == 1
    assert Tracking(ready).pending("IBM")[0].key == night.key
    assert nightly(**ASKED, return_state=True).result().mlflow_run_id
    found = standing(ready)
    assert found.runs == ((night.key, "FINISHED"),)
    assert found.versions == found.entries == found.promotions == (night.key,)
    assert found.waiting == 0
