"""The night, end to end, on a real Prefect server, a real feed and a real MLflow store: what runs,
what is cached, what stands afterwards, and how nights without an ordinary bar end."""

import json
import shutil
from dataclasses import dataclass
from datetime import date
from threading import Thread
from typing import Any

import pytest
from mlflow import MlflowClient
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, FlowRunFilter
from prefect.client.schemas.sorting import ArtifactSort
from prefect.states import State

from flows.form import chosen
from flows.nightly import nightly
from stockml import clock
from stockml.forecasts.ledger import Ledger
from stockml.home import HomePaths
from stockml.models.registry import Registry
from stockml.nights.finished_nights import finished_night
from stockml.nights.record import night_path, read_night
from stockml.nights.tables import paths
from stockml.prices.store import BarStore
from stockml.storage.files import sha256_of
from tests.support.patience import until
from tests.support.replaying import SMALL, THURSDAY
from tests.support.scripted_feed import ScriptedFeed

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]

FRIDAY = date(2013, 3, 1)


@dataclass
class Replay:
    """A home with recorded IBM bars up to a week before, and a feed at Thursday's night."""

    home: HomePaths
    feed: ScriptedFeed

    def night(self, ticker: str = "IBM", session: date = THURSDAY, **changes: Any) -> State:
        wanted = {"settings": SMALL, "late_retries": 0} | changes
        return nightly(ticker, session, return_state=True, **wanted)

    @property
    def store(self) -> BarStore:
        return BarStore.of(self.home)

    def mlflow_runs(self, ticker: str = "IBM") -> list[Any]:
        client = MlflowClient(self.home.tracking_uri)
        experiments = [
            e.experiment_id for e in client.search_experiments() if e.name.endswith(ticker)
        ]
        return list(client.search_runs(experiments)) if experiments else []

    def stands(self) -> tuple[Any, ...]:
        """What must be the same however often a night is run."""
        runs = sorted(run.info.run_id for run in self.mlflow_runs())
        entries = [entry.key for entry in Ledger(self.home.ledger).entries("IBM")]
        promotions = [line.key for line in Registry(self.home.models).history("IBM")]
        return (sha256_of(self.store.path("IBM")), runs, entries, promotions)


@pytest.fixture
def replay(ready: HomePaths, feed: ScriptedFeed, monkeypatch: pytest.MonkeyPatch) -> Replay:
    monkeypatch.setenv("ALPHAVANTAGE_API_KEY", "replay-key")  # not a premium key
    return Replay(ready, feed)


def test_a_night_brings_everything_up_to_date_and_rerunning_it_changes_nothing(
    replay: Replay,
) -> None:
    shown = len(pages("status"))
    first = replay.night()
    night = first.result()
    assert (night.status, night.verdict.promoted, night.rows_added) == ("completed", True, 6)
    assert night.mlflow_run_id
    assert "[IBM](" in pages("status")[0]
    before = replay.stands()
    _, *rows = paths(night).rows  # the same figures as in the night's text
    assert {tuple(each.values()) for each in json.loads(pages("scores-ibm")[0])} == set(rows)
    asked = replay.feed.requests
    again = replay.night()
    assert again.result().key == night.key
    assert len(pages("status")) == max(1, shown), "each night updates one page"
    assert replay.stands() == before
    assert replay.feed.requests == asked
    assert [len(each) for each in before[1:]] == [1, 1, 1]


def test_a_bar_judged_while_the_night_computes_is_not_taken_as_known_to_it(replay: Replay) -> None:
    def judge() -> None:
        until(lambda: any(replay.home.datasets.rglob("*.*")), every_s=0.01)
        replay.store.judge(
            "IBM", date(2013, 1, 10), accepted=False, recorded_at=clock.now(), source="test"
        )

    asked = replay.home, "IBM", THURSDAY, chosen("nightly", "auto", SMALL), None
    person = Thread(target=judge)
    person.start()
    assert replay.night().is_completed()
    person.join()
    assert finished_night(*asked) is None
    night = replay.night().result()
    assert finished_night(*asked) == read_night(night_path(replay.home.nights, "IBM", night.key))


def pages(key: str) -> list[str]:
    """What is and was shown under the key, newest first."""
    under = ArtifactFilter.model_validate({"key": {"any_": [key]}})
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(artifact_filter=under, sort=ArtifactSort.CREATED_DESC)
    return [str(artifact.data) for artifact in found]


def test_the_next_night_continues_the_champion_and_registers_a_model_only_if_it_is_new(
    replay: Replay,
) -> None:
    first = replay.night().result()
    replay.feed.set_clock(FRIDAY)
    second = replay.night(session=FRIDAY).result()
    assert "1 new session" in second.reason
    assert (second.rows_added, second.rows_restated) == (1, 1)
    assert len(replay.mlflow_runs()) == 2
    assert (second.model_version == first.model_version) == second.keeps_champion
    assert len(Registry(replay.home.models).history("IBM")) == 1 + second.verdict.promoted
    third = replay.night(session=FRIDAY, mode="retrain").result()
    assert third.history[0]["step"] == 1
    assert (third.model_version == second.model_version) == third.keeps_champion


def test_a_night_whose_cached_results_are_gone_decides_as_it_did_the_first_time(
    replay: Replay,
) -> None:
    first = replay.night().result()
    before = replay.stands()
    shutil.rmtree(replay.home.results)
    again = replay.night().result()
    assert (again.key, again.mode, again.reason) == (first.key, first.mode, first.reason)
    assert replay.stands() == before


def test_a_night_killed_once_its_bars_were_stored_still_counts_them_when_rerun(
    replay: Replay,
) -> None:
    """All that such a night leaves is the answer, the receipt for it, and the store."""
    first = replay.night().result()
    for path in replay.home.root.iterdir():
        if path.name not in ("store", "payloads", "results"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for result in replay.home.results.iterdir():
        if not result.name.startswith("fetch-"):
            result.unlink()
    asked = replay.feed.requests
    again = replay.night().result()
    assert (again.key, again.rows_added, again.rows_restated) == (first.key, 6, 0)
    assert replay.feed.requests == asked


def test_a_stale_feed_is_reported_with_its_age(replay: Replay) -> None:
    replay.feed.set_clock(date(2013, 2, 19))
    state = replay.night(session=FRIDAY, late_retries=2)
    assert state.name == "Stale"
    assert "8 sessions" in state.message
    assert replay.feed.requests == 2, "the bars, and once whether the share is still listed"


def test_a_hundred_sessions_suffice_for_a_night_and_too_few_say_how_many_are_missing(
    replay: Replay,
) -> None:
    state = replay.night(ticker="MSFT")
    night = state.result()
    assert (night.status, night.sessions, len(night.forecast.path)) == ("completed", 100, 50)
    steps = ends_of_steps(state)
    assert steps["fetch history MSFT 2013-02-28"] == "Refused"
    assert "Failed" not in steps.values()
    state = replay.night(ticker="MSFT", settings={"evaluation": {"horizon": 100}})
    assert (state.name, state.is_completed()) == ("Skipped: too few sessions", True)
    assert "22 are missing" in state.message


def ends_of_steps(state: State) -> dict[str, str]:
    """How the run's steps ended, by name, once the server has recorded its last one."""
    this_run = FlowRunFilter(id={"any_": [state.state_details.flow_run_id]})

    def ends() -> dict[str, str]:
        runs = client.read_task_runs(flow_run_filter=this_run)
        found = {
            run.name: str(run.state_name) for run in runs if run.state and run.state.is_final()
        }
        return found if any(name.startswith("promote") for name in found) else {}

    with get_client(sync_client=True) as client:
        return until(ends, every_s=0.2)
