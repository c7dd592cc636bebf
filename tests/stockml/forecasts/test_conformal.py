"""Bands hold what they promise, on sessions they have not seen, and widen with the lead and with the volatility."""

import math
from functools import cache
from itertools import pairwise

import numpy as np
import pytest

from stockml.errors import TooFewBars
from stockml.features.windows import origins, split_origins
from stockml.forecasts.conformal import COVERAGES, BandScores, ConformalIntervals, score_bands, score_limits
from stockml.forecasts.error_scaling import absolute_volatility
from stockml.models.baselines import BASELINES, LAST_MID
from stockml.models.pooled_regression import LEVELS
from stockml.settings import EvaluationSettings
from stockml.storage.records import read_record, written_record
from tests.support.kaggle import LONG, kaggle_mid

SETTINGS = EvaluationSettings()
ERA = 1_500  # sessions: the test part of a night that was 0, 1, 2 … eras ago


def walk(n: int = 6_000, seed: int = 1, drift: float = 0.0, sigma: float = 0.015) -> np.ndarray:
    return 50 * np.exp(np.cumsum(np.random.default_rng(seed).normal(drift, sigma, n)))


def fitted(mid: np.ndarray, baseline: str = LAST_MID) -> tuple[ConformalIntervals, BandScores]:
    """Calibrated on the validation part, scored on the test part."""
    split, path = split_origins(len(mid), SETTINGS), BASELINES[baseline].path
    validation, test = origins(split.validation, 10), origins(split.test, 10)
    bands = ConformalIntervals.fit(mid, validation, path(mid, validation, 50))
    return bands, score_bands(bands, mid, test, path(mid, test, 50))


@cache
def measured(ticker: str, era: int) -> BandScores:
    mid = kaggle_mid(ticker)
    return fitted(mid[: len(mid) - era * ERA])[1]


def test_on_the_long_files_the_80_band_holds_77_to_83_percent_of_the_test_part() -> None:
    found = [measured(ticker, era=0).bands["80"].coverage for ticker in LONG]
    assert 0.77 <= np.mean(found) <= 0.83
    assert min(found) >= 0.74
    assert max(found) <= 0.86


@pytest.mark.parametrize(("band", "low", "high"), [("50", 0.48, 0.54), ("80", 0.78, 0.82), ("95", 0.935, 0.965)])
def test_over_six_eras_of_the_long_files_every_band_holds_what_it_says(band: str, low: float, high: float) -> None:
    found = [
        measured(ticker, era).bands[band].coverage
        for ticker in LONG
        for era in range(6)
        if len(kaggle_mid(ticker)) - era * ERA > 4_500
    ]
    assert len(found) >= 25
    assert low <= np.mean(found) <= high


def test_over_six_eras_no_lead_is_favoured() -> None:
    by_lead = np.mean([measured(t, era).bands["80"].coverage_by_lead for t in LONG for era in range(5)], axis=0)
    assert by_lead.min() >= 0.77
    assert by_lead.max() <= 0.83


def test_on_random_walks_coverage_is_nominal() -> None:
    found = [fitted(walk(8_000, seed))[1].bands for seed in range(12)]
    assert np.mean([bands["50"].coverage for bands in found]) == pytest.approx(0.50, abs=0.04)
    assert np.mean([bands["80"].coverage for bands in found]) == pytest.approx(0.80, abs=0.03)
    assert np.mean([bands["95"].coverage for bands in found]) == pytest.approx(0.95, abs=0.02)


def test_widths_grow_with_the_lead_and_with_the_volatility() -> None:
    bands, _ = fitted(walk())
    path = np.full(50, 100.0)
    for coverage in COVERAGES:
        low, high = bands.quantiles(path, 0.01, coverage)
        assert np.all(np.diff(np.log(high / low)) > 0)
        calm, wild = (np.log(np.divide(*bands.quantiles(path, now, coverage)[::-1])) for now in (0.01, 0.02))
        np.testing.assert_allclose(wild, 2 * calm)


def test_a_wider_band_holds_the_narrower_and_all_hold_the_centre() -> None:
    bands, _ = fitted(walk())
    paths = np.linspace(90, 110, 150).reshape(3, 50)
    limits = [bands.quantiles(paths, np.array([0.01, 0.02, 0.03]), coverage) for coverage in COVERAGES]
    for (inner_low, inner_high), (outer_low, outer_high) in pairwise(limits):
        assert np.all(outer_low < inner_low)
        assert np.all(inner_high < outer_high)


def test_the_chance_of_a_rise_and_the_bands_are_one_distribution() -> None:
    bands, _ = fitted(walk(drift=0.0005))
    path = np.linspace(100.0, 104.0, 50)
    for coverage in COVERAGES:
        low, high = bands.quantiles(path, 0.012, coverage)
        above_high = float(bands.probability_of_rise(path, 0.012, float(high[29]), 30))
        above_low = float(bands.probability_of_rise(path, 0.012, float(low[29]), 30))
        assert above_high == pytest.approx((1 - coverage) / 2, abs=1e-6)
        assert above_low == pytest.approx((1 + coverage) / 2, abs=1e-6)


def test_quantiles_rise_with_their_level_and_agree_with_the_bands() -> None:
    bands, _ = fitted(walk(drift=0.0005))
    paths, now = np.linspace(90, 110, 150).reshape(3, 50), np.array([0.01, 0.02, 0.03])
    found = bands.quantile_path(paths, now, LEVELS)
    assert found.shape == (3, 50, len(LEVELS))
    assert np.all(np.diff(found, axis=-1) > 0)
    for coverage in COVERAGES:
        sides = np.array([(1 - coverage) / 2, (1 + coverage) / 2])
        low, high = bands.quantiles(paths, now, coverage)
        for side, limit in zip(np.moveaxis(bands.quantile_path(paths, now, sides), -1, 0), (low, high), strict=True):
            np.testing.assert_allclose(side, limit, rtol=1e-12)
    middle = bands.quantile_path(paths, now, np.array([0.5]))[..., 0]
    np.testing.assert_allclose(np.log(middle / paths), bands.tilt * now[:, None] * np.arange(1, 51), atol=1e-12)
    np.testing.assert_array_equal(bands.quantile_path(paths[1], 0.02, LEVELS), found[1])


def test_a_quantile_is_exceeded_with_the_chance_that_is_left() -> None:
    bands, _ = fitted(walk(drift=0.0005))
    path = np.linspace(100.0, 104.0, 50)
    found = bands.quantile_path(path, 0.012, LEVELS)
    for step in (1, 30, 50):
        above = [float(bands.probability_of_rise(path, 0.012, float(limit), step)) for limit in found[step - 1]]
        np.testing.assert_allclose(above, 1 - LEVELS, atol=1e-6)


def test_quantiles_at_the_very_ends_are_finite_and_those_of_a_price_that_stands_still_are_its_path() -> None:
    bands, _ = fitted(walk())
    path = np.full(50, 100.0)
    assert np.isfinite(bands.quantile_path(path, 0.01, np.array([0.0, 1.0]))).all()
    np.testing.assert_array_equal(bands.quantile_path(path, 0.0, LEVELS), np.full((50, len(LEVELS)), 100.0))


def test_the_chance_of_a_rise_follows_the_path_and_is_never_outside_0_and_1() -> None:
    bands, _ = fitted(walk())
    paths = np.array([1.0, 80.0, 95.0, 100.0, 105.0, 120.0, 9_000.0])[:, None] * np.ones(50)
    chances = bands.probability_of_rise(paths, np.full(7, 0.01), np.full(7, 100.0), 30)
    assert np.all(np.diff(chances) >= 0)
    assert chances[0] == 0.0
    assert chances[-1] == 1.0


def test_a_price_that_rose_for_years_is_expected_to_rise_a_little_more_often_than_not() -> None:
    bands, _ = fitted(walk(drift=0.0006))
    rising = bands.probability_of_rise(np.full(50, 100.0), 0.012, 100.0, 30)
    assert 0.52 < float(rising) < 0.70


def test_a_path_that_drifts_by_itself_is_not_moved_again() -> None:
    mid = walk(drift=0.0006)
    assert abs(fitted(mid, "drift")[0].tilt) < 0.25 * abs(fitted(mid)[0].tilt)


def test_a_worse_path_gets_wider_bands() -> None:
    mid = walk()
    narrow, wide = (
        np.log(np.divide(*fitted(mid, name)[0].quantiles(np.full(50, 100.0), 0.012, 0.8)[::-1]))
        for name in (LAST_MID, "standard average")
    )
    assert wide.mean() > 1.2 * narrow.mean()


def test_what_comes_after_the_calibration_part_changes_nothing() -> None:
    mid = walk()
    changed = mid.copy()
    changed[split_origins(len(mid), SETTINGS).test.start :] *= 3
    assert fitted(mid)[0] == fitted(changed)[0]
    later = np.r_[mid[:3_000], mid[3_000:] * 9]
    np.testing.assert_array_equal(absolute_volatility(mid)[:3_000], absolute_volatility(later)[:3_000])


def test_coverage_and_interval_score_are_what_a_loop_finds() -> None:
    mid = walk(3_000)
    bands, _ = fitted(mid)
    at = np.array([2_000, 2_400, 2_900])
    paths = BASELINES["momentum"].path(mid, at, 50)
    inside, penalties = 0, []
    for row, origin in enumerate(at):
        low, high = bands.quantiles(paths[row], float(absolute_volatility(mid)[origin]), 0.8)
        for k in range(50):
            price = mid[origin + 1 + k]
            inside += low[k] <= price <= high[k]
            penalties.append(high[k] - low[k] + 10 * (max(low[k] - price, 0) + max(price - high[k], 0)))
    found = score_bands(bands, mid, at, paths).bands["80"]
    limits = {0.8: bands.quantiles(paths, absolute_volatility(mid)[at], 0.8)}
    assert score_limits(limits, mid[at[:, None] + np.arange(1, 51)]).bands == {"80": found}
    assert found.coverage == pytest.approx(inside / 150)
    assert found.interval_score == pytest.approx(np.mean(penalties))


def test_bands_and_their_scores_survive_json() -> None:
    bands, scores = fitted(walk())
    assert read_record(ConformalIntervals, written_record(bands)) == bands
    assert read_record(BandScores, written_record(scores)) == scores
    assert all(math.isfinite(value) for value in scores.metrics().values())
    assert {"intervals/coverage_80", "intervals/interval_score_95"} <= set(scores.metrics())


@pytest.mark.parametrize("n", [600, 989, 1_500])
def test_short_histories_are_covered_too(n: int) -> None:
    found = [fitted(walk(n, seed))[1].bands for seed in range(40)]
    assert np.mean([bands["80"].coverage for bands in found]) == pytest.approx(0.80, abs=0.05)
    # shares have fatter tails than a random walk, and a short history borrows theirs
    assert 0.93 <= np.mean([bands["95"].coverage for bands in found]) <= 0.99


def test_a_calm_calibration_part_does_not_make_the_bands_forget_wilder_years() -> None:
    generator = np.random.default_rng(2)
    # the same volatility from day to day, but steps that add up in the wild years and cancel out in the calm ones
    steps = generator.normal(0, 0.01, 6_000)
    wild = np.repeat(generator.normal(0, 0.01, 600), 10) + steps / 3
    together = np.where(np.arange(6_000) < 3_400, wild, steps)
    remembering = fitted(50 * np.exp(np.cumsum(together)))[0]
    calm = fitted(50 * np.exp(np.cumsum(steps)))[0]
    assert np.interp(0.8, remembering.levels, remembering.errors) > 1.2 * np.interp(0.8, calm.levels, calm.errors)


def test_a_share_that_was_halted_for_long_still_has_finite_bands() -> None:
    mid = walk(3_000)
    mid[1_000:2_200] = mid[1_000]
    bands, scores = fitted(mid)
    assert read_record(ConformalIntervals, written_record(bands)) == bands
    assert read_record(BandScores, written_record(scores)) == scores


def test_too_few_origins_are_refused() -> None:
    mid, few = walk(600), np.arange(300, 304)
    with pytest.raises(TooFewBars, match="calibrating"):
        ConformalIntervals.fit(mid, few, BASELINES[LAST_MID].path(mid, few, 50))
