"""Proper scores: equal to the library scoringrules and to naive loops; the truth scores best."""

import numpy as np
import pytest
import scoringrules
from scipy.stats import norm

from stockml.forecasts.proper_scores import (
    COVERAGES,
    band,
    brier,
    crps,
    pinball,
    qlike,
    score_bands,
)
from stockml.models.regressions import LEVELS


def forecasts(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    return np.sort(generator.normal(size=(40, 5, len(LEVELS))), axis=-1), generator.normal(
        size=(40, 5)
    )


def test_crps_is_that_of_scoringrules() -> None:
    quantiles, actual = forecasts()
    np.testing.assert_allclose(
        crps(quantiles, actual),
        scoringrules.crps_quantile(actual, quantiles, LEVELS),
        rtol=0,
        atol=1e-9,
    )


def test_brier_is_that_of_scoringrules() -> None:
    generator = np.random.default_rng(2)
    chance, happened = generator.random(200), generator.random(200) < 0.4
    expected = scoringrules.brier_score(happened.astype(float), chance)
    np.testing.assert_allclose(brier(chance, happened), expected, rtol=0, atol=1e-9)


def test_pinball_losses_are_those_of_scoringrules() -> None:
    quantiles, actual = forecasts(3)
    expected = scoringrules.quantile_score(actual[..., None], quantiles, LEVELS)
    np.testing.assert_allclose(pinball(quantiles, actual), expected, rtol=0, atol=1e-9)


def test_coverage_is_counted_by_lead_and_bounds_count_as_inside() -> None:
    quantiles, actual = forecasts(4)
    low, high = band(quantiles, 0.8)
    actual[:2] = low[0], high[1]
    found = score_bands(quantiles, actual).bands
    assert [*found] == ["50", "80", "95"]
    for lead in range(5):
        inside = sum(low[i, lead] <= actual[i, lead] <= high[i, lead] for i in range(40))
        assert found["80"].coverage_by_lead[lead] == pytest.approx(inside / 40)
    assert found["80"].coverage == pytest.approx(np.mean(found["80"].coverage_by_lead))
    expected = scoringrules.interval_score(actual, low, high, 0.2).mean()
    assert found["80"].interval_score == pytest.approx(expected)


@pytest.mark.parametrize("coverage", COVERAGES)
def test_the_ends_of_each_band_are_the_quantiles_at_its_two_levels(coverage: float) -> None:
    low, high = band(LEVELS, coverage)
    assert (low, high) == (pytest.approx((1 - coverage) / 2), pytest.approx((1 + coverage) / 2))


def test_the_truth_scores_better_than_a_wider_a_narrower_and_a_shifted_forecast() -> None:
    actual = np.random.default_rng(6).normal(size=20_000)
    truth = norm.ppf(LEVELS)
    others = {"wider": 1.2 * truth, "narrower": 0.8 * truth, "shifted": truth + 0.2}
    best = crps(truth, actual).mean()
    assert all(crps(quantiles, actual).mean() > best for quantiles in others.values())


def test_qlike_is_zero_at_the_truth_and_least_on_average_at_the_mean_variance() -> None:
    actual = np.random.default_rng(0).chisquare(3, 10_000)
    assert qlike(actual, actual) == pytest.approx(0)
    losses = [
        qlike(np.full(len(actual), times * actual.mean()), actual).mean()
        for times in (0.9, 1.0, 1.1)
    ]
    assert losses[1] < min(losses[0], losses[2])
    assert losses[0] - losses[1] == pytest.approx(1 / 0.9 - 1 + np.log(0.9))
