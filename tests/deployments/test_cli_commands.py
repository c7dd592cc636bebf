"""The commands that run for long, each to its end as a person starts it: exit code, JSON, and what then stands.

They share a home with recorded bars up to a week before Thursday's night, a feed and a Prefect server.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from deployments.replay.feed import Feed
from deployments.replay.recording import recorded_bars
from stockml.forecasts.ledger import Ledger
from stockml.home import Home
from stockml.home import home as home_of
from stockml.models.registry import Registry
from stockml.prices.store import BarStore
from stockml.settings import settings_for
from stockml.storage.files import sha256_of
from stockml.training.tuned_settings import tuned_settings
from tests.deployments.test_cli import stockml
from tests.support.replaying import SMALL, THURSDAY, fill, use

pytestmark = pytest.mark.slow

WEDNESDAY = date(2013, 2, 27)
QUICK = [f"--set={part}.{name}={value}" for part, values in SMALL.items() for name, value in values.items()]
TICKERS = ("AAPL", "IBM", "MSFT")


@dataclass(frozen=True)
class Installation:
    """A home, and the Prefect server that its commands are pointed at."""

    home: Home
    prefect: str

    def stockml(self, *arguments: str) -> str:
        """What the command printed; it must end with 0."""
        done = stockml(*arguments, PREFECT_API_URL=self.prefect)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def found(self, *arguments: str) -> dict[str, Any]:
        """The command's one JSON object."""
        shown: dict[str, Any] = json.loads(self.stockml(*arguments, "--json"))
        return shown


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory, prefect_server: None) -> Iterator[Installation]:
    from prefect.settings import PREFECT_API_URL

    with pytest.MonkeyPatch.context() as patch, Feed() as feed:
        for name in ("STOCKML_STORE", "STOCKML_ARTIFACTS", "STOCKML_CLOCK", "MLFLOW_TRACKING_URI"):
            patch.delenv(name, raising=False)
        patch.setenv("STOCKML_HOME", str(tmp_path_factory.mktemp("commands")))
        use(feed, patch)
        feed.set_clock(THURSDAY)
        home = home_of()
        fill(home, TICKERS)
        yield Installation(home, str(PREFECT_API_URL.value()))


def test_universe_runs_every_named_ticker_and_tells_each_ones_night(here: Installation) -> None:
    found = here.found("universe", "IBM", "MSFT", f"--session={THURSDAY}", "--processes=1", *QUICK)
    assert (found["status"], found["message"]) == ("Completed", "2 completed")
    assert [row["ticker"] for row in found["nights"]] == ["IBM", "MSFT"]
    for row in found["nights"]:
        assert (row["session"], row["outcome"], row["mode"], row["bars_added"]) == (
            str(THURSDAY), "Completed", "retrain", 6,
        )  # fmt: skip
        assert row["skill"] == pytest.approx(1 - row["mse"] / row["naive_mse"], abs=1e-3)
        assert 0 <= row["noise_p"] <= 1
        assert row["network_adds"] < 1
        assert row["crps_skill"] < 1
        assert BarStore(here.home.store, here.home.locks).last_session(row["ticker"]) == THURSDAY
        [entry] = Ledger(here.home.ledger).entries(row["ticker"])
        assert (entry.forecast.origin, entry.forecast.path[-1]) == (THURSDAY, pytest.approx(row["forecast"], rel=1e-5))
    table = (here.home.universe / f"{THURSDAY}.csv").read_text().splitlines()
    assert [line.split(",")[:2] for line in table[1:]] == [["IBM", str(THURSDAY)], ["MSFT", str(THURSDAY)]]


def test_backfill_catches_up_every_past_session_in_order(here: Installation) -> None:
    found = here.found("backfill", "AAPL", str(WEDNESDAY), str(THURSDAY), "--every-night", *QUICK)
    assert (found["status"], found["message"]) == ("Completed", "2 completed")
    nights = [(row["session"], row["mode"]) for row in found["nights"]]
    assert nights == [(str(WEDNESDAY), "retrain"), (str(THURSDAY), "fine-tune")]
    assert len(BarStore(here.home.store, here.home.locks).read("AAPL").loc["2013-02-21":]) == 6
    assert [each.forecast.origin for each in Ledger(here.home.ledger).entries("AAPL")] == [WEDNESDAY, THURSDAY]
    assert Registry(here.home.models).champion("AAPL")


def test_walk_forward_compares_the_policies_and_leaves_the_ticker_as_it_was(here: Installation) -> None:
    before = sha256_of(BarStore(here.home.store, here.home.locks).path("IBM")), Ledger(here.home.ledger).entries("IBM")
    found = here.found("walk-forward", "IBM", "--nights=2", "--every=5", *QUICK)
    assert (found["ticker"], found["nights"]) == ("IBM", 2)
    policies = {row["policy"]: (row["retrained"], row["fine_tuned"], row["kept"]) for row in found["policies"]}
    assert policies == {"retrain": (2, 0, 0), "fine-tune": (1, 1, 0), "auto": (1, 1, 0), "keep": (1, 0, 1)}
    assert all(row["nights"] == 2 and row["skill"] <= 1 and row["seconds"] > 0 for row in found["policies"])
    after = sha256_of(BarStore(here.home.store, here.home.locks).path("IBM")), Ledger(here.home.ledger).entries("IBM")
    assert after == before


def test_tune_writes_the_best_settings_and_the_tickers_nights_then_use_them(here: Installation) -> None:
    found = here.found("tune", "MSFT", "--trials=2", "--sampler=random", *QUICK)
    assert (found["ticker"], found["trials"], found["pruned"]) == ("MSFT", 2, 0)
    assert 0 < found["validation_loss"] <= found["default_loss"]
    assert found["path"] == str(here.home.settings / "MSFT.json")
    assert tuned_settings(here.home, "MSFT") == found["settings"]
    assert settings_for("nightly", found["settings"]).evaluation.test_sessions == 300


def test_tutorial_trains_on_a_price_file_and_prints_its_figures(here: Installation) -> None:
    file = here.home.root / "ibm.us.txt"
    recorded_bars("IBM").tail(640).rename(columns=str.capitalize).rename_axis("Date").to_csv(file)
    lines = here.stockml("tutorial", str(file), "--epochs=1", "--seed=3").splitlines()
    assert lines[0] == (
        "640 points, 583 of them the training part; 1 starts; seed 3; rate decayed on the validation part"
    )
    kinds = [tuple(line[:62].split(maxsplit=4)[:4]) for line in lines[1:6]]
    assert kinds == [("one", "step,", "training", "part")] * 2 + [("50", "steps,", "test", "part")] * 3
    names = ["standard average", "EMA", "last value", "LSTM, 1 epochs, kept 1", "LSTM, as epoch 1 left it"]
    assert [line[26:62].strip() for line in lines[1:6]] == names
    errors = [float(line[62:]) for line in lines[1:6]]
    assert all(0 < error < 1 for error in errors)
    assert errors[3] == errors[4], "the only epoch is the one that is kept"


def test_maintenance_removes_what_is_old_says_so_and_leaves_what_is_needed(here: Installation) -> None:
    needed = here.home.payloads / "XYZ" / "new.json.gz"
    old = here.home.payloads / "XYZ" / "old.json.gz"
    for path in (needed, old):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"an answer")
    then = (datetime.now(UTC) - timedelta(days=40)).timestamp()
    os.utime(old, (then, then))
    found = here.found("maintenance", "--keep", "payload_days=30")
    assert found["dry_run"] is False
    steps = {step["name"]: step for step in found["steps"]}
    assert [step["failed"] for step in found["steps"]] == [None] * len(steps)
    [removed] = [step for step in found["steps"] if any("old.json.gz" in thing for thing in step["things"])]
    assert removed["count"] == 1
    assert found["message"].startswith(f"{sum(step['count'] for step in found['steps'])} thing")
    assert (old.exists(), needed.exists()) == (False, True)
    assert BarStore(here.home.store, here.home.locks).tickers() == TICKERS
