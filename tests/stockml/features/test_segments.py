"""No window or outcome spans a long hole; after it a share is as if listed then; without one
nothing changes."""

from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stockml.errors import TooFewBars
from stockml.features.origins import (
    FIRST_ORIGIN,
    MAX_CLOSURE,
    scored_origins,
    segments,
    starts,
    to_newest_units,
    within_segment,
)
from stockml.features.volatility import Volatilities, width_inputs
from stockml.models.regressions import LEADS, HarRegression, RidgeRegression, published_median
from stockml.models.vintage_set import VintageSet
from stockml.settings import EvaluationSettings
from stockml.training.network_trainer import TrainingSet
from stockml.training.ticker_training import split_after_vintages
from tests.support.walks import SMALL, hole_of_a_year, walk, with_prices

UNTIL = date(2010, 1, 1)


def with_gaps(gaps):
    """A walk whose sessions are these numbers of weekdays apart."""
    series = walk(len(gaps) + 1)
    return replace(
        series, sessions=np.busday_offset("2001-01-01", np.cumsum([0, *gaps]), roll="forward")
    )


def after_a_hole(before, after):
    series = walk(before + after)
    return replace(
        series, sessions=series.sessions + np.where(np.arange(before + after) < before, 0, 365)
    )


def drawn(seed):
    """Gaps such as an exchange has."""
    rng = np.random.default_rng(seed)
    return rng.choice([1, 1, 1, 1, 1, 2, 5, MAX_CLOSURE], rng.integers(120, 240)).tolist()


gaps = st.integers(0, 2**32).map(drawn)
holes = st.lists(st.tuples(st.integers(0, 119), st.integers(MAX_CLOSURE + 1, 400)), max_size=3)


@given(gaps, holes, st.integers(0, 60))
def test_exactly_the_origins_with_a_hole_in_window_or_outcome_are_left_out(gaps, holes, horizon):
    for at, gap in holes:
        gaps[at] = gap
    series = with_gaps(gaps)
    at = np.arange(FIRST_ORIGIN, len(series) - horizon)
    kept = set(within_segment(series, at, horizon).tolist())
    for origin in at.tolist():
        spanned = gaps[origin - FIRST_ORIGIN : origin + horizon]
        assert (origin in kept) == (max(spanned) <= MAX_CLOSURE)


def test_after_a_hole_a_share_is_computed_as_if_it_had_been_listed_then():
    series = hole_of_a_year()
    second = segments(series)[1]
    at = np.arange(FIRST_ORIGIN, len(second), 50)
    for compute in (width_inputs, lambda bars: Volatilities.of(bars).range):
        np.testing.assert_array_equal(compute(series)[600:], compute(second))
    vintages, leads = VintageSet.ending_before(date(2030, 1, 1)), np.array(LEADS)
    for forecast in (published_median, vintages.simple_quantiles, vintages.network_quantiles):
        after, alone = forecast(series, at + 600, leads), forecast(second, at, leads)
        # matrix products: their last bits depend on shapes and on the processor
        np.testing.assert_allclose(after, alone, rtol=1e-6)


@given(gaps, st.integers(1, 119), st.sampled_from((0.01, 0.1, 10.0, 100.0)))
def test_a_lasting_tenfold_price_starts_a_new_segment_and_a_crash_does_not(gaps, at, times):
    """As when pence become pounds: nothing is learned from the step between them."""
    series, sessions = with_gaps(gaps), np.arange(len(gaps) + 1)

    def found(factor, volume):
        stepped = with_prices(series, np.where(sessions >= at, factor, 1.0))
        return starts(replace(stepped, volume=volume)).tolist()

    usual = np.full(len(series), 1e6)  # a varying one would be busy by chance
    assert found(0.3, usual) == [0]
    assert found(times, np.where(sessions == at, 1e9, 1e6)) == [0], "traded heavily, it is real"
    split = np.where(sessions >= at, 1e6 / times, 1e6)  # the money traded did not change
    for volume in (usual, split, usual * np.nan):
        assert found(times, volume) == [0, at]


def test_every_price_can_be_turned_into_the_newest_units_across_several_changes():
    of_one = walk(1_200, seed=2)
    times = np.select([np.arange(1_200) < 400, np.arange(1_200) < 700], [1e-3, 100.0], 1.0)
    assert to_newest_units(with_prices(of_one, times)) == pytest.approx(1 / times)
    dearer = with_prices(hole_of_a_year(), np.where(np.arange(1_200) < 600, 1.0, 40.0))
    assert (to_newest_units(dearer) == 1).all()
    for beside in (599, 601):  # the hole is before session 600
        times = np.where(np.arange(1_200) < beside, 100.0, 1.0)
        assert to_newest_units(with_prices(hole_of_a_year(), times)) == pytest.approx(1 / times)


def test_a_pool_learns_the_same_from_segments_as_from_separate_shares():
    """So it learns from no move across a hole."""
    series = hole_of_a_year()
    first, second = segments(series)
    learned = []
    for bars in ({"A": series}, {"A": first, "B": second}):
        regression = HarRegression.fit(bars, UNTIL)
        ridge = RidgeRegression.fit(bars, UNTIL, regression)
        examples = TrainingSet.of(bars, UNTIL, regression, ridge)
        arrays = (regression.intercepts, ridge.coefficients)
        learned.append([examples.sha256(), *(array.tolist() for array in arrays)])
    assert learned[0] == learned[1]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [(1_000, 21, r"22 .* hole from 2003-09-27 to 2004-09-27, found 21"), (26, 26, "36 .*found 26")],
)
def test_the_newest_hole_is_refused_by_name_if_it_is_too_recent(before, after, expected):
    one = after_a_hole(before, after)
    two = replace(one, sessions=one.sessions - np.where(np.arange(len(one)) < 3, 365, 0))
    for series in (one, two):
        with pytest.raises(TooFewBars, match=expected):
            split_after_vintages(series, SMALL.evaluation)


def test_a_month_after_a_hole_forecasts_resume_and_the_years_before_it_are_scored():
    series = after_a_hole(1_000, 22)
    evaluation = EvaluationSettings()
    split = split_after_vintages(series, evaluation)
    at = scored_origins(series, split.test, evaluation)
    assert len(at) > 20
    assert at.max() + evaluation.horizon < 1_000
