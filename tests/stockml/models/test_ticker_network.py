"""A ticker's network forecasts by the fine-tuned network if that is used, else by the pretrained
one."""

from dataclasses import replace
from datetime import date

import numpy as np

from stockml.models.baselines import published_median
from stockml.models.ridge_regression import RIDGE
from stockml.models.ticker_network import FINE_TUNED, PRETRAINED, TickerNetwork
from stockml.models.vintage_set import VintageSet
from tests.support.models import fine_tuned
from tests.support.walks import walk

AT, LEADS = np.array([300, 399]), np.arange(1, 51)
VINTAGES = VintageSet.ending_before(date(2018, 1, 1))
ALONE = TickerNetwork(VINTAGES, None, used=False, learned_until=np.datetime64("2017-06-30"))


def test_it_is_the_pretrained_network_unless_a_fine_tuned_one_is_used() -> None:
    trained = fine_tuned(ALONE, 1.5)
    pretrained = VINTAGES.network_quantiles(walk(400), AT, LEADS)
    for network, expected, width_by in (
        (ALONE, pretrained, PRETRAINED),
        (replace(trained, used=False), pretrained, PRETRAINED),
        (trained, 1.5 * pretrained, FINE_TUNED),
    ):
        median, width = network.forecast(walk(400), AT, LEADS)
        np.testing.assert_array_equal(median, published_median(walk(400), AT, LEADS))
        np.testing.assert_allclose(width, expected, rtol=1e-6)
        assert network.width_by == width_by
    assert ALONE.weights == ()
    assert len(trained.weights) == 2 * 11


def test_without_a_pretrained_network_it_forecasts_no_width() -> None:
    none = replace(ALONE, vintages=VintageSet.ending_before(date(1990, 1, 1)))
    assert none.forecast(walk(400), AT, LEADS)[1] is None
    assert none.width_by == RIDGE
