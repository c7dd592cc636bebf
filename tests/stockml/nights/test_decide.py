"""Tonight's mode and its reason, from the champion that the night may know; a repeated night finds
its decision."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from stockml.errors import StoreError
from stockml.features.origins import OriginSplit
from stockml.forecasts.forecast import Band
from stockml.forecasts.ledger import Ledger, LedgerEntry
from stockml.home import HomePaths
from stockml.models.registry import Promotion, Registry
from stockml.models.retrain_policy import Decision
from stockml.models.trained_model import Provenance, TrainedModel, save
from stockml.models.tutorial.recipe import TutorialForecaster, TutorialScale, prepare
from stockml.nights.night_key import training_code
from stockml.nights.train import champion_of_decision, decide_mode, train_night
from stockml.prices.series import PriceSeries
from stockml.settings import Mode, Settings, settings_for
from stockml.storage.files import sha256_of
from tests.stockml.nights.steps import ALONE, ONE, OWN, Night, dataset_of, night
from tests.support import forecasts

pytestmark = pytest.mark.slow

NOTHING = "nothing new since the champion learned"


@pytest.mark.campaign
def test_what_was_decided_or_learned_for_other_bars_pretrained_networks_or_settings_is_not_taken_for_tonights(
    home: HomePaths,
) -> None:
    dataset, keep = dataset_of(home, OWN.until(900)), ONE.changed(mode="keep")
    nights = (
        (dataset, ONE),
        (replace(dataset, pretrained="newer"), ONE),
        (replace(dataset, sha256="9"), ONE),
        (dataset, keep),
    )
    decided = [decide_mode(home, *each) for each in nights]
    assert len({each.path for each in decided}) == 4
    assert len({train_night(home, each, decided[0], ONE).path for each, _ in nights[:3]}) == 3


def test_a_champion_of_an_earlier_version_is_reported_and_replaced_without_a_comparison(
    home: HomePaths,
) -> None:
    first = night(home, ALONE.until(900))
    kept = json.loads((Path(first.model.path) / "model.json").read_text())
    (Path(first.model.path) / "model.json").write_text(json.dumps({**kept, "form": 1}))
    replace(first, model=replace(first.model, sha256=sha256_of(first.model.path) or "")).promoted(
        home
    )
    second = night(home, ALONE.until(901))
    assert second.decision.mode == "retrain"
    assert "cannot be continued" in second.decision.reason
    assert "an earlier version of stockml" in second.decision.reason
    assert second.found.verdict.promoted
    assert second.found.verdict.reason.startswith("the champion has no score (")
    assert "no champion" not in second.found.verdict.reason


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


def deciding(
    home: HomePaths, champion: Night | None, series: PriceSeries, settings: Settings = ONE
) -> tuple[str, str]:
    """The mode and reason of the night on this series, beside the champion that an earlier one
    left."""
    if champion:
        champion.promoted(home)
    decided = decide_mode(home, dataset_of(home, series), settings)
    return decided.mode, decided.reason


@pytest.mark.parametrize(
    ("wanted", "mode", "reason"),
    [
        ("auto", "retrain", "no champion yet"),
        ("retrain", "retrain", "asked for"),
        ("fine-tune", "retrain", "no champion yet (fine-tune was asked for)"),
        ("keep", "retrain", "no champion yet (keep was asked for)"),
    ],
)
def test_the_first_night_trains_from_the_pretrained_network_whatever_was_asked_for(
    home: HomePaths, wanted: Mode, mode: str, reason: str
) -> None:
    assert deciding(home, None, OWN.until(900), ONE.changed(mode=wanted)) == (mode, reason)


def test_beside_a_champion_each_mode_has_its_reason(home: HomePaths) -> None:
    first = night(home, OWN.until(900))
    asked = ONE.changed(evaluation=ONE.evaluation.changed(direction_step=2))
    for series, settings, expected in (
        (
            OWN.until(900),
            ONE.changed(evaluation=ONE.evaluation.changed(replace_after_sessions=9)),
            ("keep", NOTHING),
        ),
        (OWN.until(901), ONE, ("fine-tune", "1 new session")),
        (OWN.until(903), ONE, ("fine-tune", "3 new sessions")),
        (OWN.until(901), ONE.changed(mode="keep"), ("keep", "asked for")),
        (OWN.until(900), ONE.changed(mode="fine-tune"), ("fine-tune", "asked for")),
        (OWN.until(901), ONE.changed(mode="retrain"), ("retrain", "asked for")),
        (OWN.until(901), asked, ("retrain", "settings changed since the champion learned")),
    ):
        assert deciding(home, first, series, settings) == expected
    often = ONE.changed(policy=ONE.policy.changed(retrain_after_sessions=1))
    overdue = "3 sessions since the last full training, more than 1"
    assert deciding(home, first, OWN.until(903), often) == ("retrain", overdue)


def test_a_night_before_the_champions_own_does_not_know_it(home: HomePaths) -> None:
    later = night(home, OWN.until(902))
    assert deciding(home, later, OWN.until(901)) == (
        "retrain",
        "the champion is of a later session",
    )


def test_a_decision_holds_beside_the_champion_that_it_was_made_beside(home: HomePaths) -> None:
    """So a night that is run again after its own promotion decides as it did before."""
    first = night(home, OWN.until(900))
    decided = decide_mode(home, dataset_of(home, OWN.until(901)), ONE)
    assert champion_of_decision(decided) == (None, None)
    first.promoted(home)
    assert decide_mode(home, dataset_of(home, OWN.until(901)), ONE) == decided
    beside = decide_mode(home, dataset_of(home, OWN.until(902)), ONE)
    assert champion_of_decision(beside) == (Path(first.model.path), None)


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
    made = {
        "path": str(folder),
        "sha256": sha256_of(folder) or "",
        "session": seen.item(),
        "version": None,
    }
    at = datetime(2013, 3, 2, 4, tzinfo=UTC)
    Registry(home.models).promote(
        Promotion("ABC", "promote", key="1", reason="better", at=at, **made)
    )
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
