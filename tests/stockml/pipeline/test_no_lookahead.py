"""Altering every bar after t leaves all that is computed as of t unchanged, to the last bit.

The `tutorial` profile is the exception; its two known leaks are shown in test_tutorial.py and test_tutorial_lstm.py.
"""

from pathlib import Path

import numpy as np
import pytest

from stockml.features.scaling import FeatureScaler, ewma_volatility, features
from stockml.features.windows import inputs, targets
from stockml.models.retrain_policy import Decision
from stockml.models.trained_model import load_model
from stockml.models.trend_prior import prior_path
from stockml.training.train import facts_about, train
from stockml.training.trainer import TrainingSet
from tests.support.walks import SMALL, altered_after, walk

SERIES = walk(400)
HORIZON, LOOK_BACK = SMALL.evaluation.horizon, SMALL.network.look_back
RETRAIN = Decision("retrain", "no champion yet")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "model"
    train(SERIES, SMALL, RETRAIN, champion=None, folder=folder)
    return folder


@pytest.mark.parametrize("t", [0, 1, 30, 250, 398])
def test_inputs_scale_and_usual_path_as_of_t(t: int) -> None:
    other = altered_after(SERIES, t)
    assert not np.array_equal(other.mid, SERIES.mid)
    at = np.array([t])
    np.testing.assert_array_equal(features(other)[: t + 1], features(SERIES)[: t + 1])
    np.testing.assert_array_equal(ewma_volatility(other)[: t + 1], ewma_volatility(SERIES)[: t + 1])
    np.testing.assert_array_equal(prior_path(other, at, HORIZON), prior_path(SERIES, at, HORIZON))
    one, two = (FeatureScaler.fit(series.until(t + 1)) for series in (SERIES, other))
    assert one.asdict() == two.asdict()
    if t >= LOOK_BACK:
        windows = [inputs(one.apply(features(series)), at, LOOK_BACK) for series in (SERIES, other)]
        np.testing.assert_array_equal(*windows)


@pytest.mark.parametrize("t", [100, 250])
def test_targets_whose_outcome_is_known_at_t(t: int) -> None:
    other = altered_after(SERIES, t)
    at = np.arange(LOOK_BACK, t - HORIZON + 1)
    one, two = (targets(np.log(s.mid), ewma_volatility(s), at, HORIZON) for s in (SERIES, other))
    np.testing.assert_array_equal(one, two)


@pytest.mark.slow
@pytest.mark.parametrize("t", [60, 250, 398])
def test_predictions_and_facts_at_t(folder: Path, t: int) -> None:
    model, other = load_model(folder), altered_after(SERIES, t)
    at = np.arange(LOOK_BACK, t + 1)
    for network in (model.held_out, model.published):
        np.testing.assert_array_equal(network.paths(other, at), network.paths(SERIES, at))
    assert facts_about(model, other.until(t + 1), SMALL) == facts_about(model, SERIES.until(t + 1), SMALL)


@pytest.mark.slow
def test_a_prediction_does_not_depend_on_how_long_the_series_has_become(folder: Path) -> None:
    model, at = load_model(folder), np.array([200, 300])
    np.testing.assert_array_equal(model.published.paths(SERIES, at), model.published.paths(SERIES.until(301), at))


@pytest.mark.slow
def test_what_each_network_learned_as_of_its_last_session(folder: Path, tmp_path: Path) -> None:
    """The held-out weights end with the training part; what is chosen on validation ends before the test part."""
    model = load_model(folder)
    lesson = TrainingSet.of(SERIES, SMALL)
    ends = lesson.learned_until("held_out")
    assert SERIES.sessions[ends] == model.held_out.learned_until
    assert ends < model.parts.validation.start
    other = train(altered_after(SERIES, ends), SMALL, RETRAIN, champion=None, folder=tmp_path / "a")
    first = [row["loss"] for row in model.history if row["network"] == "held_out"]
    assert first == [row["loss"] for row in other.history if row["network"] == "held_out"]
    later = train(
        altered_after(SERIES, model.parts.test.start - 1), SMALL, RETRAIN, champion=None, folder=tmp_path / "b"
    )
    for one, two in zip(model.held_out.weights, later.held_out.weights, strict=True):
        np.testing.assert_array_equal(one, two)
    assert (later.held_out.residual_weight, later.shrinkage) == (model.held_out.residual_weight, model.shrinkage)
