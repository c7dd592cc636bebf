"""Tonight's model and the champion of its decision are scored on the same origins; without a
pretrained network, it is said why."""

import shutil
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from stockml.evaluation.assessment import read_assessment
from stockml.home import HomePaths
from stockml.models.trained_model import Provenance, load_model
from stockml.models.vintage_set import VintageSet
from stockml.models.vintage_store import write
from stockml.nights.evaluate import evaluate_night
from stockml.nights.train import decide_mode
from stockml.storage.files import sha256_of
from tests.stockml.nights.steps import ALONE, ONE, OWN, dataset_of, night

pytestmark = pytest.mark.slow


def test_a_tickers_own_model_is_continued_and_judged_beside_the_champion(home: HomePaths) -> None:
    first = night(home, OWN.until(900))
    assert first.model.mode == "retrain"
    first.promoted(home)
    second = night(home, OWN.until(902))
    assert second.decision.reason == "2 new sessions"
    assert (second.model.mode, second.found.kept) == ("fine-tune", False)
    assert second.found.distributions.against_champion is not None
    assert load_model(Path(second.model.path)).retrained_at == OWN.sessions[899]
    second.promoted(home)
    again = night(home, OWN.until(902))  # as before its own promotion
    assert (again.decision, again.model) == (second.decision, second.model)
    shutil.rmtree(first.model.path)
    anew = decide_mode(home, dataset_of(home, OWN.until(902)), ONE)  # beside the one that is left
    assert (anew.mode, anew.reason) == ("keep", "nothing new since the champion learned")
    next_night = dataset_of(home, OWN.until(903))
    after_a_split = replace(next_night, adjustment="of other splits")
    assert decide_mode(home, after_a_split, ONE).reason.startswith("price adjustment changed")
    Provenance("", "of an earlier version", "").write(Path(second.model.path))
    changed = replace(second.model, sha256=sha256_of(second.model.path) or "")
    replace(second, model=changed).promoted(home)
    assert decide_mode(home, next_night, ONE).reason.startswith("code changed")


@pytest.mark.campaign
def test_a_pretrained_network_that_is_made_between_a_nights_steps_is_not_taken_for_look_ahead(
    home: HomePaths,
) -> None:
    series = OWN.until(900)
    dataset, first = dataset_of(home, series), night(home, series)
    upcoming = tuple(first.found.forecast.sessions)
    last = series.sessions[load_model(Path(first.model.path)).parts.validation.start - 1].item()
    vintages = VintageSet.ending_before(date(2000, 1, 1))
    for each in filter(None, (vintages.regression, vintages.ridge, vintages.pretrained)):
        write(replace(each, through=last), home.pretrained)
    found = evaluate_night(
        home, dataset, first.decision, first.model, ONE.evaluation, upcoming=upcoming
    )
    assert read_assessment(Path(found.path)).forecast == first.found.forecast


def test_before_the_first_vintage_the_night_says_why_the_simple_forecast_is_published(
    home: HomePaths,
) -> None:
    long_ago = replace(ALONE, sessions=ALONE.sessions - np.timedelta64(10_000, "D"))
    found = night(home, long_ago.until(900))
    (reason,) = found.found.distributions.reasons.values()
    assert "the oldest has seen sessions through 1999-06-30" in reason
    assert found.model.reason == f"not trained: {reason}"
    assert found.found.forecast.without_network
