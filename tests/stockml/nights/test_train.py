"""Tonight's mode and its reason, from the champion that the night may know; a repeated night finds
its decision; a network left alone is no new model on the next night."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from stockml.errors import StoreError
from stockml.features.origins import OriginSplit
from stockml.forecasts.forecast import Band
from stockml.forecasts.ledger import Ledger
from stockml.models.trained_model import Decision, Provenance, TrainedModel, load_model, save
from stockml.models.tutorial_recipe import TutorialForecaster, TutorialScale, prepare
from stockml.nights.night_key import training_code
from stockml.nights.train import champion_of_decision, decide_mode, train_night
from stockml.settings import settings_for
from stockml.storage.receipts import ModelReceipt
from tests.stockml.nights.steps import ALONE, ONE, OWN, SHORT, dataset_of, learned, night, promote
from tests.support import forecasts


def decided(home, sessions, settings=ONE):
    return decide_mode(home, dataset_of(home, SHORT.until(sessions)), settings)


def test_what_was_decided_or_learned_for_other_bars_pretrained_networks_or_settings_is_not_taken_for_tonights(
    home,
):
    dataset = dataset_of(home, SHORT.until(100))
    others = [dataset, replace(dataset, pretrained="newer"), replace(dataset, sha256="9")]
    made = [decide_mode(home, each, ONE) for each in others]
    kept = decide_mode(home, dataset, ONE.changed(mode="keep"))
    assert len({each.path for each in (*made, kept)}) == 4
    models = {Path(train_night(home, each, made[0], ONE).path) for each in others}
    assert len(models) == 3
    assert {model.parent for model in models} == {home.models / "ABC"}


def test_a_champion_of_an_earlier_version_is_reported_and_replaced_without_a_comparison(home):
    _, first = learned(home, SHORT.until(100))
    file = Path(first.path) / "model.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "form": 1}))
    promote(home, first)
    second = night(home, SHORT.until(101))
    assert second.decision.mode == "retrain"
    assert "an earlier version of stockml" in second.decision.reason
    assert second.found.verdict.promoted
    assert second.found.verdict.reason.startswith("the champion has no score (")


def test_a_damaged_champion_stops_the_night_and_nothing_takes_its_place(home):
    _, first = learned(home, SHORT.until(100))
    promote(home, first)
    dataset, decision = dataset_of(home, SHORT.until(101)), decided(home, 101)
    (Path(first.path) / "model.json").write_text("{}")
    for step in (lambda: decided(home, 101), lambda: train_night(home, dataset, decision, ONE)):
        with pytest.raises(StoreError, match="expected the champion as it was promoted"):
            step()


def test_a_decision_holds_beside_the_champion_that_it_was_made_beside(home):
    """So a night that is run again after its own promotion decides as it did before; one before the
    champion's own does not know it."""
    decision, first = learned(home, SHORT.until(100), ONE.changed(mode="keep"))
    assert decision.reason == "no champion yet (keep was asked for)"
    before = decided(home, 101)
    assert champion_of_decision(before) == (None, None)
    promote(home, first)
    assert decided(home, 101) == before
    assert champion_of_decision(decided(home, 102)) == (Path(first.path), None)
    earlier = decided(home, 99)
    assert (earlier.mode, earlier.reason) == ("retrain", "the champion is of a later session")
    asked = ONE.changed(evaluation=ONE.evaluation.changed(direction_step=2))
    assert decided(home, 101, asked).reason.startswith("settings changed")
    later = dataset_of(home, SHORT.until(103))
    after_a_split = decide_mode(home, replace(later, adjustment="of other splits"), ONE)
    assert after_a_split.reason.startswith("price adjustment changed")
    often = ONE.changed(policy=ONE.policy.changed(retrain_after_sessions=1))
    assert decided(home, 103, often).reason.startswith("3 sessions since")


def test_a_tutorials_champion_is_replaced_once_its_published_paths_have_lost_to_the_last_close(
    home,
):
    """Thirty of them that share no session; fewer tell too little."""
    small = {f"evaluation.{part}_sessions": 60 for part in ("test", "validation")}
    settings = settings_for("tutorial", {"policy.scale_drift": 100.0, **small})
    series, folder = forecasts.series(), home.models / "ABC" / "tutorials"
    scale = TutorialScale.of(prepare(series.mid, 70), series.sessions)
    weights = tuple(np.zeros(shape, np.float32) for shape in ((1, 4), (1, 4), (4,), (1, 1), (1,)))
    network = TutorialForecaster(settings, weights, scale, series.sessions[60])
    seen, parts = series.sessions[-1], OriginSplit(60, range(61, 120), range(120, 180))
    decision = Decision("retrain", "no champion yet")
    save(TrainedModel(settings, decision, network, network, parts, len(series), seen, seen), folder)
    Provenance("", training_code(), "").write(folder)
    promote(home, ModelReceipt("ABC", str(folder), "", seen.item(), "retrain", ""))
    dataset, ledger = dataset_of(home, series), Ledger(home.ledger)
    for origins, reason in (
        (range(0, 140, 5), "nothing new"),
        (range(140, 195, 5), "live skill -"),
    ):
        for origin in origins:
            ledger.publish(replace(five_steps(origin), ticker="ABC"))
        tonight = replace(dataset, pretrained=str(origins))  # else a repeated night's, which stands
        assert decide_mode(home, tonight, settings).reason.startswith(reason)


def five_steps(origin):
    """A published path that rises by 2 % a session."""
    whole = forecasts.entry(origin, slope=0.02)
    said = whole.forecast
    bands = tuple(Band(band.coverage, band.low[:5], band.high[:5]) for band in said.bands)
    cut = {name: getattr(said, name)[:5] for name in ("sessions", "path", "weights")}
    return replace(whole, forecast=replace(said, bands=bands, **cut))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("series", "modes", "is_kept"),
    [(ALONE, ["pretrained", "pretrained"], True), (OWN, ["retrain", "fine-tune"], False)],
)
def test_the_next_night_continues_the_champion_and_makes_a_new_model_only_where_one_was_trained(
    home, series, modes, is_kept
):
    first = night(home, series.until(900))
    promote(home, first.model)
    second = night(home, series.until(902))
    assert (second.decision.mode, second.decision.reason) == ("fine-tune", "2 new sessions")
    assert [each.model.mode for each in (first, second)] == modes
    assert [first.found.kept, second.found.kept] == [False, is_kept]
    assert (second.found.distributions.against_champion is None) == is_kept
    assert load_model(Path(second.model.path)).retrained_at == series.sessions[899]
