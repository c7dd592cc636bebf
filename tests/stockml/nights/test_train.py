"""Tonight's model: the pretrained network left alone is no new one on the next night, and a damaged
vintage ends no night."""

import shutil
from datetime import date
from pathlib import Path

import pytest

from stockml.evaluation.path_scores import LSTM
from stockml.home import HomePaths
from stockml.models.trained_model import load_model
from stockml.models.vintage_store import SHIPPED
from tests.stockml.nights.steps import ALONE, night

pytestmark = pytest.mark.slow


def test_a_pretrained_network_left_alone_is_not_a_new_model_on_the_next_night(
    home: HomePaths,
) -> None:
    first = night(home, ALONE.until(900))
    assert (first.decision.mode, first.model.mode, first.found.kept) == (
        "retrain",
        "pretrained",
        False,
    )
    assert "kept the shared network" in first.model.reason
    assert (first.found.verdict.promoted, first.found.publisher) == (True, LSTM)
    first.promoted(home)
    second = night(home, ALONE.until(901))
    assert (second.decision.mode, second.found.kept, second.found.publisher) == (
        "fine-tune",
        True,
        LSTM,
    )
    assert not second.found.verdict.promoted
    assert second.found.verdict.reason.endswith("the champion stays")


def test_a_damaged_vintage_in_the_home_is_named_and_the_night_goes_on(home: HomePaths) -> None:
    pretrained = home.pretrained
    pretrained.mkdir(parents=True)
    for kind in ("network-2017-06.npz", "regression-2017-06.json"):
        name = kind.replace("2017-06", "2002-03")
        shutil.copy(SHIPPED / kind, pretrained / name)
        (pretrained / name).write_bytes((pretrained / name).read_bytes()[:-9])
    found = night(home, ALONE.until(900))
    vintages = load_model(Path(found.model.path)).published.vintages
    assert vintages.through == date(2001, 6, 29)
    for said in (
        "\n".join(found.found.distributions.reasons.values()),
        "\n".join(vintages.reasons.values()),
    ):
        assert "network-2002-03.npz" in said
        assert "regression-2002-03.json" in said
    assert found.found.publisher == LSTM
