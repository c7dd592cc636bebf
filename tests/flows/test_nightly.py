"""The night, end to end, on a real Prefect server, a real feed and a real MLflow store: what runs,
what is cached, what stands afterwards, and how nights without an ordinary bar end."""

import json
import shutil
from datetime import date
from threading import Thread

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter
from prefect.client.schemas.sorting import ArtifactSort

from flows.form import chosen
from flows.nightly import nightly
from stockml import clock
from stockml.nights.finished_nights import finished_night
from stockml.nights.record import night_path, read_night
from stockml.nights.tables import paths
from tests.support.night_process import standing
from tests.support.patience import until
from tests.support.replaying import SMALL, THURSDAY, store_of

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]

FRIDAY = date(2013, 3, 1)


def run(ticker="IBM", session=THURSDAY, **changes):
    wanted = {"settings": SMALL, "late_retries": 0} | changes
    return nightly(ticker, session, return_state=True, **wanted)


@pytest.fixture
def replay(ready, monkeypatch):
    monkeypatch.setenv("ALPHAVANTAGE_API_KEY", "replay-key")  # not a premium key
    return ready


def test_a_night_brings_everything_up_to_date_and_rerunning_it_changes_nothing(replay, feed):
    shown = len(pages("status"))
    night = run().result()
    assert (night.status, night.verdict.promoted, night.rows_added) == ("completed", True, 6)
    assert night.mlflow_run_id
    assert "[IBM](" in pages("status")[0]
    before, asked = standing(replay), feed.requests
    for kept in (before.nights, before.runs, before.entries, before.promotions):
        assert len(kept) == 1
    _, *rows = paths(night).rows  # the same figures as in the night's text
    assert {tuple(each.values()) for each in json.loads(pages("scores-ibm")[0])} == set(rows)
    assert run().result().key == night.key
    assert len(pages("status")) == max(1, shown), "each night updates one page"
    assert (standing(replay), feed.requests) == (before, asked)


def test_a_bar_judged_while_the_night_computes_is_not_taken_as_known_to_it(replay):
    def judge():
        until(lambda: any(replay.datasets.rglob("*.*")), every_s=0.01)
        told = {"recorded_at": clock.now(), "source": "test"}
        store_of(replay).judge("IBM", date(2013, 1, 10), accepted=False, **told)

    asked = replay, "IBM", THURSDAY, chosen("nightly", "auto", SMALL), None
    person = Thread(target=judge)
    person.start()
    assert run().is_completed()
    person.join()
    assert finished_night(*asked) is None
    night = run().result()
    assert finished_night(*asked) == read_night(night_path(replay.nights, "IBM", night.key))


def pages(key):
    """What is and was shown under the key, newest first."""
    under = ArtifactFilter.model_validate({"key": {"any_": [key]}})
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(artifact_filter=under, sort=ArtifactSort.CREATED_DESC)
    return [str(artifact.data) for artifact in found]


def test_the_next_night_continues_the_champion_and_registers_a_model_only_if_it_is_new(
    replay, feed
):
    first = run().result()
    feed.set_clock(FRIDAY)
    second = run(session=FRIDAY).result()
    assert "1 new session" in second.reason
    assert (second.rows_added, second.rows_restated) == (1, 1)
    assert (second.model_version == first.model_version) == second.keeps_champion
    found = standing(replay)
    assert (len(found.runs), len(found.promotions)) == (2, 1 + second.verdict.promoted)
    third = run(session=FRIDAY, mode="retrain").result()
    assert third.history[0]["step"] == 1
    assert (third.model_version == second.model_version) == third.keeps_champion


def test_a_night_whose_cached_results_are_gone_decides_and_counts_as_it_did_the_first_time(
    replay, feed
):
    """All but the answer, the receipt for it, and the store, as after a kill; then all results."""
    home, first = replay, run().result()
    for path in home.root.iterdir():
        if path.name not in ("store", "payloads", "results", "mlflow.db"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for result in home.results.iterdir():
        if not result.name.startswith("fetch-"):
            result.unlink()
    asked = feed.requests
    killed = run().result()
    assert (killed.key, killed.rows_added, killed.rows_restated) == (first.key, 6, 0)
    assert feed.requests == asked
    before = standing(home)
    shutil.rmtree(home.results)
    again = run().result()
    assert (again.key, again.mode, again.reason) == (first.key, first.mode, first.reason)
    assert standing(home) == before


def test_a_stale_feed_is_reported_with_its_age(replay, feed):
    feed.set_clock(date(2013, 2, 19))
    state = run(session=FRIDAY, late_retries=2)
    assert state.name == "Stale"
    assert "8 sessions" in state.message
    assert feed.requests == 2, "the bars, and once whether the share is still listed"


def test_a_hundred_sessions_suffice_for_a_night_and_too_few_say_how_many_are_missing(replay):
    night = run(ticker="MSFT").result()
    assert (night.status, night.sessions, len(night.forecast.path)) == ("completed", 100, 50)
    state = run(ticker="MSFT", settings={"evaluation": {"horizon": 100}})
    assert (state.name, state.is_completed()) == ("Skipped: too few sessions", True)
    assert "22 are missing" in state.message
