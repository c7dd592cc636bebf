"""Tonight's mode and its reason, from the champion that the night may know; a repeated night finds
its decision; a network left alone is no new model on the next night."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pytest

from stockml.errors import StoreError
from stockml.evaluation.path_scores import LSTM
from stockml.features.origins import OriginSplit
from stockml.forecasts.forecast import Band
from stockml.forecasts.ledger import Ledger, LedgerEntry
from stockml.home import HomePaths
from stockml.models.registry import Promotion, Registry
from stockml.models.trained_model import Decision, Provenance, TrainedModel, load_model, save
from stockml.models.tutorial_recipe import TutorialForecaster, TutorialScale, prepare
from stockml.models.vintage_store import SHIPPED
from stockml.nights.night_key import training_code
from stockml.nights.train import champion_of_decision, decide_mode, train_night
from stockml.prices.series import PriceSeries
from stockml.settings import Settings, settings_for
from stockml.storage.files import sha256_of
from tests.stockml.nights.steps import ALONE, ONE, OWN, dataset_of, night
from tests.support import forecasts

pytestmark = pytest.mark.slow


def deciding(home: HomePaths, series: PriceSeries, settings: Settings = ONE) -> tuple[str, str]:
    decided = decide_mode(home, dataset_of(home, series), settings)
    return decided.mode, decided.reason


@pytest.mark.campaign
def test_what_was_decided_or_learned_for_other_bars_pretrained_networks_or_settings_is_not_taken_for_tonights(
    home: HomePaths,
) -> None:
    dataset = dataset_of(home, OWN.until(900))
    others = [dataset, replace(dataset, pretrained="newer"), replace(dataset, sha256="9")]
    decided = [decide_mode(home, each, ONE) for each in others]
    kept = decide_mode(home, dataset, ONE.changed(mode="keep"))
    assert len({each.path for each in (*decided, kept)}) == 4
    assert len({train_night(home, each, decided[0], ONE).path for each in others}) == 3


def test_a_champion_of_an_earlier_version_is_reported_and_replaced_without_a_comparison(
    home: HomePaths,
) -> None:
    first = night(home, ALONE.until(900))
    file = Path(first.model.path) / "model.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "form": 1}))
    replace(first, model=replace(first.model, sha256=sha256_of(first.model.path) or "")).promoted(
        home
    )
    second = night(home, ALONE.until(901))
    assert second.decision.mode == "retrain"
    assert "an earlier version of stockml" in second.decision.reason
    assert second.found.verdict.promoted
    assert second.found.verdict.reason.startswith("the champion has no score (")


def test_a_damaged_champion_stops_the_night_and_nothing_takes_its_place(home: HomePaths) -> None:
    first = night(home, ALONE.until(900))
    first.promoted(home)
    dataset = dataset_of(home, ALONE.until(901))
    decided = decide_mode(home, dataset, ONE)
    (Path(first.model.path) / "model.json").write_text("{}")
    for step in (
        lambda: night(home, ALONE.until(901)),
        lambda: train_night(home, dataset, decided, ONE),
    ):
        with pytest.raises(StoreError, match="expected the champion as it was promoted"):
            step()


def test_a_decision_holds_beside_the_champion_that_it_was_made_beside(home: HomePaths) -> None:
    """So a night that is run again after its own promotion decides as it did before; one before the
    champion's own does not know it."""
    first = night(home, OWN.until(900), ONE.changed(mode="keep"))
    assert first.decision.reason == "no champion yet (keep was asked for)"
    decided = decide_mode(home, dataset_of(home, OWN.until(901)), ONE)
    assert champion_of_decision(decided) == (None, None)
    first.promoted(home)
    assert decide_mode(home, dataset_of(home, OWN.until(901)), ONE) == decided
    beside = decide_mode(home, dataset_of(home, OWN.until(902)), ONE)
    assert champion_of_decision(beside) == (Path(first.model.path), None)
    earlier = deciding(home, OWN.until(899))
    assert earlier == ("retrain", "the champion is of a later session")
    asked = ONE.changed(evaluation=ONE.evaluation.changed(direction_step=2))
    assert deciding(home, OWN.until(901), asked)[1].startswith("settings changed")
    often = ONE.changed(policy=ONE.policy.changed(retrain_after_sessions=1))
    assert deciding(home, OWN.until(903), often)[1].startswith("3 sessions since")


def test_a_tutorials_champion_is_replaced_once_its_published_paths_have_lost_to_the_last_close(
    home: HomePaths,
) -> None:
    """Thirty of them that share no session; fewer tell too little."""
    small = {f"evaluation.{part}_sessions": 60 for part in ("test", "validation")}
    settings = settings_for("tutorial", {"policy.scale_drift": 100.0, **small})
    series, folder = forecasts.series(), home.models / "ABC" / "tutorials"
    scale = TutorialScale.of(prepare(series.mid, 70), series.sessions)
    weights = tuple(np.zeros(shape, np.float32) for shape in ((1, 4), (1, 4), (4,), (1, 1), (1,)))
    network = TutorialForecaster(settings, weights, scale, series.sessions[60])
    seen, parts = series.sessions[-1], OriginSplit(60, range(61, 120), range(120, 180))
    learned = Decision("retrain", "no champion yet")
    save(TrainedModel(settings, learned, network, network, parts, len(series), seen, seen), folder)
    Provenance("", training_code(), "").write(folder)
    at = datetime(2013, 3, 2, 4, tzinfo=UTC)
    line = ("1", str(folder), sha256_of(folder) or "", None, seen.item(), "better", at)
    Registry(home.models).promote(Promotion("ABC", "promote", *line))
    dataset, ledger = dataset_of(home, series), Ledger(home.ledger)
    for origins, decided in (
        (range(0, 140, 5), "nothing new"),
        (range(140, 195, 5), "live skill -"),
    ):
        for origin in origins:
            ledger.publish(replace(five_steps(origin), ticker="ABC"))
        tonight = replace(dataset, pretrained=str(origins))  # else a repeated night's, which stands
        assert decide_mode(home, tonight, settings).reason.startswith(decided)


def five_steps(origin: int) -> LedgerEntry:
    """A published path that rises by 2 % a session."""
    whole = forecasts.entry(origin, slope=0.02)
    said = whole.forecast
    bands = tuple(Band(band.coverage, band.low[:5], band.high[:5]) for band in said.bands)
    cut = {name: getattr(said, name)[:5] for name in ("sessions", "path", "weights")}
    return replace(whole, forecast=replace(said, bands=bands, **cut))


def test_a_pretrained_network_left_alone_is_not_a_new_model_on_the_next_night(
    home: HomePaths,
) -> None:
    first = night(home, ALONE.until(900))
    assert (first.decision.mode, first.model.mode) == ("retrain", "pretrained")
    assert (first.found.verdict.promoted, first.found.publisher) == (True, LSTM)
    first.promoted(home)
    second = night(home, ALONE.until(901))
    assert (second.decision.mode, second.found.kept) == ("fine-tune", True)
    assert (second.found.verdict.promoted, second.found.publisher) == (False, LSTM)


def test_a_damaged_vintage_in_the_home_is_named_and_the_night_goes_on(home: HomePaths) -> None:
    home.pretrained.mkdir(parents=True)
    for name in ("network-2002-03.npz", "regression-2002-03.json"):
        whole = (SHIPPED / name.replace("2002-03", "2017-06")).read_bytes()
        (home.pretrained / name).write_bytes(whole[:-9])
    found = night(home, ALONE.until(900))
    vintages = load_model(Path(found.model.path)).published.vintages
    assert vintages.through == date(2001, 6, 29)
    for reasons in (found.found.distributions.reasons, vintages.reasons):
        assert "network-2002-03.npz" in (said := "\n".join(reasons.values()))
        assert "regression-2002-03.json" in said
    assert found.found.publisher == LSTM
