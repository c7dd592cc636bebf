"""Nights on real servers that are killed, run twice at once or lack MLflow leave what an
undisturbed one leaves."""

import random
from typing import Any

import pytest

from flows.nightly import nightly
from stockml.forecasts.ledger import Ledger
from stockml.home import current_home as home_of
from stockml.tracking.client import Tracking
from tests.faults import flow_kills
from tests.support import replaying
from tests.support.night_process import copied, nights, standing, start_night
from tests.support.patience import PATIENCE_S
from tests.support.verdicts import check_every_page_says_the_same

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]

ASKED: dict[str, Any] = {
    "ticker": "IBM",
    "session": replaying.THURSDAY,
    "settings": replaying.SMALL,
    "late_retries": 0,
}


def test_a_night_killed_at_any_moment_and_run_again_ends_as_if_undisturbed(ready, tmp_path):
    """`python -m tests.faults.campaign --flows 20` kills more often, and every flow."""

    def as_ready(place):
        copied(ready, place.root)

    one = flow_kills.Killing("nightly", ASKED, as_ready, flow_kills.nights("IBM"))
    found = flow_kills.kill(one, 1, tmp_path, random.Random(20130228))
    assert (found.kills, dict(found.wrong)) == (1, {})
    undisturbed = standing(home_of({"STOCKML_HOME": str(tmp_path / "undisturbed")}))
    for once in ("runs", "versions", "entries", "promotions"):
        assert len(getattr(undisturbed, once)) == 1


def test_two_runs_of_one_ticker_at_once_do_the_night_once(ready, tmp_path, feed):
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


def test_a_night_without_mlflow_is_kept_and_logged_once_when_it_is_run_again(ready, monkeypatch):
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
