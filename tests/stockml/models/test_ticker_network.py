"""A ticker's own errors are a running mean that can be continued; a ridge regression gives its coefficients."""

import json
import subprocess
import sys
from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from stockml.forecasts.outlook import chance_above
from stockml.models.lead_grid import LEADS, LEVELS, lead_basis
from stockml.models.pool import Pool
from stockml.models.ticker_network import OwnErrors, TickerNetwork, errors_of
from tests.support.walks import walk

DAY, POOL = np.datetime64("2001-05-04"), Pool.before(date(2018, 1, 1))


def errors(count: int, about: float = 0.0, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(about, 1.0, (count, len(LEADS)))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 200), min_size=1, max_size=8))
def test_continuing_with_new_errors_equals_training_on_all_of_them(pieces: list[int]) -> None:
    rows, found, first = errors(sum(pieces), 0.3), OwnErrors(), 0
    for count in pieces:
        found = found.updated(rows[first : first + count], DAY + np.timedelta64(first + count, "D"))
        first += count
    whole = OwnErrors().updated(rows, DAY + np.timedelta64(first, "D"))
    np.testing.assert_allclose(found.mean, whole.mean, rtol=1e-9)
    assert (found.weight, found.through) == (pytest.approx(whole.weight), whole.through)


def test_the_mean_is_weighted_by_age() -> None:
    rows = errors(50)
    weights = [np.exp(-(49 - i) / 600) for i in range(50)]
    found = OwnErrors().updated(rows, DAY)
    expected = sum(weight * row for weight, row in zip(weights, rows, strict=True)) / sum(weights)
    np.testing.assert_allclose(found.mean, expected)
    assert found.weight == pytest.approx(sum(weights))


@pytest.mark.parametrize("weight", [0.0, 30.0, 1e9])
def test_the_coefficients_are_a_ridge_regression_of_the_mean_on_the_basis(weight: float) -> None:
    mean = 0.2 + 0.1 * np.log(LEADS)
    found = OwnErrors(mean, weight, DAY).coefficients()
    basis = lead_basis(np.array(LEADS))
    if weight == 0:
        np.testing.assert_array_equal(found, np.zeros(4))
        return
    ridge = Ridge(alpha=100 * len(LEADS) / (weight / 10), fit_intercept=False).fit(basis, mean)
    np.testing.assert_allclose(found, ridge.coef_, atol=1e-9)
    size = np.abs(basis @ found / mean)
    assert (size < 0.05).all() if weight == 30 else (size > 0.99).all()


def test_own_errors_read_back_from_json_as_written() -> None:
    for plain in (OwnErrors(), OwnErrors().updated(errors(7), DAY)):
        again = OwnErrors.from_dict(json.loads(json.dumps(plain.asdict())))
        np.testing.assert_array_equal(again.mean, plain.mean)
        assert (again.weight, again.through) == (plain.weight, plain.through)


def test_errors_equal_those_of_a_loop_over_leads_and_levels_with_the_tail_of_the_chances() -> None:
    series, at = walk(400), np.array([100, 200, 340])
    found = errors_of(POOL, series, at)
    said = POOL.network(series, at, np.array(LEADS), np.zeros(4))
    for row, origin in enumerate(at):
        for place, lead in enumerate(LEADS):
            quantiles = said[row, place]
            width = quantiles[11:].mean()
            levels = (np.arange(200) + 0.5) / 200
            drawn = np.interp(levels, LEVELS, quantiles / width)
            drawn[:5] *= (0.025 / levels[:5]) ** 0.25
            drawn[195:] *= (0.025 / levels[4::-1]) ** 0.25
            np.testing.assert_allclose([chance_above(quantiles / width, each) for each in drawn], 1 - levels)
            expected = np.mean([np.log(abs(value) + 0.05) for value in drawn])
            move = abs(np.log(series.mid[origin + lead] / series.close[origin]))
            assert found[row, place] == pytest.approx(np.log(move / width + 0.05) - expected)


def test_the_network_departs_from_the_base_only_if_the_tickers_own_part_is_used() -> None:
    series, at, leads = walk(400), np.array([300]), np.arange(1, 6)
    own = TickerNetwork(POOL, OwnErrors(np.full(11, 0.5), 500.0, DAY), corrected=True, learned_until=DAY)
    plain = POOL.network(series, at, leads, np.zeros(4))
    np.testing.assert_array_equal(replace(own, corrected=False).forecast(series, at, leads)[1], plain)
    wider = own.forecast(series, at, leads)[1]
    assert wider is not None
    assert (wider[..., -1] > 1.1 * plain[..., -1]).all()
    none = TickerNetwork(Pool.before(date(1990, 1, 1)), OwnErrors(), corrected=False, learned_until=DAY)
    assert none.forecast(series, at, leads)[1] is None


def test_training_and_assessing_a_model_loads_neither_tensorflow_nor_keras_nor_sklearn() -> None:
    code = (
        "import sys; from stockml.evaluation.assessment import assess; from tests.support.walks import SMALL, walk\n"
        "from stockml.models.retrain_policy import Decision\n"
        "from stockml.training.ticker_training import train_ticker, unseen_parts\n"
        "model = train_ticker(walk(2_600), SMALL, Decision('retrain', 'first'), start=None)\n"
        "assess(walk(2_600), model, None, SMALL.evaluation, [], unseen_parts(walk(2_600), SMALL.evaluation))\n"
        "print(sorted({'tensorflow', 'keras', 'sklearn'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout == "[]\n"
