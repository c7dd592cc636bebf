"""Volatilities and inputs: as naive loops compute them, from nothing later than their row, NaN where
unknown, and finite whatever the prices once they are scaled."""

import math
from dataclasses import replace

import numpy as np
import pytest

from stockml.features.volatility import (
    AVERAGED,
    FALLS,
    INPUTS,
    MAX_INPUT,
    RANGE_SESSIONS,
    VOLATILITY_FLOOR,
    InputScale,
    Volatilities,
    input_averages,
    range_variance,
    width_inputs,
)
from stockml.prices.series import PriceSeries
from tests.support.walks import begins_tenfold, constant, hole_of_a_year, walk, with_prices


def weighted_mean(values, span):
    """Weights (1 − 2 / (span + 1))^age, the newest last; equal ones without a span."""
    keep = 1 - 2 / (span + 1) if span else 1.0
    return np.average(values, weights=keep ** np.arange(len(values))[::-1])


def test_a_sessions_variance_is_parkinsons_plus_the_squared_overnight_gap():
    series = walk(30)
    found = range_variance(series)
    for t in range(30):
        parkinson = math.log(series.high[t] / series.low[t]) ** 2 / (4 * math.log(2))
        night = math.log(series.open[t] / series.close[t - 1]) ** 2 if t else 0.0
        assert found[t] == pytest.approx(parkinson + night)


def test_range_terms_are_means_over_full_windows_only():
    series = walk(1_100)
    variance, found = range_variance(series), Volatilities.of(series).range
    for column, sessions in enumerate(RANGE_SESSIONS):
        assert np.isnan(found[: sessions - 1, column]).all()
        for t in (sessions - 1, 1_050, 1_099):
            naive = math.sqrt(sum(variance[t - sessions + 1 : t + 1]) / sessions)
            assert found[t, column] == pytest.approx(naive)


@pytest.mark.parametrize(("name", "span"), [("ewma_20", 20), ("ewma_60", 60), ("constant", None)])
def test_close_volatilities_are_weighted_means_of_squared_returns(name, span):
    series = walk(80)
    squares = np.diff(np.log(series.close)) ** 2
    found = getattr(Volatilities.of(series), name)
    assert np.isnan(found[0])
    for t in (1, 2, 79):
        assert found[t] == pytest.approx(math.sqrt(weighted_mean(squares[:t], span)))


def test_neither_a_halted_share_nor_a_calm_after_a_storm_is_below_the_volatility_floor():
    halted = Volatilities.of(constant())
    for name in ("range", "ewma_20", "ewma_60", "constant"):
        assert (getattr(halted, name)[-1] == VOLATILITY_FLOOR).all()
    wild = with_prices(walk(40), np.where(np.arange(40) < 20, 3e6, 1.0))
    assert (Volatilities.of(wild).range[4:, 1] >= VOLATILITY_FLOOR).all()


def test_each_input_is_what_its_name_says():
    series, seen = walk(1_100), Volatilities.of(walk(1_100))
    found = dict(zip(INPUTS, width_inputs(series).T, strict=True))
    opened, high, low, close = series.open, series.high, series.low, series.close
    squares = np.diff(np.log(close)) ** 2
    for t in (300, 393, 1_099):  # at 393, the highest of 251 sessions is the first of them
        unit = seen.ewma_60[t]
        move = math.log(close[t] / close[t - 1]) / unit
        long = math.sqrt(weighted_mean(squares[:t], 250))
        usual = weighted_mean(series.volume[: t + 1], 60)
        expected = {
            "return": move,
            "size of return": math.log(abs(move) + 0.05),
            "overnight gap": math.log(opened[t] / close[t - 1]) / unit,
            "EWMA 20": math.log(seen.ewma_20[t] / unit),
            "EWMA 250": math.log(long / unit),
            "volume": math.log(series.volume[t] / usual),
            "place of close": (close[t] - low[t]) / (high[t] - low[t]) - 0.5,
            "below high 250": math.log(close[t] / max(high[t - 249 : t + 1])) / unit / 250**0.5,
            "rise 60": math.log(close[t] / close[t - 60]) / unit / 60**0.5,
        }
        for sessions, term in zip(RANGE_SESSIONS, seen.range[t], strict=True):
            expected[f"range {sessions}"] = math.log(term / unit)
        at_t = {name: found[name][t] for name in INPUTS}
        assert at_t == pytest.approx(expected, nan_ok=True)


def test_a_bar_without_a_range_closes_in_its_middle_and_volume_is_unknown_before_the_first_trade():
    series = walk(200)
    flat, volume = np.full(200, 50.0), np.where(np.arange(200) < 90, 0.0, series.volume)
    still = PriceSeries(series.sessions, flat, flat, flat, flat, volume)
    found = dict(zip(INPUTS, width_inputs(still).T, strict=True))
    assert set(found["place of close"].tolist()) == {0.0}
    np.testing.assert_array_equal(np.isnan(found["volume"]), volume == 0)


def test_averages_are_of_what_is_known_within_their_window():
    series = walk(300)
    inputs, found = width_inputs(series), input_averages(series)
    columns = dict(zip(INPUTS, inputs.T, strict=True))
    columns |= {f"fall: {name}": np.minimum(columns[name], 0) for name in FALLS}
    for t in (3, 70, 299):
        for name, average in zip(AVERAGED, found[t], strict=True):
            column, sessions = name.rsplit(", ", 1)
            window = columns[column][max(0, t + 1 - int(sessions)) : t + 1]
            known = window[~np.isnan(window)]
            np.testing.assert_allclose(average, known.mean() if len(known) else np.nan, atol=1e-9)


def test_inputs_that_a_short_history_lacks_are_nan_and_get_the_pools_mean():
    plain, last = width_inputs(walk(1_300)), width_inputs(walk(100))[-1]
    missing = [name in ("range 250", "range 1000") for name in INPUTS]
    np.testing.assert_array_equal(np.isnan(last), missing)
    assert set(InputScale.fit([plain[100:]]).apply(last[None])[0, missing]) == {0.0}
    of_the_young = InputScale.fit([width_inputs(walk(200))[100:]])
    assert set(of_the_young.means[missing]) == {0.0}
    assert set(of_the_young.deviations[missing]) == {1.0}


@pytest.mark.parametrize(
    "series",
    [replace(constant(), volume=np.zeros(1_200)), begins_tenfold(), hole_of_a_year(), walk(2)],
)
def test_scaled_inputs_are_finite_and_bounded_whatever_the_prices(series):
    scale = InputScale.fit([width_inputs(walk(1_300))[100:]])
    found = scale.apply(width_inputs(series))
    assert found.shape == (len(series), 14)
    assert np.isfinite(found).all()
    assert np.abs(found).max() <= MAX_INPUT


def test_known_inputs_scaled_by_their_own_fit_have_mean_0_and_deviation_1():
    inputs = width_inputs(walk(3_000))[60:]
    scaled = InputScale.fit([inputs[:1_000], inputs[1_000:]]).apply(inputs)
    known = np.where(np.isfinite(inputs), scaled, np.nan)
    np.testing.assert_allclose(np.nanmean(known, axis=0), 0, atol=0.05)
    np.testing.assert_allclose(np.nanstd(known, axis=0), 1, atol=0.1)


@pytest.mark.parametrize(
    ("means", "deviations", "named"),
    [
        (np.zeros(14), np.arange(14.0), "deviations above 0"),
        (np.zeros(14), np.ones(13), "deviations"),
        (np.full(14, np.nan), np.ones(14), "means"),
    ],
)
def test_a_scale_without_a_mean_and_a_deviation_above_0_for_each_input_is_refused(
    means, deviations, named
):
    with pytest.raises(ValueError, match=named):
        InputScale(means, deviations)
