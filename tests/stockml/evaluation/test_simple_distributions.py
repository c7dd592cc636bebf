"""Simple distributions: rows equal to loops, blind to the ticker's future; a reason where a row
cannot be made."""

from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from stockml.errors import InvalidSetting, TooFewBars
from stockml.evaluation.simple_distributions import (
    CALIBRATION_SESSIONS,
    CONSTANT_WIDTH,
    OWN_HAR,
    SHAPES,
    ShapeSource,
    calibration_origins,
    simple_distributions,
)
from stockml.features.volatility import Volatilities
from stockml.models.har_regression import EWMA_20, EWMA_60, REGRESSION, HarRegression
from stockml.models.lead_grid import LEVELS, moves
from stockml.prices.series import PriceSeries
from tests.support.walks import altered_after, hole_of_a_year, walk

LEADS = np.array([1, 5, 10, 20, 50])
LATE = np.arange(3_700, 3_900, 5)
SHAPE_SOURCES: tuple[ShapeSource, ...] = ("pooled", "own")


@pytest.fixture(scope="module")
def vintages() -> HarRegression:
    return HarRegression.fit(
        {f"T{i}": walk(800, seed=10 + i) for i in range(4)}, date(2002, 12, 31)
    )


@pytest.mark.parametrize("shape_of", SHAPE_SOURCES)
def test_every_row_is_present_finite_never_falling_and_on_the_same_origins(
    vintages: HarRegression, shape_of: ShapeSource
) -> None:
    rows, reasons = simple_distributions(walk(4_000), LATE, LEADS, vintages, shape_of)
    assert list(rows) == list(SHAPES)
    assert reasons == {}
    for quantiles in rows.values():
        assert quantiles.shape == (len(LATE), len(LEADS), len(LEVELS))
        assert np.isfinite(quantiles).all()
        assert (np.diff(quantiles, axis=-1) >= 0).all()


def test_rows_are_a_width_times_the_pools_shape_for_it(vintages: HarRegression) -> None:
    series = walk(4_000)
    seen, found = Volatilities.of(series), simple_distributions(series, LATE, LEADS, vintages)[0]
    returns = np.diff(np.log(series.close[: LATE[0] + 1]))
    for row, t in enumerate(LATE[:3]):
        for column, lead in enumerate(LEADS):
            root = np.sqrt(lead)
            shape = {name: vintages.shape(kind, LEADS)[column] for name, kind in SHAPES.items()}
            expected = np.sqrt(np.mean(returns**2)) * root * shape[CONSTANT_WIDTH]
            np.testing.assert_allclose(found[CONSTANT_WIDTH][row, column], expected)
            np.testing.assert_allclose(
                found[EWMA_20][row, column], seen.ewma_20[t] * root * shape[EWMA_20]
            )
            np.testing.assert_allclose(
                found[EWMA_60][row, column], seen.ewma_60[t] * root * shape[EWMA_60]
            )
    np.testing.assert_allclose(found[REGRESSION], vintages.quantiles(series, LATE, LEADS))
    known = series.until(int(LATE[0]) + 1)
    own = HarRegression.fit({"own": known}, known.sessions[-1].item()).widths(series, LATE, LEADS)
    np.testing.assert_allclose(found[OWN_HAR], own[..., None] * vintages.shape("regression", LEADS))


def test_own_rows_are_calibrated_on_the_last_thousand_sessions_with_known_outcomes(
    vintages: HarRegression,
) -> None:
    series = walk(4_000)
    found = simple_distributions(series, LATE, LEADS, vintages, "own")[0]
    seen, log_close = Volatilities.of(series), np.log(series.close)
    last = LATE[0] - 50
    for column, lead in enumerate(LEADS):
        at = range(last - CALIBRATION_SESSIONS + 1, last + 1)
        moved = [log_close[t + lead] - log_close[t] for t in at]
        units = [seen.ewma_60[t] * np.sqrt(lead) for t in at]
        shape = np.quantile(np.array(moved) / units, LEVELS)
        width = seen.ewma_60[LATE[2]] * np.sqrt(lead)
        np.testing.assert_allclose(found[EWMA_60][2, column], width * shape)
        np.testing.assert_allclose(found[CONSTANT_WIDTH][2, column], np.quantile(moved, LEVELS))
    at = np.arange(last - CALIBRATION_SESSIONS + 1, last + 1)
    earlier = series.until(int(at[0]) + 1)  # a width is not calibrated on what it was learned from
    har = HarRegression.fit({"own": earlier}, earlier.sessions[-1].item())
    shape = np.quantile(moves(series, at, LEADS) / har.widths(series, at, LEADS), LEVELS, axis=0).T
    np.testing.assert_allclose(found[OWN_HAR], har.widths(series, LATE, LEADS)[..., None] * shape)


def test_calibration_ends_at_the_last_origin_with_known_outcomes_and_spans_no_hole() -> None:
    found = calibration_origins(walk(2_001), 50)
    assert (found[0], found[-1], len(found)) == (951, 1_950, CALIBRATION_SESSIONS)
    assert not {*calibration_origins(hole_of_a_year(), 50).tolist()} & {*range(550, 621)}
    assert calibration_origins(walk(360), 50).tolist() == [*range(60, 310)]
    with pytest.raises(TooFewBars, match=r"at least 360 sessions .* found 359"):
        calibration_origins(walk(359), 50)


@pytest.mark.parametrize("shape_of", SHAPE_SOURCES)
def test_no_row_sees_a_later_bar(vintages: HarRegression, shape_of: ShapeSource) -> None:
    series = walk(4_000)
    before = simple_distributions(series, LATE, LEADS, vintages, shape_of)[0]
    for row in (0, 7):
        changed = altered_after(series, int(LATE[row]))
        after = simple_distributions(changed, LATE, LEADS, vintages, shape_of)[0]
        for name in SHAPES:
            np.testing.assert_array_equal(after[name][: row + 1], before[name][: row + 1])


def test_a_pool_that_has_seen_the_first_origin_is_refused(vintages: HarRegression) -> None:
    series = walk(4_000)
    last = int(np.searchsorted(series.sessions, np.datetime64(vintages.through)))
    with pytest.raises(InvalidSetting, match=str(vintages.through)):
        simple_distributions(series, np.array([last]), LEADS, vintages)
    assert simple_distributions(series, np.array([last + 1]), LEADS, vintages)[0]


def later(n: int) -> PriceSeries:
    """A share that was first traded after the vintage set's last session."""
    return replace(walk(n), sessions=walk(n).sessions + np.timedelta64(3_000, "D"))


def test_a_hundred_sessions_have_every_row_but_the_tickers_own(vintages: HarRegression) -> None:
    rows, reasons = simple_distributions(later(100), np.array([99]), LEADS, vintages)
    assert list(rows) == [CONSTANT_WIDTH, EWMA_20, EWMA_60, REGRESSION]
    before = "(only those before the scored part count), found 100"
    assert (
        f"at least 2000 sessions for a HAR regression of the ticker's own {before}"
        in reasons[OWN_HAR]
    )
    rows, reasons = simple_distributions(later(100), np.array([99]), LEADS, vintages, "own")
    assert rows == {}
    assert f"a shape of the ticker's own {before}" in reasons[REGRESSION]
