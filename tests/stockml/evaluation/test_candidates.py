"""What would have been published from a model is `combine` applied to its forecasts in order of time."""

from dataclasses import replace

import numpy as np
import pytest

from stockml.evaluation.candidates import ScoringData, forecast_after
from stockml.evaluation.path_scores import PUBLISHED, TREND_PRIOR, evaluate
from stockml.features.origins import every_nth
from stockml.forecasts.outlook import annualised, chance_above, outlooks
from stockml.forecasts.publishing import Components, combine
from stockml.models.baselines import published_median, trend_prior_moves
from stockml.models.ticker_network import TickerNetwork, WidthCorrection
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

DAY = SERIES.sessions[0]


def test_an_assessment_is_what_combine_gives_for_the_networks_forecasts_in_order_of_time() -> None:
    """The unseen origins are forecast by the network that has not seen them, tonight by the one that knows all."""
    unseen = np.concatenate([every_nth(part, 5) for part in (SPLIT.validation, SPLIT.test)])
    rows = np.append(unseen, len(SERIES) - 1)
    networks = [
        (network, at) for network, at in ((USUAL.held_out, unseen), (USUAL.published, np.array([len(SERIES) - 1])))
    ]
    components = Components(
        published_median(SERIES, rows, LEADS),
        np.concatenate([network.vintages.simple_quantiles(SERIES, at, LEADS) for network, at in networks]),
        np.concatenate([network.forecast(SERIES, at, LEADS)[1] for network, at in networks]),
    )
    whole, found = combine(SERIES, rows, components), assessed(USUAL)
    count, close = len(unseen) - len(TEST), SERIES.close
    np.testing.assert_array_equal(found.unseen, unseen)
    np.testing.assert_array_equal(found.test_origins, TEST)
    assert found.calibration == whole.calibration()
    np.testing.assert_allclose(found.volatility, annualised(whole.quantiles[:-1, 19], 20))
    tonight, forecast = whole.quantiles[-1], found.forecast
    assert forecast.outlook == outlooks(whole.quantiles[:-1], tonight)
    assert forecast.probability_of_rise == chance_above(tonight[9], 0.0)
    for coverage, low, high in ((50, 5, 15), (80, 2, 18), (95, 0, 20)):
        sides = [close[-1] * np.exp(tonight[:, side]) for side in (low, high)]
        np.testing.assert_allclose([forecast.band(coverage).low, forecast.band(coverage).high], sides)
        actual = np.log(SERIES.mid[TEST[:, None] + LEADS] / close[TEST, None])
        scored = whole.quantiles[count:-1]
        inside = (scored[..., low] <= actual) & (actual <= scored[..., high])
        assert found.band_scores.bands[str(coverage)].coverage == pytest.approx(inside.mean())
    paths = {
        PUBLISHED: close[TEST, None] * np.exp(whole.quantiles[count:-1, :, 10]),
        TREND_PRIOR: SERIES.mid[TEST, None] * np.exp(trend_prior_moves(SERIES, TEST, 20)),
    }
    rises = {PUBLISHED: np.array([chance_above(quantiles, 0.0) for quantiles in whole.quantiles[count:-1, 9]])}
    scores = evaluate(SERIES.mid, TEST, paths, SETTINGS, rises, close=close).scores
    for name in paths:
        own, expected = found.evaluation.scores[name], scores[name]
        assert (own.mse, own.direction.brier) == pytest.approx((expected.mse, expected.direction.brier)), name
    assert (forecast.last_close, forecast.last_value) == (close[-1], SERIES.mid[-1])
    assert forecast.now == close[-1]


def test_the_simple_forecast_has_the_tickers_own_part_as_learned_by_then_and_by_tonight() -> None:
    def own(network: TickerNetwork, times: float) -> TickerNetwork:
        return replace(network, corrected=False, errors=WidthCorrection(np.log([[1] * 11, [times] * 11]), 1e12, DAY))

    model, vintage_sets = (
        Model(own(USUAL.held_out, 1.3), own(USUAL.published, 1.1)),
        (USUAL.held_out.vintages, USUAL.published.vintages),
    )
    found = ScoringData.of(SERIES, SPLIT, SETTINGS, model)
    last = np.array([len(SERIES) - 1])
    np.testing.assert_allclose(
        found.simple_past, 1.3 * vintage_sets[0].simple_quantiles(SERIES, found.origins, LEADS), rtol=1e-6
    )
    np.testing.assert_allclose(
        found.simple_tonight, 1.1 * vintage_sets[1].simple_quantiles(SERIES, last, LEADS), rtol=1e-6
    )


def test_a_model_that_learned_with_another_horizon_is_measured_at_tonights() -> None:
    weights = tuple(np.full(shape, 0.1, np.float32) for shape in ((1, 24), (6, 24), (24,), (6, 1), (1,)))
    scale = TutorialScale.of(prepare(SERIES.mid, 1_000), SERIES.sessions)
    model = TutorialForecaster(settings_for("tutorial"), weights, scale, SERIES.sessions[999])
    found = forecast_after(SERIES, TEST, VintageSet(None, None, None).simple_quantiles(SERIES, TEST, LEADS), model)
    assert found.location.shape == found.simple.shape[:2] == (len(TEST), len(LEADS))
    prices = SERIES.close[TEST, None] * np.exp(found.location)
    np.testing.assert_allclose(prices[:3], model.paths(SERIES, TEST[:3], len(LEADS)), rtol=1e-5)


def test_a_path_of_a_networks_own_is_scored_at_the_prices_that_it_forecast() -> None:
    np.testing.assert_allclose(candidate(seeing(0.3)).own_path, seeing(0.3).held_out.paths(SERIES, TEST, len(LEADS)))


@pytest.mark.parametrize("t", [SPLIT.validation.start, int(TEST[0]), int(TEST[40])])
def test_nothing_after_an_origin_affects_what_would_have_been_published(t: int) -> None:
    other = altered_after(SERIES, t)
    unseen = np.concatenate([every_nth(part, 5) for part in (SPLIT.validation, SPLIT.test)])
    for model in (USUAL, None):
        one, two = candidate(model).earlier, candidate(model, other).earlier
        for name in ("quantiles", "shares", "feedback"):
            np.testing.assert_array_equal(getattr(one, name)[unseen <= t], getattr(two, name)[unseen <= t])
        assert not np.array_equal(one.quantiles, two.quantiles)


def test_tonights_network_does_not_affect_earlier_origins() -> None:
    """What is published tonight comes from a network that has learned more; what is scored does not."""
    other = Model(USUAL.held_out, NARROW.published)
    one, two = candidate(USUAL), candidate(other)
    np.testing.assert_array_equal(one.test.quantiles, two.test.quantiles)
    assert (two.tonight.quantiles[..., -1] < one.tonight.quantiles[..., -1]).all()
    assert candidate(None).components.network is None
