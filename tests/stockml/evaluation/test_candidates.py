"""What would have been published from a model is its median and width, by a network that had not
seen what followed."""

import numpy as np
import pytest

from stockml.evaluation.candidates import quantiles_after
from stockml.evaluation.outlook_scores import touches
from stockml.evaluation.path_scores import PUBLISHED, evaluate
from stockml.features.origins import every_nth
from stockml.forecasts.outlook import annualised, chance_above, outlooks
from stockml.models.baselines import published_median
from stockml.models.ticker_network import FINE_TUNED
from stockml.models.tutorial.recipe import TutorialForecaster, TutorialScale, prepare
from stockml.models.vintage_set import VintageSet
from stockml.settings import settings_for
from tests.stockml.evaluation.seers import (
    LEADS,
    NARROW,
    SERIES,
    SETTINGS,
    SPLIT,
    TEST,
    USUAL,
    Model,
    assessed,
    candidate,
    seeing,
)
from tests.support.walks import altered_after


def test_an_assessment_is_of_the_networks_medians_and_widths() -> None:
    """The unseen origins are forecast by the network that has not seen them, tonight by the one
    that knows all."""
    unseen = np.concatenate([every_nth(part, 5) for part in (SPLIT.validation, SPLIT.test)])
    networks = [
        (network, at)
        for network, at in (
            (USUAL.held_out, unseen),
            (USUAL.published, np.array([len(SERIES) - 1])),
        )
    ]
    parts = [
        published_median(SERIES, at, LEADS)[..., None] + network.forecast(SERIES, at, LEADS)[1]
        for network, at in networks
    ]
    whole, found = np.concatenate(parts), assessed(USUAL)
    count, close = len(unseen) - len(TEST), SERIES.close
    np.testing.assert_array_equal(found.unseen, unseen)
    np.testing.assert_array_equal(found.test_origins, TEST)
    np.testing.assert_allclose(found.volatility, annualised(whole[:-1, 19], 20))
    tonight, forecast = whole[-1], found.forecast
    assert forecast.outlook == outlooks(whole[:-1], tonight)
    assert forecast.touches == touches(SERIES, TEST, whole[count:-1], tonight)
    assert forecast.probability_of_rise == chance_above(tonight[9], 0.0)
    for coverage, low, high in ((50, 5, 15), (80, 2, 18), (95, 0, 20)):
        sides = [close[-1] * np.exp(tonight[:, side]) for side in (low, high)]
        np.testing.assert_allclose(
            [forecast.band(coverage).low, forecast.band(coverage).high], sides
        )
        actual = np.log(SERIES.close[TEST[:, None] + LEADS] / close[TEST, None])
        scored = whole[count:-1]
        inside = (scored[..., low] <= actual) & (actual <= scored[..., high])
        assert found.band_scores.bands[str(coverage)].coverage == pytest.approx(inside.mean())
    paths = {
        PUBLISHED: close[TEST, None] * np.exp(whole[count:-1, :, 10]),
    }
    rises = {
        PUBLISHED: np.array([chance_above(quantiles, 0.0) for quantiles in whole[count:-1, 9]])
    }
    scores = evaluate(close, TEST, paths, SETTINGS, rises, close=close).scores
    for name in paths:
        own, expected = found.evaluation.scores[name], scores[name]
        assert (own.mse, own.direction.brier) == pytest.approx(
            (expected.mse, expected.direction.brier)
        ), name
    assert (forecast.last_close, forecast.last_value, forecast.now) == (close[-1],) * 3
    assert (forecast.price, forecast.width_by, set(forecast.weights)) == (
        "close",
        FINE_TUNED,
        {1.0},
    )


def test_a_model_that_learned_with_another_horizon_is_measured_at_tonights() -> None:
    weights = tuple(
        np.full(shape, 0.1, np.float32) for shape in ((1, 24), (6, 24), (24,), (6, 1), (1,))
    )
    scale = TutorialScale.of(prepare(SERIES.mid, 1_000), SERIES.sessions)
    model = TutorialForecaster(settings_for("tutorial"), weights, scale, SERIES.sessions[999])
    found = quantiles_after(SERIES, TEST, len(LEADS), VintageSet(None, None, None), model)
    assert found.shape == (len(TEST), len(LEADS), 21)
    prices = SERIES.close[TEST, None] * np.exp(found[..., 10])
    np.testing.assert_allclose(prices[:3], model.paths(SERIES, TEST[:3], len(LEADS)), rtol=1e-5)


def test_a_path_of_a_networks_own_is_scored_at_the_prices_that_it_forecast() -> None:
    np.testing.assert_allclose(
        candidate(seeing(0.3)).own_path, seeing(0.3).held_out.paths(SERIES, TEST, len(LEADS))
    )


@pytest.mark.parametrize("t", [SPLIT.validation.start, int(TEST[0]), int(TEST[40])])
def test_nothing_after_an_origin_affects_what_would_have_been_published(t: int) -> None:
    other = altered_after(SERIES, t)
    unseen = np.concatenate([every_nth(part, 5) for part in (SPLIT.validation, SPLIT.test)])
    for model in (USUAL, None):
        one, two = candidate(model).earlier, candidate(model, other).earlier
        np.testing.assert_array_equal(one[unseen <= t], two[unseen <= t])
        assert not np.array_equal(one, two)


def test_tonights_network_does_not_affect_earlier_origins() -> None:
    """What is published tonight comes from a network that has learned more; what is scored does
    not."""
    other = Model(USUAL.held_out, NARROW.published)
    one, two = candidate(USUAL), candidate(other)
    np.testing.assert_array_equal(one.test, two.test)
    assert (two.tonight[..., -1] < one.tonight[..., -1]).all()
    assert not candidate(None).has_network
