"""What the tutorial's recipe learns from, counts and refuses, without a training: quick."""

import numpy as np
import pytest

from stockml.errors import InvalidSetting, TooFewBars
from stockml.models.tutorial_recipe import TutorialForecaster, TutorialScale, prepare, rollout
from stockml.prices.series import PriceSeries
from stockml.settings import USED_BY_TUTORIAL, settings_for, tutorial_settings
from stockml.training.train import train
from stockml.training.tutorial import Recipe
from tests.stockml.training.test_tutorial import (
    CHANGED,
    NIGHTLY,
    RETRAIN,
    random_prices,
    random_series,
    small,
)


def test_the_validation_part_lies_a_horizon_after_what_is_learned_but_in_the_published_recipe():
    for decay_on, learned in (("validation", 9_950), ("test", 11_000)):
        settings = settings_for("tutorial", {"training.decay_on": decay_on})
        recipe = Recipe.of(random_prices(12_075), 11_000, settings)
        assert recipe.validation.tolist() == list(range(10_000, 11_000, 50))
        assert (recipe.learned_end, recipe.width, recipe.steps) == (learned, 500, 22)


def test_directions_are_counted_at_their_step_and_a_path_that_stays_says_no_rise():
    recipe = Recipe.of(random_prices(seed=1), 600, small())
    starts, values = recipe.test, recipe.prepared.values
    outcomes, last = recipe.outcomes(starts), values[starts - 1][:, None]
    rose = sum(values[start + 4] > values[start - 1] for start in starts)
    assert 0 < rose < len(starts) != 2 * rose
    for paths, right in (
        (outcomes, len(starts)),
        (2 * last - outcomes, 0),
        (last + 0 * outcomes, len(starts) - rose),
    ):
        assert recipe.directions(paths, starts) == (right, rose)


def test_a_forecast_from_some_of_the_bars_equals_the_one_from_all():
    """It scales by the learned windows, not by the extremes of the bars it is given, and sees no
    later bar."""
    series, rng = random_series(3_300), np.random.default_rng(0)
    shapes = [(1, 24), (6, 24), (24,), (6, 1), (1,)]
    weights = tuple(rng.normal(0, 0.3, shape).astype(np.float32) for shape in shapes)
    prepared = prepare(series.mid, 3_200)
    scale = TutorialScale.of(prepared, series.sessions)
    model = TutorialForecaster(small(), weights, scale, series.sessions[3_199])
    for origin in (3_199, 3_299):
        part = PriceSeries(*(values[origin - 299 : origin + 1] for values in vars(series).values()))
        expected = model.paths(series, np.array([origin]), 10)
        assert model.paths(part, np.array([299]), 10) == pytest.approx(expected, rel=1e-6)
        fed = prepared.values[None, origin - 3 : origin + 1]
        as_in_the_page = prepared.prices(np.array([origin]), rollout(weights, fed, 10))
        assert expected == pytest.approx(as_in_the_page)


def test_a_night_refuses_to_decay_on_its_test_part(tmp_path):
    settings = NIGHTLY.changed(training=NIGHTLY.training.changed(decay_on="test"))
    with pytest.raises(InvalidSetting, match="decay_on"):
        train(random_series(), settings, RETRAIN, champion=None, folder=tmp_path)


@pytest.mark.parametrize("name", ["mode", "training.fine_tune_epochs"])
def test_a_setting_without_effect_is_refused_with_a_list_of_those_that_have_one(name):
    assert {*CHANGED, "evaluation.direction_step"} == {*USED_BY_TUTORIAL}
    with pytest.raises(InvalidSetting, match=r"network\.cell.*training\.loss"):
        tutorial_settings({name: 3})


def test_the_shortest_series_is_one_stream_and_too_few_bars_for_a_window_are_refused():
    prices, shortest = (
        random_prices(12),
        {"evaluation__horizon": 1, "evaluation__direction_step": 1},
    )
    assert Recipe.of(prices, 11, small(**shortest)).width == 1
    with pytest.raises(TooFewBars, match="found 9: 1 is missing"):
        Recipe.of(prices, 11, small(**shortest, network__look_back=9)).streams()
