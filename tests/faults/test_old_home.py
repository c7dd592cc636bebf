"""A home that the version before the rooms left is opened by today's code, in another place; nothing is lost."""

import json
import os
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stockml.evaluation.assessment import read_assessment
from stockml.forecasts.ledger import Ledger
from stockml.home import Home
from stockml.models.champions import Provenance, champion_for
from stockml.models.registry import Registry
from stockml.models.trained_model import load_model
from stockml.nights import summary
from stockml.nights.record import night_path, read_night
from stockml.prices.series import PriceSeries
from stockml.prices.store import BarStore
from tests.support.old_homes import moved_to
from tests.support.recordings import recorded

SESSION = date(2013, 3, 1)
KEY = "939815c57aad50be270812377e0ea539ed6d327f28ac1c7b62f1052d8ef51a91"
MODEL, EVALUATION = "902c5f1813ff21c1", "5b9ff815c0b3f009"
LSTM_MSE, LAST_VALUE_MSE = 0.004750980184946952, 0.005449595124129397
PROVISIONAL_VOLUME = 3_258_675.0  # as the feed shows the newest session's in its own night
LAST_VALUE, IN_50, RISE = 201.15, 204.93442241421675, 0.5386406328261373


@pytest.fixture
def old(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    for name in ("ALPHAVANTAGE_API_KEY", "ALPHAVANTAGE_PLAN", "STOCKML_CLOCK"):
        monkeypatch.delenv(name, raising=False)
    return moved_to(home.root)


def stockml(*arguments: str) -> str:
    """What the command says on standard output; it must succeed."""
    command = [sys.executable, "-m", "deployments.cli", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_bar_is_there_with_its_value_and_its_session(old: Home) -> None:
    store = BarStore(old.store, old.locks)
    bars = recorded("IBM").copy()
    bars.loc[str(SESSION), "volume"] = PROVISIONAL_VOLUME
    assert store.read("IBM").equals(bars)
    assert store.adjusted("IBM").equals(bars)
    assert (store.tickers(), store.last_session("IBM")) == (("IBM",), SESSION)


def test_the_series_that_the_model_saw_is_read(old: Home) -> None:
    series = PriceSeries.read(old.datasets / "IBM" / f"{SESSION}.parquet")
    assert (len(series), series.sessions[-1].item(), series.mid[-1]) == (3270, SESSION, LAST_VALUE)


def test_the_ledger_holds_the_published_forecast(old: Home) -> None:
    [entry] = Ledger(old.ledger).entries("IBM")
    assert (entry.key, entry.published_at) == (KEY, datetime(2013, 3, 2, 4, tzinfo=UTC))
    assert (entry.run_id, entry.model_version) == ("90fa149777ae42c6b9df27e3172d422d", "1")
    said = entry.forecast
    assert (said.origin, said.last_value, said.path[-1]) == (SESSION, LAST_VALUE, IN_50)
    assert (len(said.sessions), said.sessions[-1]) == (50, date(2013, 5, 13))
    assert (said.probability_of_rise, said.direction_step) == (RISE, 30)


def test_the_champion_is_in_office_and_its_weights_are_loaded_from_where_the_home_is_now(old: Home) -> None:
    [promotion] = Registry(old.models).history("IBM")
    champion = champion_for(old, "IBM", SESSION)
    assert champion == promotion
    assert (champion.key, champion.version) == (KEY, "1")
    assert champion.path == str(old.models / "IBM" / MODEL)
    assert champion.intact()
    model = load_model(Path(champion.path))
    assert (model.sessions, model.settings.network.units, model.settings.training.seed) == (3270, (16,), 7)
    for network in (model.held_out, model.published):
        assert [weight.shape for weight in network.weights][:3] == [(7, 64), (16, 64), (64,)]
        assert all(np.isfinite(weight).all() for weight in network.weights)
    assert model.published.learned_until == np.datetime64(SESSION)
    assert model.held_out.learned_until == np.datetime64("2006-06-20")
    assert model.shrinkage == 0.9727656793529653
    assert Provenance.read(Path(champion.path)).dataset.startswith("eecbb550")


def test_the_nights_record_is_read(old: Home) -> None:
    night = read_night(night_path(old.nights, "IBM", KEY))
    assert (night.ticker, night.session, night.status, night.mode) == ("IBM", SESSION, "completed", "retrain")
    assert (night.reason, night.sessions, len(night.history)) == ("no champion yet", 3270, 4)
    assert night.verdict is not None
    assert night.verdict.promoted
    assert night.forecast is not None
    assert night.forecast.path[-1] == IN_50
    lstm, naive = night.score("LSTM"), night.score("last value")
    assert lstm is not None
    assert naive is not None
    assert (lstm.mse, naive.mse) == (LSTM_MSE, LAST_VALUE_MSE)
    assert (night.distributions, night.publisher, night.forecast.last_close) == (None, "", None)


def test_the_nights_record_is_worded_by_the_reference_that_its_skill_was_over(old: Home) -> None:
    text = summary.text(read_night(night_path(old.nights, "IBM", KEY)))
    assert text.splitlines()[0] == "IBM · session 2013-03-01 · published: skill +0.050 over the last mid price"
    assert "now mid price 201.15" in " ".join(text.split())
    assert "last close" not in text


def test_the_assessment_is_read(old: Home) -> None:
    found = read_assessment(old.evaluations / "IBM" / EVALUATION)
    assert (found.session, found.publisher, found.verdict.promoted) == (SESSION, "LSTM", True)
    assert found.evaluation.scores["LSTM"].mse == LSTM_MSE
    assert found.evaluation.scores["last value"].mse == LAST_VALUE_MSE
    assert found.paths["LSTM"].shape == (len(found.test_origins), 50)
    assert found.forecast.path[-1] == IN_50


def test_the_commands_that_look_show_the_known_figures_and_change_nothing(old: Home) -> None:
    before = content(old.root)
    forecast: dict[str, Any] = json.loads(stockml("forecast", "IBM", "--json"))
    assert (forecast["key"], forecast["origin"], forecast["last_value"]) == (KEY, "2013-03-01", LAST_VALUE)
    assert (len(forecast["path"]), forecast["path"][-1], forecast["sessions"][-1]) == (50, IN_50, "2013-05-13")
    ledger: dict[str, Any] = json.loads(stockml("ledger", "IBM", "--json"))
    assert (ledger["forecasts"], ledger["matured"]) == (1, 0)
    [entry] = ledger["entries"]
    assert (entry["key"], entry["end"], entry["probability_of_rise"]) == (KEY, IN_50, RISE)
    bars = stockml("bars", "IBM").splitlines()
    assert bars[0] == "IBM: 3,270 sessions, 2000-03-01 to 2013-03-01, raw as traded"
    assert bars[-1].split() == ["2013-03-01", "200.65", "202.94", "199.36", "202.91", "3,258,675"]
    assert {name: made for name, made in content(old.root).items() if before.get(name) != made} == {}


@pytest.mark.slow
def test_the_next_night_goes_on_from_it_and_keeps_what_was_published(old: Home) -> None:
    before = content(old.root)
    published = Ledger(old.ledger).steps("IBM")
    night: dict[str, Any] = json.loads(stockml("nightly", "IBM", "--session", "2013-03-01", "--mode", "auto", "--json"))
    assert (night["status"], night["rows_added"], night["rows_restated"]) == ("completed", 0, 0)
    assert (night["mode"], night["reason"]) == ("retrain", "code changed since the champion learned")
    assert night["metrics"]["champion/mse"] == pytest.approx(LSTM_MSE, rel=1e-4), "its weights predict as they did"
    ledger = Ledger(old.ledger)
    assert ledger.steps("IBM").iloc[: len(published)].equals(published)
    first, second = ledger.entries("IBM")
    assert (first.key, second.key != KEY, second.forecast.origin) == (KEY, True, SESSION)
    after = content(old.root)
    history = f"models/IBM/{Registry(old.models).file('IBM').name}"
    assert after[history].startswith(before[history])
    grown = {"ledger/IBM.parquet", history, "prices.json"}
    assert {name for name in before if after.get(name) != before[name]} <= grown
