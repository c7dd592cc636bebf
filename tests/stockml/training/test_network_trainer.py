"""A pretrained network's network in training: what it learns from, its loss, and that Keras
computes what the nights compute."""

import numpy as np
import pytest

from stockml.forecasts.proper_scores import pinball
from stockml.models.lead_grid import LEADS, MEDIAN, moves
from stockml.models.pretrained_network import PretrainedNetwork
from stockml.models.replay import STRETCH
from stockml.training.network_trainer import Trainer, TrainingSet, mean_loss, member_of
from tests.stockml.models.test_ridge_regression import Regressions, fit
from tests.stockml.training.test_pretrain import SMALL, UNTIL, tickers
from tests.support.walks import walk


@pytest.fixture(scope="module")
def regressions() -> Regressions:
    return fit(tickers(), UNTIL)


@pytest.mark.slow
def test_an_untrained_network_is_the_ridge_regression_itself(regressions: Regressions) -> None:
    examples = TrainingSet.of(tickers(), UNTIL, *regressions)
    fresh = member_of(SMALL[1], Trainer(SMALL[1], regressions[1].shape[:, MEDIAN + 1 :]).state())
    pretrained = PretrainedNetwork(UNTIL, ("T0",), 1, 1, examples.scale, (fresh,), {})
    origins, leads = np.array([100, 700]), np.array(LEADS)
    expected = regressions[1].quantiles(walk(800), origins, leads, regressions[0])
    np.testing.assert_allclose(
        pretrained.quantiles(walk(800), origins, leads, *regressions),
        expected,
        rtol=1e-4,
        atol=1e-4,
    )


def test_a_training_set_holds_each_origin_once_with_its_outcome(regressions: Regressions) -> None:
    series = tickers()
    examples = TrainingSet.of(series, UNTIL, *regressions)
    assert examples.learned_from.origins == regressions[0].origins
    bars = series["T0"]
    width = regressions[1].widths(bars, np.array([65]), np.array([5]), regressions[0])[0, 0]
    stretches = examples.stretches
    unit = width / np.exp(stretches.log_widths[0, 1, LEADS.index(5)])
    expected = abs(moves(bars, np.array([65]), np.array([5]))[0, 0]) / unit
    assert stretches.sizes[0, 1, LEADS.index(5)] == pytest.approx(expected, rel=1e-5)
    assert stretches.inputs.shape == (len(stretches), STRETCH, 14)
    assert stretches.mask.sum() == examples.learned_from.origins


@pytest.mark.slow
def test_the_loss_is_the_mean_pinball_loss_of_the_whole_symmetric_shape() -> None:
    rng = np.random.default_rng(2)
    upper, move = np.sort(rng.uniform(0, 3, (6, 11, 10))), rng.normal(size=(6, 11))
    known = np.array([1, 1, 0, 1, 1, 0])
    found = mean_loss(
        upper.astype(np.float32), np.abs(move).astype(np.float32), known.astype(np.float32)
    )
    quantiles = np.concatenate([-upper[..., ::-1], np.zeros((6, 11, 1)), upper], axis=-1)
    without_the_median = np.delete(pinball(quantiles, move), MEDIAN, axis=-1)
    assert float(found) == pytest.approx(without_the_median[known == 1].mean(), rel=1e-5)
