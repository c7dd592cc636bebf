"""The long-running commands, each run to its end: exit code, JSON, and what it leaves.

They share a home with recorded bars up to a week before Thursday's night, a feed and a Prefect
server.
"""

import json
import logging
import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowFilter

from deployments.cli.app import run
from deployments.process import restored
from deployments.replay import Feed
from deployments.servers.prefect_api import settings_of
from stockml.forecasts.ledger import Ledger
from stockml.home import HomePaths
from stockml.home import current_home as home_of
from stockml.prices.store import BarStore
from stockml.settings import settings_for
from stockml.storage.files import sha256_of
from stockml.tracking import views
from stockml.tracking.experiments import experiment_name
from stockml.training.tuning import tuned_settings
from tests.stockml.tracking.logged import unfilled
from tests.support.commands import Captured
from tests.support.json_fields import check_fields
from tests.support.recordings import recorded
from tests.support.replaying import SMALL, THURSDAY, fill, use

pytestmark = pytest.mark.slow

QUICK = [
    f"--set={part}.{name}={value}"
    for part, values in SMALL.items()
    for name, value in values.items()
]
# one kind and shape of layers for all trials: TensorFlow compiles each once a process, for two CPU
# seconds
TRIALS = [
    "--trials=2",
    "--set=network.units=[6]",
    "--set=network.cell=gru",
    "--set=training.epochs=2",
]
STREAMS = 32  # as many as the length of the price file allows
TICKERS = ("AAPL", "IBM", "MSFT")


@dataclass(frozen=True)
class Installation:
    """A home, and commands run in it by this process; other tests run them as programs."""

    home: HomePaths
    shown: Captured

    def stockml(self, *arguments, code=0):
        """What the command printed on standard output and standard error; it must exit with
        `code`."""
        ended, said = run(arguments), self.shown.readouterr()
        assert ended == code, said.err
        return said.out, said.err

    def found(self, *arguments):
        """The one JSON object that the command prints, with the fields that the docs tell."""
        shown: dict[str, Any] = json.loads(self.stockml(*arguments, "--json")[0])
        check_fields(arguments[0], shown)
        return shown


@pytest.fixture(scope="module")
def filled(installation, prefect_server):
    from prefect.settings import PREFECT_API_URL

    with pytest.MonkeyPatch.context() as patch, Feed() as feed:
        for name in ("STOCKML_STORE", "STOCKML_ARTIFACTS", "STOCKML_CLOCK", "MLFLOW_TRACKING_URI"):
            patch.delenv(name, raising=False)
        patch.setenv("STOCKML_HOME", str(installation.root))
        patch.setenv("PREFECT_API_URL", str(PREFECT_API_URL.value()))
        use(feed, patch)
        feed.set_clock(THURSDAY)
        home = home_of()
        fill(home, TICKERS)
        with restored(os.environ, settings_of(home)):  # commands set these
            yield home


@pytest.fixture
def here(filled, capfd):
    return Installation(filled, capfd)


def test_universe_runs_every_named_ticker_and_reports_each_night(here):
    found = here.found("universe", "IBM", "MSFT", f"--session={THURSDAY}", "--processes=1", *QUICK)
    assert (found["status"], found["message"]) == ("Completed", "2 completed")
    assert [row["ticker"] for row in found["nights"]] == ["IBM", "MSFT"]
    for row in found["nights"]:
        told = [row[name] for name in ("session", "outcome", "promoted", "bars_added")]
        assert told == [str(THURSDAY), "Completed", True, 6]
        assert row["skill"] == pytest.approx(1 - row["mse"] / row["naive_mse"], abs=1e-3)
        [entry] = Ledger(here.home.ledger).entries(row["ticker"])
        assert entry.forecast.origin == THURSDAY
        assert entry.forecast.path[-1] == pytest.approx(row["forecast"], rel=1e-5)


def test_an_import_without_a_file_fetches_the_whole_history(here):
    whole = json.loads(here.stockml("import", "AAPL", "--json")[0])
    check_fields("import TICKER", whole)
    assert (whole["rows_added"], whole["second_provider"]) == (6, None)
    told = "AAPL: 6 bars added, 0 restated, 3,263 as before\n"  # by that run
    assert here.stockml("import", "AAPL")[0] == told


def test_backtest_replays_past_nights_and_leaves_the_ticker_as_it_was(here, caplog):
    caplog.set_level(logging.INFO, logger="prefect")  # as in a process of its own

    def kept():
        return sha256_of(BarStore.of(here.home).path("IBM")), Ledger(here.home.ledger).entries(
            "IBM"
        )

    before = kept()
    found = here.found(
        "backtest", "IBM", "--from=2011-09-30", "--to=2012-06-29", "--every=8", *QUICK
    )
    assert found["tickers"] == 1
    assert "2011-09-30" <= found["first"] < found["last"] <= "2012-06-29"
    covered = f"1 ticker, {found['origins']} origins from {found['first']} to {found['last']}"
    with get_client(sync_client=True) as client:
        theirs = FlowFilter.model_validate({"name": {"any_": ["backtest"]}})
        states = [run.state for run in client.read_flow_runs(flow_filter=theirs)]
    assert covered in [state and state.message for state in states]
    assert kept() == before


def test_tune_writes_the_best_settings_where_the_tickers_nights_read_them(here):
    small = ["--set=network.look_back=10", f"--set=training.batch_size={STREAMS}"]
    found = here.found(*(asked := ["tune", "MSFT", *TRIALS, *QUICK, *small]))
    assert (found["ticker"], found["trials"], found["pruned"]) == ("MSFT", 2, 0)
    assert 0 < found["validation_loss"] <= found["default_loss"]
    assert found["path"] == str(here.home.settings / "MSFT.json")
    assert tuned_settings(here.home, "MSFT") == found["settings"]
    assert here.stockml(*asked)[0].endswith(
        "  used from now on by: stockml nightly MSFT --profile tutorial\n"
    )
    assert settings_for("tutorial", found["settings"]).evaluation.test_sessions == 300


def test_tutorial_prints_draws_and_logs_its_figures_of_each_seed(here, monkeypatch):
    monkeypatch.setenv("STOCKML_CLOCK", f"{THURSDAY}T23:00:00-05:00")
    changed = ["--set=network.units=[6]", "--set=network.dropout=0.0"]
    changed += ["--set=training.epochs=2", "--set=training.seed=3"]
    lines, told = here.stockml("tutorial", str(price_file(here)), "--seeds=2", *changed)
    epochs = [line.partition(": train")[0] for line in told.splitlines()]
    places = ["training 1 of 2, IBM seed 3", "training 2 of 2, IBM seed 4"]
    assert epochs[:4] == [f"{place}: epoch {epoch} of 2" for place in places for epoch in (1, 2)]
    _, streams, _, *rows = lines.partition("\n\n")[0].splitlines()
    assert streams.startswith(f"{STREAMS} streams")

    assert "\n| IBM | – | " in lines, "how far seeds differ"
    [pictures] = (here.home.root / "tutorial").glob("IBM-3-*/plots")
    client = MlflowClient(tracking_uri=here.home.tracking_uri)
    experiment = client.get_experiment_by_name(experiment_name("tutorial")).experiment_id
    [run] = client.search_runs([experiment], "params.training.seed = '3'")
    began = datetime.fromtimestamp(run.info.start_time / 1000, UTC)
    assert began.year > THURSDAY.year, "else maintenance removes it"
    assert run.info.end_time > run.info.start_time, "MLflow said 0 ms"
    assert f"{run.data.metrics['paths/LSTM']:.5f}" == rows[7][64:73].strip()
    assert unfilled(run, views.tutorial_view()) == []
    kept = {Path(each.path).name for each in client.list_artifacts(run.info.run_id, "plots")}
    assert kept == {path.name for path in pictures.glob("*.png")}


def price_file(here):
    """The newest 640 recorded sessions of IBM in Kaggle's layout."""
    file = here.home.root / "ibm.us.txt"
    recorded("IBM").tail(640).rename(columns=str.capitalize).rename_axis("Date").to_csv(file)
    return file


def test_maintenance_removes_and_reports_what_is_old_and_leaves_what_is_needed(here):
    needed, old = (here.home.payloads / "XYZ" / f"{name}.json.gz" for name in ("new", "old"))
    old.parent.mkdir(parents=True)
    for path in (needed, old):
        path.write_bytes(b"an answer")
    then = datetime.now(UTC) - timedelta(days=40)
    os.utime(old, (then.timestamp(), then.timestamp()))
    asked = ("maintenance", "--keep", "payload_days=30")
    listed = here.stockml(*asked, "--dry-run")[0]
    assert f"  `payloads/XYZ/old.json.gz`, {then:%Y-%m-%d}\n" in listed
    assert old.exists()
    found = here.found(*asked)
    assert {step["failed"] for step in found["steps"]} == {None}
    assert [step["count"] for step in found["steps"] if "old.json.gz" in str(step["things"])] == [1]
    assert (old.exists(), needed.exists()) == (False, True)
    assert BarStore.of(here.home).tickers() == TICKERS


def test_a_failed_run_ends_with_what_to_do_without_prefects_own_errors(here):
    said = here.stockml("nightly", "IBM", "--session=1999-01-04", code=1)[1]
    why = "the first bar of IBM is of 2000-03-01, after 1999-01-04; name"
    assert why in said.splitlines()[-1]
    assert "Failed to write result" not in said
