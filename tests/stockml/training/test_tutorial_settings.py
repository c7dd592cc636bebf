"""No setting of the tutorial is silently ignored: accepted ones take effect, down to the least;
others are refused."""

from pathlib import Path

import pytest

from stockml.errors import InvalidSetting, TooFewBars
from stockml.settings import USED_BY_TUTORIAL, tutorial_settings
from stockml.training.tutorial import Recipe, TutorialFit, fit
from tests.stockml.training.test_tutorial import SMALL, digest, fitted, random_prices, small

pytestmark = pytest.mark.slow

FEW = {**SMALL, "network.units": (4,), "training.epochs": 1}
CHANGED = {
    "network.cell": "gru", "network.units": (5,), "network.dropout": 0.5, "network.look_back": 6,
    "training.optimizer": "sgd", "training.loss": "mae", "training.learning_rate": 3e-3, "training.batch_size": 8,
    "training.epochs": 2, "training.decay_on": "test", "training.seed": 8,
    "evaluation.horizon": 12, "evaluation.direction_step": 2,
}  # fmt: skip


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> TutorialFit:
    return fitted(tmp_path_factory.mktemp("usual"), random_prices(), tutorial_settings(FEW))


@pytest.mark.parametrize(
    "name", [name for name in USED_BY_TUTORIAL if name != "evaluation.direction_step"]
)
def test_an_accepted_setting_changes_what_is_learned(
    name: str, usual: TutorialFit, tmp_path: Path
) -> None:
    other = fitted(tmp_path, random_prices(), tutorial_settings({**FEW, name: CHANGED[name]}))
    learned = [(digest(each.weights), len(each.history)) for each in (usual, other)]
    assert learned[0] != learned[1]


def test_the_direction_step_changes_what_is_counted_and_no_weights(
    usual: TutorialFit, tmp_path: Path
) -> None:
    changed = {**FEW, "evaluation.direction_step": CHANGED["evaluation.direction_step"]}
    other = fitted(tmp_path, random_prices(), tutorial_settings(changed))
    assert digest(other.weights) == digest(usual.weights)
    found = [
        each.recipe.directions(usual.test_predictions[-1], usual.recipe.test)
        for each in (usual, other)
    ]
    assert found[0] != found[1]


@pytest.mark.parametrize(
    "name", ["policy.scale_drift", "mode", "training.fine_tune_epochs", "evaluation.origin_every"]
)
def test_a_setting_without_effect_is_refused_with_a_list_of_those_that_have_one(name: str) -> None:
    with pytest.raises(
        InvalidSetting, match=r"network\.cell.*training\.optimizer.*training\.loss"
    ) as refused:
        tutorial_settings({name: 3})
    assert name in str(refused.value)


def test_the_shortest_series_is_learned_from_in_one_stream(tmp_path: Path) -> None:
    shortest = {"evaluation__horizon": 1, "evaluation__direction_step": 1, "training__epochs": 1}
    recipe = Recipe.of(random_prices(12), 11, small(**shortest, network__look_back=5))
    assert (recipe.width, len(fit(recipe, folder=tmp_path).history)) == (1, 1)
    with pytest.raises(TooFewBars, match="found 9: 1 is missing"):
        Recipe.of(random_prices(12), 11, small(**shortest, network__look_back=9)).streams()
