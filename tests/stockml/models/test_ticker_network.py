"""A ticker's own errors are a running mean that can be continued; a ridge regression gives its coefficients."""

import json
import subprocess
import sys
from dataclasses import replace
from datetime import date
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from stockml.forecasts.proper_scores import crps
from stockml.models.lead_grid import LEADS, LEVELS, lead_basis, moves, symmetrised
from stockml.models.ticker_network import TickerNetwork, WidthCorrection, width_errors, width_steps
from stockml.models.vintage_set import VintageSet
from tests.support.walks import walk

DAY, VINTAGES = np.datetime64("2001-05-04"), VintageSet.ending_before(date(2018, 1, 1))


def errors(count: int, about: float = 0.0, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(about, 1.0, (2, count, len(LEADS)))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 200), min_size=1, max_size=8))
def test_continuing_with_new_errors_equals_training_on_all_of_them(pieces: list[int]) -> None:
    rows, found, first = errors(sum(pieces), 0.3), WidthCorrection(), 0
    for count in pieces:
        found = found.updated(rows[:, first : first + count], DAY + np.timedelta64(first + count, "D"))
        first += count
    whole = WidthCorrection().updated(rows, DAY + np.timedelta64(first, "D"))
    np.testing.assert_allclose(found.mean, whole.mean, rtol=1e-9)
    assert (found.weight, found.through) == (pytest.approx(whole.weight), whole.through)


def test_the_mean_is_weighted_by_age() -> None:
    rows = errors(50)
    weights = [np.exp(-(49 - i) / 600) for i in range(50)]
    found = WidthCorrection().updated(rows, DAY)
    expected = sum(weight * rows[:, i] for i, weight in enumerate(weights)) / sum(weights)
    np.testing.assert_allclose(found.mean, expected)
    assert found.weight == pytest.approx(sum(weights))


@pytest.mark.parametrize("weight", [0.0, 30.0, 1e9])
def test_the_coefficients_are_a_ridge_regression_of_the_mean_on_the_basis(weight: float) -> None:
    mean = 0.2 + 0.1 * np.log(LEADS)
    found = WidthCorrection(np.stack([mean, -mean]), weight, DAY).coefficients()
    basis = lead_basis(np.array(LEADS))
    np.testing.assert_array_equal(found[1], -found[0])
    if weight == 0:
        np.testing.assert_array_equal(found, np.zeros((2, 4)))
        return
    independent = [weight / max(lead / 5, 1) for lead in LEADS]  # outcomes that share sessions count as one
    ridge = Ridge(alpha=60 * len(LEADS), fit_intercept=False).fit(basis, mean, sample_weight=independent)
    np.testing.assert_allclose(found[0], ridge.coef_, atol=1e-9)
    size = np.abs(basis @ found[0] / mean)
    assert (size < 0.4).all() if weight == 30 else (size > 0.99).all()


def test_own_errors_read_back_from_json_as_written() -> None:
    for plain in (WidthCorrection(), WidthCorrection().updated(errors(7), DAY)):
        again = WidthCorrection.from_dict(json.loads(json.dumps(plain.asdict())))
        np.testing.assert_array_equal(again.mean, plain.mean)
        assert (again.weight, again.through) == (plain.weight, plain.through)


def test_a_step_is_the_slope_of_crps_over_the_curvature_that_the_forecast_expects() -> None:
    quantiles = np.sort(np.random.default_rng(4).standard_t(4, (3, 2, 21)), axis=-1)
    quantiles -= quantiles[..., ::-1]
    actual = np.array([[0.3, -2.0], [0.01, 40.0], [-1.1, 1.2]])

    def slope(of: np.ndarray, at: float = 0.0, by: float = 1e-6) -> np.ndarray:
        """Of CRPS in ln width, halved, as the pinball loss is."""
        return (crps(quantiles * np.exp(at + by), of) - crps(quantiles * np.exp(at - by), of)) / (4 * by)

    found = width_steps(quantiles, actual)
    gaps = np.gradient(quantiles, LEVELS, axis=-1)
    np.testing.assert_allclose(found * (quantiles**2 / gaps).mean(axis=-1), -slope(actual), atol=1e-6)
    np.testing.assert_allclose(found, width_steps(10 * quantiles, 10 * actual))
    assert width_steps(quantiles, 1e9 * actual) == pytest.approx(width_steps(quantiles, 99 * np.sign(actual)))


@pytest.mark.parametrize("times", [0.8, 1.0, 1.25])
def test_steps_lead_to_the_width_that_the_outcomes_have(times: float) -> None:
    """Outcomes are normal, `times` as wide as forecast: one step of Newton's covers nearly all of the way."""
    levels = np.array([NormalDist().inv_cdf(level) for level in LEVELS])
    actual = times * np.random.default_rng(0).normal(size=(20_000, 1))
    found = width_steps(np.broadcast_to(levels, (20_000, 1, 21)), actual).mean()
    assert found == pytest.approx(np.log(times), abs=0.03)


def test_a_step_is_finite_where_a_share_often_stands_still() -> None:
    """Quantiles beside the median are then 0, as learned from shares of whose moves a tenth is none."""
    flat = np.where(np.abs(LEVELS - 0.5) < 0.2, 0.0, LEVELS - 0.5)
    assert np.isfinite(width_steps(np.stack([[flat], [0 * flat + 1e-9 * LEVELS]]), np.array([[0.0], [1.0]]))).all()


def test_errors_are_the_steps_of_the_base_and_of_the_simple_forecast() -> None:
    series, at, leads = walk(400), np.array([100, 200, 340]), np.array(LEADS)
    found, actual = width_errors(VINTAGES, series, at), moves(series, at, leads)
    np.testing.assert_array_equal(found[0], width_steps(VINTAGES.network_quantiles(series, at, leads), actual))
    np.testing.assert_array_equal(
        found[1], width_steps(symmetrised(VINTAGES.simple_quantiles(series, at, leads)), actual)
    )


def test_the_errors_of_an_earlier_version_are_learned_anew() -> None:
    """It kept the mean of another quantity, of the base alone."""
    found = WidthCorrection.from_dict({"mean": [0.1] * 11, "weight": 90.0, "through": "2013-03-01"})
    assert (found.weight, found.through, found.mean.any()) == (0.0, None, False)


def test_the_network_departs_from_the_base_only_if_the_tickers_own_part_is_used() -> None:
    series, at, leads = walk(400), np.array([300]), np.arange(1, 6)
    errors = WidthCorrection(np.full((2, 11), 0.5), 500.0, DAY)
    own = TickerNetwork(VINTAGES, errors, corrected=True, learned_until=DAY)
    plain = VINTAGES.network_quantiles(series, at, leads, np.zeros(4))
    np.testing.assert_array_equal(replace(own, corrected=False).forecast(series, at, leads)[1], plain)
    wider = own.forecast(series, at, leads)[1]
    assert wider is not None
    assert (wider[..., -1] > 1.1 * plain[..., -1]).all()
    simple = VINTAGES.simple_quantiles(series, at, leads)
    assert (VINTAGES.simple_quantiles(series, at, leads, own.simple_correction)[..., -1] > 1.1 * simple[..., -1]).all()
    assert replace(own, corrected=False).simple_correction[0] == own.simple_correction[0], "is used in any case"
    none = TickerNetwork(
        VintageSet.ending_before(date(1990, 1, 1)), WidthCorrection(), corrected=False, learned_until=DAY
    )
    assert none.forecast(series, at, leads)[1] is None


def test_training_and_assessing_a_model_loads_neither_tensorflow_nor_keras_nor_sklearn() -> None:
    code = (
        "import sys; from stockml.evaluation.assessment import assess; from tests.support.walks import SMALL, walk\n"
        "from stockml.models.retrain_policy import Decision\n"
        "from stockml.training.ticker_training import train_ticker, split_after_vintages\n"
        "model = train_ticker(walk(2_600), SMALL, Decision('retrain', 'first'), start=None)\n"
        "assess(walk(2_600), model, None, SMALL.evaluation, [], split_after_vintages(walk(2_600), SMALL.evaluation))\n"
        "print(sorted({'tensorflow', 'keras', 'sklearn'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout == "[]\n"
