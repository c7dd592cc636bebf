"""Today's code opens a home of the version before the rooms, in another place; nothing is lost."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deployments.cli.app import run
from stockml.errors import InvalidFile, NoChampion
from stockml.evaluation.assessment import read_assessment
from stockml.forecasts.ledger import Ledger
from stockml.home import HomePaths
from stockml.models.registry import Registry, champion_for
from stockml.models.trained_model import Provenance, load_model
from stockml.nights import summary
from stockml.nights.key_figures import KeyFigures
from stockml.nights.record import night_path, read_night
from stockml.pipeline.decide import champion_of_decision, decide_mode
from stockml.prices.bars import days_of, make_bars
from stockml.prices.calendar import sessions_for
from stockml.prices.series import PriceSeries
from stockml.prices.store import BarStore
from stockml.settings import Settings
from stockml.storage.objects import sha256_of
from stockml.storage.receipts import DatasetReceipt
from stockml.tracking.client import Tracking
from tests.support.old_homes import moved_to
from tests.support.recordings import recorded

SESSION = date(2013, 3, 1)
KEY = "939815c57aad50be270812377e0ea539ed6d327f28ac1c7b62f1052d8ef51a91"
MODEL, EVALUATION = "902c5f1813ff21c1", "5b9ff815c0b3f009"
LSTM_MSE, LAST_VALUE_MSE = 0.004750980184946952, 0.005449595124129397
PROVISIONAL_VOLUME = 3_258_675.0  # as the feed shows the newest session's in its own night
LAST_VALUE, CLOSE = 201.15, 202.91
IN_50, RISE = 204.93442241421675, 0.5386406328261373


@pytest.fixture
def old(home: HomePaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HomePaths:
    for name in ("ALPHAVANTAGE_API_KEY", "ALPHAVANTAGE_PLAN", "STOCKML_CLOCK"):
        monkeypatch.delenv(name, raising=False)
    return moved_to(home.root)


@pytest.fixture
def stockml(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command, which must succeed; return its standard output."""

    def said(*arguments: str) -> str:
        assert run(arguments) == 0
        return capsys.readouterr().out

    return said


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_bar_is_there_with_its_values_and_its_session(old: HomePaths) -> None:
    store = BarStore.of(old)
    bars = recorded("IBM").copy()
    bars.loc[str(SESSION), "volume"] = PROVISIONAL_VOLUME
    assert store.read("IBM").equals(bars)
    assert store.adjusted("IBM").equals(bars)
    assert (store.tickers(), store.last_session("IBM")) == (("IBM",), SESSION)


def test_the_series_that_the_model_saw_can_be_read(old: HomePaths) -> None:
    series = PriceSeries.read(old.datasets / "IBM" / f"{SESSION}.parquet")
    assert (len(series), series.sessions[-1].item(), series.mid[-1]) == (3270, SESSION, LAST_VALUE)


def test_the_ledger_holds_the_published_forecast(old: HomePaths) -> None:
    [entry] = Ledger(old.ledger).entries("IBM")
    assert (entry.key, entry.published_at) == (KEY, datetime(2013, 3, 2, 4, tzinfo=UTC))
    assert (entry.run_id, entry.model_version) == ("90fa149777ae42c6b9df27e3172d422d", "1")
    said = entry.forecast
    assert (said.origin, said.last_value, said.path[-1]) == (SESSION, LAST_VALUE, IN_50)
    assert (len(said.sessions), said.sessions[-1]) == (50, date(2013, 5, 13))
    assert (said.probability_of_rise, said.direction_step) == (RISE, 30)


def test_the_champion_is_found_where_the_home_is_now(old: HomePaths) -> None:
    [promotion] = Registry(old.models).history("IBM")
    champion = champion_for(old, "IBM", SESSION)
    assert champion == promotion
    assert (champion.key, champion.version) == (KEY, "1")
    assert champion.path == str(old.models / "IBM" / MODEL)
    assert champion.intact()
    assert Provenance.read(Path(champion.path)).dataset.startswith("eecbb550")


def test_its_network_the_tickers_own_lstm_is_refused_by_name_as_an_earlier_versions(old: HomePaths) -> None:
    """It is neither continued nor scored, and its files are not touched."""
    before = content(old.models)
    with pytest.raises(InvalidFile, match=rf"{MODEL}: expected a trained model, found one that an earlier version"):
        load_model(old.models / "IBM" / MODEL)
    series = old.datasets / "IBM" / f"{SESSION}.parquet"
    dataset = DatasetReceipt("IBM", str(series), sha256_of(str(series)) or "", SESSION, 3270, "")
    decision = decide_mode(old, dataset, Settings())
    assert decision.mode == "retrain"
    assert decision.reason.startswith("the champion cannot be continued: ")
    champion, unreadable = champion_of_decision(decision)
    assert champion is None
    assert f"{MODEL}: expected a trained model" in (unreadable or "")
    assert content(old.models) == before


def test_a_rollback_does_not_put_it_back_in_office(old: HomePaths) -> None:
    """The next night could not score it, and would replace it without a comparison."""
    registry = Registry(old.models)
    [first] = registry.history("IBM")
    registry.promote(replace(first, key="of a later night"))
    with pytest.raises(NoChampion, match=rf"{MODEL} cannot be loaded: .* found one that an earlier version"):
        registry.rollback("IBM", at=datetime(2013, 3, 4, tzinfo=UTC), reason="by hand")


def test_the_nights_record_can_be_read(old: HomePaths) -> None:
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


def test_the_nights_summary_names_the_reference_that_its_skill_was_over(old: HomePaths) -> None:
    text = summary.text(read_night(night_path(old.nights, "IBM", KEY)))
    assert text.splitlines()[0] == "IBM · session 2013-03-01 · published: skill +0.050 over the last mid price"
    assert "now 201.15" in " ".join(text.split())
    assert "last close" not in text


def test_its_skill_over_the_last_mid_price_is_not_shown_as_one_over_the_last_close(
    old: HomePaths, stockml: Callable[..., str]
) -> None:
    night = read_night(night_path(old.nights, "IBM", KEY))
    found = KeyFigures.of(replace(night, metrics={**night.metrics, "live/skill": 0.1}))
    assert (found.published_skill, found.live_skill) == (None, None)
    [shown] = [line.split() for line in stockml("status").splitlines() if line.startswith("IBM")]
    assert shown == ["IBM", "2013-03-01", "up", "to", "date", "–", "–", "–", "–"]


def test_its_assessment_is_refused_with_the_advice_to_run_the_night_again(old: HomePaths) -> None:
    with pytest.raises(InvalidFile, match=r"expected an assessment, found .*; run that night again"):
        read_assessment(old.evaluations / "IBM" / EVALUATION)


def test_its_forecast_is_scored_once_its_sessions_have_passed(old: HomePaths) -> None:
    """After 50 sessions at 200: the path published then is scored against the close of its origin."""
    past, later = recorded("IBM"), sessions_for("IBM").after(SESSION, 50)
    columns = {name: np.concatenate([past[name], np.full(50, 200.0)]) for name in past}
    series = PriceSeries.from_bars(make_bars(np.concatenate([days_of(past), np.array(later, "M8[D]")]), columns))
    [entry] = Ledger(old.ledger).entries("IBM")
    found = Ledger(old.ledger).record("IBM", series, sessions_for("IBM"))["live"]
    path = np.array(entry.forecast.path)
    assert (found.matured, found.skill) == (1, pytest.approx(1 - np.mean((path - 200) ** 2) / (CLOSE - 200) ** 2))


def test_commands_that_only_read_show_the_known_figures_and_change_nothing(
    old: HomePaths, stockml: Callable[..., str]
) -> None:
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
def test_mlflow_gets_the_run_back_without_its_model_which_is_an_earlier_versions(
    old: HomePaths, stockml: Callable[..., str]
) -> None:
    told = "MLflow has 1 run from the records of the nights, 0 of them with their model\n"
    assert (stockml("rebuild-tracking"), Tracking(old).pending()) == (told, ())


@pytest.mark.slow
def test_the_next_night_replaces_its_champion_uncompared_and_keeps_what_was_published(
    old: HomePaths, stockml: Callable[..., str], prefect_server: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from prefect.settings import PREFECT_API_URL

    monkeypatch.setenv("PREFECT_API_URL", str(PREFECT_API_URL.value()))
    before = content(old.root)
    published = Ledger(old.ledger).steps("IBM")
    said = stockml("nightly", "IBM", "--session", "2013-03-01", "--mode", "auto", "--json")
    night: dict[str, Any] = json.loads(said)
    assert (night["status"], night["rows_added"], night["rows_restated"]) == ("completed", 0, 0)
    assert f"the champion cannot be continued: {old.models}/IBM/{MODEL}: expected a trained model" in night["reason"]
    assert (night["promoted"], "answer/beats_champion_pct" in night["metrics"]) == (True, False)
    champion = Registry(old.models).champion("IBM")
    assert champion
    assert champion.key != KEY
    assert champion.reason.startswith("the champion has no score (")
    assert champion.reason.endswith("): replaced without a comparison")
    assert load_model(Path(champion.path)).sessions == 3270
    ledger = Ledger(old.ledger)
    assert ledger.steps("IBM").iloc[: len(published)].equals(published)
    first, second = ledger.entries("IBM")
    assert (first.key, second.key, second.forecast.origin) == (KEY, champion.key, SESSION)
    after = content(old.root)
    history = f"models/IBM/{Registry(old.models).file('IBM').name}"
    assert after[history].startswith(before[history])
    grown = {"ledger/IBM.parquet", history, "prices.json"}
    assert {name for name in before if after.get(name) != before[name]} <= grown
