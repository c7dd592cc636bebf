"""Published forecasts are scored from the bars, whatever has happened to the bars since."""

from dataclasses import replace
from datetime import date, datetime
from itertools import combinations, pairwise, permutations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stockml.forecasts import ledger_scores
from stockml.forecasts.ledger import Ledger, entries_of
from stockml.forecasts.ledger_scores import (
    FIGURES,
    independent_count,
    scored_steps,
    timing_of,
)
from stockml.prices.bars import PRICES
from stockml.prices.calendar import sessions_for
from stockml.prices.series import PriceSeries
from tests.support.forecasts import HORIZON, MID, STEP, bars, day, entry, series

NEW_YORK = sessions_for("IBM")


def live_of(ledger, known):
    return ledger.record("IBM", known, NEW_YORK)["live"]


def test_steps_are_scored_as_they_come_due(ledger):
    ledger.publish(entry(10))
    for newest, due in ((10, 0), (11, 1), (15, 5), (20, 10), (60, 10)):
        scored = scored_steps(ledger.counting("IBM", NEW_YORK), series(newest + 1))
        assert len(scored) == due
        assert live_of(ledger, series(newest + 1)).matured == (1 if due == HORIZON else 0)


def test_scores_equal_those_of_a_naive_loop(ledger):
    """Skill and rises are measured from the last close: a session's mid price is an older price."""
    origins = (10, 23, 29, 95)  # of two, prices leave the band: below, and above
    above = bars(100)
    above["close"] *= 1.008
    errors, naive, inside, right, briers, reached = [], [], 0, [], [], []
    for at in origins:
        ledger.publish(entry(at, slope=0.001, chance=0.6))
        for k in range(1, min(HORIZON, 99 - at) + 1):
            actual = MID[at + k] / MID[at]
            errors.append((1 + 0.001 * k - actual) ** 2)
            naive.append((1.008 - actual) ** 2)
            inside += abs(actual / (1 + 0.001 * k) - 1) <= 0.02 * k**0.5
            reached.append(MID[at + k])
            if k == STEP:
                right.append(actual > 1.008)
                briers.append((0.6 - (actual > 1.008)) ** 2)
    known = PriceSeries.from_bars(above)
    live = live_of(ledger, known)
    assert (live.forecasts, live.matured, live.steps, live.directions) == (4, 3, 34, 3)
    assert live.skill == pytest.approx(1 - sum(errors) / sum(naive))
    assert live.coverage_80 == pytest.approx(inside / 34)
    assert live.direction_accuracy == live.base_rate == pytest.approx(np.mean(right))
    assert live.brier == pytest.approx(np.mean(briers))
    scored = scored_steps(ledger.counting("IBM", NEW_YORK), known)
    assert scored["reached"].to_numpy() == pytest.approx(reached)


def test_a_split_after_the_forecast_changes_no_score(ledger):
    for at in (10, 30):
        ledger.publish(entry(at))
    before, after = (live_of(ledger, series(100, scale)).metrics() for scale in (1, 1 / 7))
    assert after == pytest.approx(before)


@pytest.mark.parametrize(("traded", "across"), [(1.0, {day(41): 6}), (80.0, {})])
def test_steps_across_a_change_of_units_are_not_scored(ledger, traded, across):
    for at in (10, 36, 41, 70):
        ledger.publish(entry(at))
    fell, changed = bars(100), pd.Timestamp(day(41))
    fell.loc[changed:, PRICES] /= 10
    fell.loc[changed, "volume"] *= traded  # where it is high, more money changed hands too: a crash
    now = PriceSeries.from_bars(fell)
    counting = ledger.counting("IBM", NEW_YORK)
    for known in (now, now.until(47)):  # the last step that crosses it is due on session 46
        assert ledger_scores.steps_across(counting, known) == across
    assert ledger_scores.steps_across(counting[counting["session"] > changed], now) == {}
    assert live_of(ledger, now).steps == 4 * HORIZON - sum(across.values())


def test_a_session_without_a_bar_is_left_out(ledger):
    ledger.publish(entry(10))
    gappy = PriceSeries.from_bars(bars(60).drop(pd.Timestamp(day(13))))
    scored = scored_steps(ledger.counting("IBM", NEW_YORK), gappy)
    assert scored["lead"].tolist() == [1, 2, 4, 5, 6, 7, 8, 9, 10]
    assert live_of(ledger, gappy).matured == 1


def test_a_night_caught_up_later_is_scored_separately_and_counts_in_no_live_figure(ledger):
    ledger.publish(entry(10, key="a" * 64, hours_later=24 * 9))
    ledger.publish(entry(10, key="b" * 64, hours_later=24 * 10))
    ledger.publish(entry(11, hours_later=6))
    ledger.publish(entry(31, hours_later=16))
    counting = ledger.counting("IBM", NEW_YORK)
    keys = {entry(11).key: "live", entry(31).key: "late", "b" * 64: "backfilled"}
    assert dict(zip(counting["key"], counting["timing"], strict=True)) == keys
    found = ledger.record("IBM", series(60), NEW_YORK)
    assert all((each.forecasts, each.steps) == (1, HORIZON) for each in found.values())
    alone = Ledger(ledger.folder / "alone")
    alone.publish(entry(11, hours_later=6))
    assert found["live"] == replace(live_of(alone, series(60)), late=2)
    [only] = entries_of("IBM", counting[counting["timing"] == "live"])
    assert only.key == entry(11).key


def test_a_night_being_caught_up_counts_no_forecast_of_a_later_session(ledger):
    for at in (20, 60, 40):
        ledger.publish(entry(at, hours_later=72.0 * (at == 40)))
    assert ledger.counting("IBM", NEW_YORK)["session"].is_monotonic_increasing
    # of its own session, of an earlier one, and of all
    for until, expected in ((21, (1, 0, 0)), (31, (1, 0, 10)), (200, (2, 1, 20))):
        live = ledger.live("IBM", series(until), NEW_YORK)
        assert (live.forecasts, live.late, live.steps) == expected


def test_a_forecast_is_in_time_until_the_exchange_opens_on_the_day_of_its_first_step():
    """New York left summer time on November 4, 2012; it was closed on October 29, where its usual
    open counts."""
    for ticker, moment, timing in (
        ("IBM", "2012-10-29T13:29Z", "live"),
        ("IBM", "2012-10-29T13:30Z", "late"),
        ("IBM", "2012-11-05T14:29Z", "live"),
        ("IBM", "2012-11-05T14:30Z", "late"),
        ("IBM", "2012-11-06T02:45Z", "late"),
        ("IBM", "2012-11-06T03:45Z", "backfilled"),  # 22:45, when the bar is final
        ("TSCO.LON", "2012-11-05T07:59Z", "live"),
        ("TSCO.LON", "2012-11-05T08:00Z", "late"),  # noon UTC is still to come
        ("600104.SHH", "2012-11-05T01:29Z", "live"),
        ("600104.SHH", "2012-11-05T01:30Z", "late"),
    ):
        at = datetime.fromisoformat(moment)
        due = date(2012, 10, 29) if at.day == 29 else date(2012, 11, 5)
        assert timing_of(at, due, sessions_for(ticker)) == timing, (ticker, moment)


def test_of_an_evenings_forecasts_the_last_in_time_counts_and_all_are_kept_in_any_order(tmp_path):
    late, in_time, first = entry(10, "a" * 64, 24 * 9), entry(10, "b" * 64, 1), entry(10, "c" * 64)
    for number, order in enumerate(permutations((late, in_time, first))):
        ledger = Ledger(tmp_path / str(number))
        for each in order:
            ledger.publish(each)
        assert {*ledger.counting("IBM", NEW_YORK)["key"]} == {in_time.key}
        assert len(ledger.entries("IBM")) == 3


def test_nightly_forecasts_count_as_many_independent_ones_as_paths_fit_side_by_side(ledger):
    for at in range(10, 40):
        ledger.publish(entry(at, chance=0.5 if at % 8 else 0.6))
    live = live_of(ledger, series(100))
    assert live.observations("skill") == (30 * HORIZON, 3)  # 39 sessions covered, paths of 10
    # 35 covered, leads of 6
    assert live.observations("base_rate") == live.observations("brier") == (30, 5)
    assert live.observations("direction_accuracy") == (3, 3)
    assert {name: live.observations(name) for name in FIGURES}.keys() <= vars(live).keys()


STRETCHES = st.builds(
    lambda start, length: (start, start + length), st.integers(0, 20), st.integers(1, 7)
)


@given(st.lists(STRETCHES, max_size=8))
def test_no_choice_of_stretches_gives_a_higher_independent_count(stretches):
    def apart(chosen):
        return all(one[1] <= other[0] for one, other in pairwise(sorted(chosen)))

    sizes = range(len(stretches) + 1)
    best = max(n for n in sizes for chosen in combinations(stretches, n) if apart(chosen))
    assert independent_count(stretches) == best


def test_a_score_changed_by_a_restatement_is_known_both_ways_and_the_bar_is_named(ledger):
    for at in (10, 13, 40):
        ledger.publish(entry(at))
    corrected = bars(60)
    corrected.loc[pd.Timestamp(day(13)), ["high", "low"]] *= 1.02
    corrected.loc[pd.Timestamp(day(5)), "high"] *= 1.02  # no score depends on it
    now, first = PriceSeries.from_bars(corrected), series(60)
    as_traded = pd.Series(1.0, pd.DatetimeIndex([day(5), day(13)]))
    counting = ledger.counting("IBM", NEW_YORK)
    skills = [
        ledger.record("IBM", each, NEW_YORK, as_traded)["live"].skill for each in (now, first)
    ]
    assert skills[0] != skills[1]
    moved = [scored_steps(counting, each, as_traded)["error"] for each in (now, first)]
    # the third step from 10, and no step from 13
    assert np.flatnonzero(np.diff(moved, axis=0)[0]).tolist() == [2]
    aside = PriceSeries.from_bars(corrected.drop(pd.Timestamp(day(13))))  # no longer believed
    scored = scored_steps(counting, aside, as_traded)
    assert {*scored["session"]} == {pd.Timestamp(day(at)) for at in (10, 40)}
    [bar] = ledger_scores.restated_bars(counting, first, now)
    assert (bar.session, bar.steps) == (day(13), 1)
    assert bar.restated == pytest.approx(bar.first_known * 1.02)
    rounded = series(60, scale=1 + 1e-12)  # as two ways of adjusting differ
    assert ledger_scores.restated_bars(counting, first, rounded) == ()


def test_the_last_value_has_no_skill_one_half_no_direction_and_a_still_price_only_finite_figures(
    ledger,
):
    ledger.publish(entry(10, slope=0.0, chance=0.5))
    live = live_of(ledger, series(60))
    assert (live.skill, live.direction_accuracy, live.brier) == (0.0, None, 0.25)
    still = PriceSeries.from_bars(bars(60).assign(**dict.fromkeys(PRICES, 50.0)))
    live = live_of(ledger, still)
    assert live.skill is None
    assert np.isfinite([*live.metrics().values()]).all()
