"""The long-running commands, each run to its end: exit code, JSON, and what it leaves.

They share a home with recorded bars up to a week before Thursday's night, a feed and a Prefect
server.
"""

import json
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
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
from stockml.models.registry import Registry
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

WEDNESDAY = date(2013, 2, 27)
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

    def stockml(self, *arguments: str, code: int = 0) -> tuple[str, str]:
        """What the command printed on standard output and standard error; it must exit with
        `code`."""
        ended, said = run(arguments), self.shown.readouterr()
        assert ended == code, said.err
        return said.out, said.err

    def found(self, *arguments: str) -> dict[str, Any]:
        """The one JSON object that the command prints, with the fields that the docs tell."""
        shown: dict[str, Any] = json.loads(self.stockml(*arguments, "--json")[0])
        check_fields(arguments[0], shown)
        return shown


@pytest.fixture(scope="module")
def filled(installation: HomePaths, prefect_server: None) -> Iterator[HomePaths]:
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
def here(filled: HomePaths, capfd: Captured) -> Installation:
    return Installation(filled, capfd)


def test_universe_runs_every_named_ticker_and_reports_each_night(here: Installation) -> None:
    found = here.found("universe", "IBM", "MSFT", f"--session={THURSDAY}", "--processes=1", *QUICK)
    assert (found["status"], found["message"]) == ("Completed", "2 completed")
    assert [row["ticker"] for row in found["nights"]] == ["IBM", "MSFT"]
    for row in found["nights"]:
        assert (row["session"], row["outcome"], row["promoted"], row["bars_added"]) == (
            str(THURSDAY), "Completed", True, 6,
        )  # fmt: skip
        assert row["skill"] == pytest.approx(1 - row["mse"] / row["naive_mse"], abs=1e-3)
        assert BarStore.of(here.home).last_session(row["ticker"]) == THURSDAY
        [entry] = Ledger(here.home.ledger).entries(row["ticker"])
        assert (entry.forecast.origin, entry.forecast.path[-1]) == (
            THURSDAY,
            pytest.approx(row["forecast"], rel=1e-5),
        )


@pytest.mark.campaign
def test_backfill_runs_every_past_session_in_order_and_history_then_finds_no_more(
    here: Installation,
) -> None:
    found = here.found("backfill", "AAPL", str(WEDNESDAY), str(THURSDAY), "--every-night", *QUICK)
    assert (found["status"], found["message"]) == ("Completed", "2 completed")
    assert [row["session"] for row in found["nights"]] == [str(WEDNESDAY), str(THURSDAY)]
    assert len(BarStore.of(here.home).read("AAPL").loc["2013-02-21":]) == 6
    assert [each.forecast.origin for each in Ledger(here.home.ledger).entries("AAPL")] == [
        WEDNESDAY,
        THURSDAY,
    ]
    assert Registry(here.home.models).champion("AAPL")
    whole = json.loads(here.stockml("import", "AAPL", "--json")[0])
    check_fields("import TICKER", whole)
    assert (whole["rows_added"], whole["second_provider"]) == (0, None), "the store has it"
    assert here.stockml("import", "AAPL")[0] == "AAPL: 0 bars added, 0 restated, 3,269 as before\n"


def test_backtest_replays_past_nights_and_leaves_the_ticker_as_it_was(
    here: Installation, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="prefect")  # as in a process of its own
    before = sha256_of(BarStore.of(here.home).path("IBM")), Ledger(here.home.ledger).entries("IBM")
    found = here.found(
        "backtest", "IBM", "--from=2011-09-30", "--to=2012-06-29", "--every=8", *QUICK
    )
    assert (found["tickers"], found["first"] >= "2011-09-30", found["last"] <= "2012-06-29") == (
        1,
        True,
        True,
    )
    covered = f"1 ticker, {found['origins']} origins from {found['first']} to {found['last']}"
    with get_client(sync_client=True) as client:
        theirs = FlowFilter.model_validate({"name": {"any_": ["backtest"]}})
        assert covered in [
            run.state and run.state.message for run in client.read_flow_runs(flow_filter=theirs)
        ]
    after = sha256_of(BarStore.of(here.home).path("IBM")), Ledger(here.home.ledger).entries("IBM")
    assert after == before


@pytest.mark.campaign
def test_backtest_takes_a_folder_of_price_files_that_were_not_imported(
    here: Installation, tmp_path: Path
) -> None:
    for name, sessions in {"ibm": 1_500, "goog": 1_500, "fb": 60}.items():
        bars = recorded(name.upper()).tail(sessions)
        if name == "goog":
            bars.iloc[:1_000, :4] *= 2  # as before a split that was not applied
        bars.rename(columns=str.capitalize).rename_axis("Date").to_csv(tmp_path / f"{name}.us.txt")
    (tmp_path / "ko.us.txt").touch()
    before = BarStore.of(here.home).tickers()
    span = ["--from=2011-11-30", "--to=2012-06-29", "--every=7"]
    found = here.found("backtest", f"--prices={tmp_path}", *span, *QUICK)
    assert found["tickers"] == 2
    assert found["left_out"]["FB"].startswith("expected at least ")
    assert (
        found["left_out"]["ko.us.txt"] == "expected a CSV file of daily prices, found an empty file"
    )
    assert found["doubtful"] == {
        "GOOG": "the open moved as at a split that was not applied on 2011-03-07"
    }
    assert {line["tickers"] for line in found["distributions"]} == {2}
    assert BarStore.of(here.home).tickers() == before
    _, refused = here.stockml("backtest", "KO", f"--prices={tmp_path}", *span, code=1)
    assert f"{tmp_path}: expected a file of KO that can be read, found none" in refused


def test_tune_writes_the_best_settings_where_the_tickers_nights_read_them(
    here: Installation,
) -> None:
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


def test_tutorial_prints_draws_and_logs_its_figures_of_each_seed(
    here: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STOCKML_CLOCK", f"{THURSDAY}T23:00:00-05:00")
    changed = ["--set=network.units=[6]", "--set=network.dropout=0.0"]
    changed += ["--set=training.epochs=2", "--set=training.seed=3"]
    lines, told = here.stockml("tutorial", str(price_file(here)), "--seeds=2", *changed)
    epochs = [line.partition(": train")[0] for line in told.splitlines()]
    places = ["training 1 of 2, IBM seed 3", "training 2 of 2, IBM seed 4"]
    assert epochs[:4] == [f"{place}: epoch {epoch} of 2" for place in places for epoch in (1, 2)]
    first, _, luck = lines.split("\n\n", 2)
    _, streams, _, *rows = first.splitlines()
    assert streams.startswith(f"{STREAMS} streams")
    contenders = [row[26:64].split(",")[0].strip() for row in rows[:9]]
    assert contenders == ["standard average", "EMA", "last value"] * 2 + ["LSTM"] * 3
    assert all(0 < float(row[64:73]) < 1 for row in rows[:9])
    assert luck.splitlines()[2].startswith("| IBM | – | ")
    [pictures] = (here.home.root / "tutorial").glob("IBM-3-*/plots")
    [run] = (run for run in logged(here, "tutorial") if run.data.params["training.seed"] == "3")
    assert datetime.fromtimestamp(run.info.start_time / 1000, UTC).year > THURSDAY.year, (
        "else maintenance removes it"
    )
    assert run.info.end_time > run.info.start_time, "MLflow said 0 ms"
    assert f"{run.data.metrics['paths/LSTM']:.5f}" == rows[7][64:73].strip()
    assert unfilled(run, views.tutorial_view()) == []
    client = MlflowClient(tracking_uri=here.home.tracking_uri)
    kept = {Path(each.path).name for each in client.list_artifacts(run.info.run_id, "plots")}
    assert kept == {path.name for path in pictures.glob("*.png")}


def price_file(here: Installation) -> Path:
    """The newest 640 recorded sessions of IBM in Kaggle's layout."""
    file = here.home.root / "ibm.us.txt"
    recorded("IBM").tail(640).rename(columns=str.capitalize).rename_axis("Date").to_csv(file)
    return file


def logged(here: Installation, experiment: str) -> list[Any]:
    """The runs of an experiment in the home's MLflow."""
    client = MlflowClient(tracking_uri=here.home.tracking_uri)
    found = client.get_experiment_by_name(experiment_name(experiment))
    return list(client.search_runs([found.experiment_id]))


def test_maintenance_removes_and_reports_what_is_old_and_leaves_what_is_needed(
    here: Installation,
) -> None:
    needed, old = (here.home.payloads / "XYZ" / f"{name}.json.gz" for name in ("new", "old"))
    for path in (needed, old):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"an answer")
    then = datetime.now(UTC) - timedelta(days=40)
    os.utime(old, (then.timestamp(), then.timestamp()))
    listed = here.stockml("maintenance", "--keep", "payload_days=30", "--dry-run")[0]
    assert f"  `payloads/XYZ/old.json.gz`, {then:%Y-%m-%d}\n" in listed
    assert old.exists()
    found = here.found("maintenance", "--keep", "payload_days=30")
    assert found["dry_run"] is False
    steps = {step["name"]: step for step in found["steps"]}
    assert [step["failed"] for step in found["steps"]] == [None] * len(steps)
    assert [step["count"] for step in found["steps"] if "old.json.gz" in str(step["things"])] == [1]
    assert (old.exists(), needed.exists()) == (False, True)
    assert BarStore.of(here.home).tickers() == TICKERS


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (
            "nightly IBM --session=1999-01-04",
            "the first bar of IBM is of 2000-03-01, after 1999-01-04; name",
        ),
        (
            f"backtest --prices={Path(__file__).parent} --from=2009-01-05 --to=2012-01-05",
            "daily price files such as",
        ),
    ],
)
def test_a_failed_run_ends_with_what_to_do_without_prefects_own_errors(
    here: Installation, command: str, says: str
) -> None:
    said = here.stockml(*command.split(), code=1)[1]
    assert says in said.splitlines()[-1]
    assert "Failed to write result" not in said
