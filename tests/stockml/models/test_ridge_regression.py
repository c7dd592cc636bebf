"""The ridge regression: penalised least squares on averages of inputs, valid for any prices, never
ahead."""

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stockml.errors import InvalidFile, TooFewBars
from stockml.features.origins import within_segment
from stockml.features.width_inputs import (
    AVERAGED,
    FALLS,
    INPUTS,
    WINDOWS,
    input_averages,
    width_inputs,
)
from stockml.models.har_regression import HarRegression
from stockml.models.lead_grid import LEADS, LEVELS, lead_basis, moves, symmetrised
from stockml.models.ridge_regression import PENALTY, RidgeRegression
from stockml.models.vintage_store import digest, read, write
from stockml.prices.series import PriceSeries
from tests.stockml.models.test_har_regression import ALL, UNTIL, breathing, tickers
from tests.stockml.models.test_vintage_store import resigned
from tests.support.walks import altered_after, begins_tenfold, constant, hole_of_a_year, walk

Regressions = tuple[HarRegression, RidgeRegression]
Signed = Callable[[dict[str, Any]], str]


def fit(series: dict[str, PriceSeries], until: date = UNTIL) -> Regressions:
    pooled = HarRegression.fit(series, until)
    return pooled, RidgeRegression.fit(series, until, pooled)


@pytest.fixture(scope="module")
def fitted() -> Regressions:
    return fit(tickers())


def test_averages_are_means_of_the_known_inputs_and_of_falls_over_each_window() -> None:
    series, t = walk(400), 350
    found, inputs = (
        dict(zip(AVERAGED, input_averages(series)[t], strict=True)),
        width_inputs(series),
    )
    assert len(AVERAGED) == (len(INPUTS) + len(FALLS)) * len(WINDOWS)
    for sessions in WINDOWS:
        rows = inputs[t - sessions + 1 : t + 1]
        for name, values in zip(INPUTS, rows.T, strict=True):
            known = values[np.isfinite(values)]
            expected = known.mean() if len(known) else np.nan  # four years' range is not known yet
            assert found[f"{name}, {sessions}"] == pytest.approx(expected, nan_ok=True)
        for name in FALLS:
            falls = np.minimum(rows[:, INPUTS.index(name)], 0)
            assert found[f"fall: {name}, {sessions}"] == pytest.approx(np.nanmean(falls))


def test_coefficients_solve_the_normal_equations_of_the_penalised_problem(
    fitted: Regressions,
) -> None:
    pooled, ridge = fitted
    inputs, targets, leads = [], [], np.array(LEADS)
    for bars in tickers().values():
        at = np.arange(60, len(bars) - 50, 5)
        known = input_averages(bars)[at]
        inputs.append(np.clip(np.nan_to_num((known - ridge.means) / ridge.deviations), -5, 5))
        targets.append(
            np.log(np.abs(moves(bars, at, leads)) / pooled.widths(bars, at, leads) + 0.05)
        )
    x, y = np.concatenate(inputs), np.concatenate(targets)
    y = np.linalg.lstsq(lead_basis(leads), y.T)[0].T
    x_centred, y_centred = x - x.mean(axis=0), y - y.mean(axis=0)
    normal = x_centred.T @ x_centred + PENALTY * len(x) * np.eye(x.shape[1])
    np.testing.assert_allclose(
        ridge.coefficients, np.linalg.solve(normal, x_centred.T @ y_centred), atol=1e-6
    )
    assert ridge.origins == len(x) == pooled.origins


def test_widths_are_the_ones_times_what_the_coefficients_say_and_the_shape_is_of_moves_over_them(
    fitted: Regressions,
) -> None:
    (pooled, ridge), leads, ratios = fitted, np.array(LEADS), []
    for bars in tickers().values():
        at = np.arange(60, len(bars) - 50, 5)
        inputs = np.clip(
            np.nan_to_num((input_averages(bars)[at] - ridge.means) / ridge.deviations), -5, 5
        )
        widths = pooled.widths(bars, at, leads) * np.exp(
            inputs @ ridge.coefficients @ lead_basis(leads).T
        )
        np.testing.assert_allclose(ridge.widths(bars, at, leads, pooled), widths)
        np.testing.assert_allclose(
            ridge.quantiles(bars, at, leads, pooled), widths[..., None] * ridge.shape
        )
        ratios.append(moves(bars, at, leads) / widths)
    shape = np.quantile(np.concatenate(ratios), LEVELS, axis=0).T
    np.testing.assert_allclose(ridge.shape, symmetrised(shape), atol=1e-6)


def test_quantiles_are_symmetric_and_cover_what_they_claim(fitted: Regressions) -> None:
    pooled, ridge = fitted
    unseen, origins = breathing(3_000, seed=77), np.arange(1_100, 2_950)
    found = ridge.quantiles(unseen, origins, ALL, pooled)
    np.testing.assert_array_equal(found, symmetrised(found))
    moved = moves(unseen, origins, ALL)
    assert ((found[..., 2] < moved) & (moved < found[..., -3])).mean() == pytest.approx(
        0.8, abs=0.06
    )


@pytest.mark.parametrize(
    "series", [constant(), begins_tenfold(bars=100), hole_of_a_year(), walk(100)]
)
def test_quantiles_are_finite_and_rise_whatever_the_prices(
    fitted: Regressions, series: PriceSeries
) -> None:
    origins = within_segment(series, np.arange(20, len(series)), 0)
    found = fitted[1].quantiles(series, origins, ALL, fitted[0])
    assert found.shape == (len(origins), 50, len(LEVELS))
    assert np.isfinite(found).all()
    assert (np.diff(found, axis=-1) > 0).all()
    changed = np.log(
        fitted[1].widths(series, origins, ALL, fitted[0]) / fitted[0].widths(series, origins, ALL)
    )
    assert np.abs(changed).max() <= 2 + 1e-9


def test_no_origin_sees_a_later_bar_nor_one_before_its_segment(fitted: Regressions) -> None:
    series, origins = walk(1_300), np.array([30, 100, 700, 1_100])
    for t in origins:
        same = fitted[1].quantiles(
            altered_after(series, int(t)), origins[origins <= t], ALL, fitted[0]
        )
        np.testing.assert_array_equal(
            same, fitted[1].quantiles(series, origins[origins <= t], ALL, fitted[0])
        )
    holed, at = hole_of_a_year(), np.array([1_190])
    after = holed.between(int(np.argmax(np.diff(holed.sessions))) + 1, len(holed))
    alone = fitted[1].quantiles(after, at - len(holed) + len(after), ALL, fitted[0])
    np.testing.assert_allclose(fitted[1].quantiles(holed, at, ALL, fitted[0]), alone)


def test_nothing_after_until_is_learned_and_the_order_of_tickers_does_not_matter(
    fitted: Regressions,
) -> None:
    last = int(np.searchsorted(walk(2_000).sessions, np.datetime64("2004-06-30"), side="right")) - 1
    changed = {
        ticker: altered_after(series, last) for ticker, series in reversed(tickers().items())
    }
    before, after = (fit(each, date(2004, 6, 30))[1] for each in (tickers(), changed))
    assert digest(before) == digest(after) != digest(fitted[1])
    assert before.through == date(2004, 6, 30)


def test_too_few_bars_are_refused(fitted: Regressions) -> None:
    with pytest.raises(TooFewBars):
        RidgeRegression.fit({"NEW": walk(100)}, UNTIL, fitted[0])


def test_a_ridge_regression_reads_back_as_written(fitted: Regressions, tmp_path: Path) -> None:
    path = write(fitted[1], tmp_path)
    found, record = read(path), json.loads(path.read_text())
    assert path.name == "ridge-2005-05.json"
    assert digest(found) == digest(fitted[1]) == record["sha256"]
    assert write(found, tmp_path / "again").read_bytes() == path.read_bytes()


CHANGES: dict[str, Any] = {
    "inputs": ["return"],
    "means": [0.0],
    "deviations": [0.0, *[1.0] * (len(AVERAGED) - 1)],
    "coefficients": [[float("nan")] * 4] * len(AVERAGED),
    "shape": [[0.0] * 20 + [-1.0]] * len(LEADS),
}


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("signed", [json.dumps, resigned])
def test_a_changed_file_is_refused_by_name(
    fitted: Regressions, tmp_path: Path, name: str, signed: Signed
) -> None:
    path = write(fitted[1], tmp_path)
    path.write_text(signed(json.loads(path.read_text()) | {name: CHANGES[name]}))
    with pytest.raises(InvalidFile, match=path.name):
        read(path)
