"""Published forecasts are scored from the bars, whatever has happened to the bars since."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from stockml.forecasts import ledger_scores
from stockml.forecasts.ledger import Ledger, entries_of
from stockml.forecasts.ledger_scores import (
    FIGURES,
    RealisedScores,
    independent_count,
    scored_steps,
    timing_of,
)
from stockml.prices.calendar import sessions_for
from stockml.prices.series import PriceSeries
from tests.support.forecasts import HORIZON, MID, STEP, bars, day, entry, series

NEW_YORK = sessions_for("IBM")


def live_of(ledger: Ledger, known: PriceSeries) -> RealisedScores:
    return ledger.record("IBM", known, NEW_YORK)["live"]


def test_steps_are_scored_as_they_come_due(ledger: Ledger) -> None:
    ledger.publish(entry(10))
    for newest, due in ((10, 0), (11, 1), (15, 5), (20, 10), (60, 10)):
        scored = scored_steps(ledger.counting("IBM", NEW_YORK), series(newest + 1))
        assert len(scored) == due
        assert live_of(ledger, series(newest + 1)).matured == (1 if due == HORIZON else 0)


def test_scores_equal_those_of_a_naive_loop(ledger: Ledger) -> None:
    origins = (10, 23, 29, 95)  # of two, prices leave the band: below, and above
    for at in origins:
        ledger.publish(entry(at, slope=0.001, chance=0.6))
    errors, naive, inside, right, briers = [], [], 0, [], []
    for at in origins:
        for k in range(1, HORIZON + 1):
            if at + k >= 100:
                continue
            actual = MID[at + k] / MID[at]
            errors.append((1 + 0.001 * k - actual) ** 2)
            naive.append((1 - actual) ** 2)
            inside += abs(actual / (1 + 0.001 * k) - 1) <= 0.02 * k**0.5
            if k == STEP:
                right.append(actual > 1)
                briers.append((0.6 - (actual > 1)) ** 2)
    live = live_of(ledger, series(100))
    assert (live.forecasts, live.matured, live.steps, live.directions) == (4, 3, 34, 3)
    assert live.skill == pytest.approx(1 - sum(errors) / sum(naive))
    assert live.coverage_80 == pytest.approx(inside / 34)
    assert live.direction_accuracy == pytest.approx(np.mean(right))
    assert live.brier == pytest.approx(np.mean(briers))


def test_skill_and_rises_are_measured_from_the_last_close(ledger: Ledger) -> None:
    """As on the test part: a session's mid price is an older price than its close."""
    origins = (10, 30, 50)
    for at in origins:
        ledger.publish(entry(at, slope=0.002, chance=0.6))
    above = bars(100)
    above["close"] = above["close"] * 1.008
    errors, naive, rose = [], [], []
    for at in origins:
        actual = MID[at + 1 : at + 1 + HORIZON] / MID[at]
        errors.append((1 + 0.002 * np.arange(1, HORIZON + 1) - actual) ** 2)
        naive.append((1.008 - actual) ** 2)
        rose.append(actual[STEP - 1] > 1.008)
    live = live_of(ledger, PriceSeries.from_bars(above))
    assert live.skill == pytest.approx(1 - np.sum(errors) / np.sum(naive))
    assert live.base_rate == pytest.approx(np.mean(rose))
    assert live.brier == pytest.approx(np.mean((0.6 - np.array(rose)) ** 2))
    assert live.skill != pytest.approx(live_of(ledger, series(100)).skill)
    scored = scored_steps(ledger.counting("IBM", NEW_YORK), PriceSeries.from_bars(above))
    assert scored["reached"].to_numpy() == pytest.approx(
        MID[np.add.outer(origins, range(1, HORIZON + 1)).ravel()]
    )


def test_a_split_after_the_forecast_changes_no_score(ledger: Ledger) -> None:
    for at in (10, 30):
        ledger.publish(entry(at))
    before, after = (
        live_of(ledger, series(100)),
        live_of(ledger, series(100, scale=1 / 7)),
    )
    assert before.steps == after.steps
    assert list(after.metrics().values()) == pytest.approx(list(before.metrics().values()))


@pytest.mark.parametrize(("traded", "across"), [(1.0, {day(41): 6}), (80.0, {})])
def test_steps_across_a_change_of_units_are_not_scored(
    ledger: Ledger, traded: float, across: dict[date, int]
) -> None:
    for at in (10, 36, 41, 70):
        ledger.publish(entry(at))
    fell = bars(100)
    fell.loc[pd.Timestamp(day(41)) :, ["open", "high", "low", "close"]] /= 10
    fell.loc[pd.Timestamp(day(41)), "volume"] *= (
        traded  # where this is high, more money changed hands too: a crash
    )
    now = PriceSeries.from_bars(fell)
    counting = ledger.counting("IBM", NEW_YORK)
    for known in (now, now.until(47)):  # the last step that crosses it is due on session 46
        assert ledger_scores.steps_across(counting, known) == across
    assert (
        ledger_scores.steps_across(counting[counting["session"] > pd.Timestamp(day(41))], now) == {}
    )
    assert live_of(ledger, now).steps == 4 * HORIZON - sum(across.values())


def test_a_session_without_a_bar_is_left_out(ledger: Ledger) -> None:
    ledger.publish(entry(10))
    gappy = PriceSeries.from_bars(bars(60).drop(pd.Timestamp(day(13))))
    scored = scored_steps(ledger.counting("IBM", NEW_YORK), gappy)
    assert scored["lead"].tolist() == [1, 2, 4, 5, 6, 7, 8, 9, 10]
    assert live_of(ledger, gappy).matured == 1


def test_a_night_caught_up_later_is_scored_separately_and_counts_in_no_live_figure(
    ledger: Ledger,
) -> None:
    ledger.publish(entry(10, key="a" * 64, hours_later=24 * 9))
    ledger.publish(entry(10, key="b" * 64, hours_later=24 * 10))
    ledger.publish(entry(11, hours_later=6))
    ledger.publish(entry(31, hours_later=16))
    assert set(ledger.counting("IBM", NEW_YORK)["key"]) == {"b" * 64, entry(11).key, entry(31).key}
    live = live_of(ledger, series(60))
    assert (live.forecasts, live.steps, live.late) == (1, HORIZON, 2)
    alone = Ledger(ledger.folder / "alone")
    alone.publish(entry(11, hours_later=6))
    assert replace(live, late=0) == live_of(alone, series(60))
    found = ledger.record("IBM", series(60), NEW_YORK)
    for timing in ("late", "backfilled"):
        assert (found[timing].forecasts, found[timing].steps) == (1, HORIZON)
    counting = ledger.counting("IBM", NEW_YORK)
    assert [each.key for each in entries_of("IBM", counting[counting["timing"] == "live"])] == [
        entry(11).key
    ]


MONDAY = next(at for at in range(10, 20) if day(at).weekday() == 0)


def test_a_night_being_caught_up_counts_no_forecast_of_a_later_session(ledger: Ledger) -> None:
    for at in (20, 60, 40):
        ledger.publish(entry(at, hours_later=72.0 * (at == 40)))
    assert ledger.counting("IBM", NEW_YORK)["session"].is_monotonic_increasing, (
        "in whatever order they were published"
    )
    then = ledger.live("IBM", series(31), NEW_YORK)
    assert (then.forecasts, then.late, then.steps) == (1, 0, 10)
    assert ledger.live("IBM", series(21), NEW_YORK).forecasts == 1, (
        "the forecast of its own session counts"
    )
    today = ledger.live("IBM", series(), NEW_YORK)
    assert (today.forecasts, today.late) == (2, 1)


@pytest.mark.parametrize(
    ("ticker", "hours_later", "timing"),
    [
        ("IBM", 13.9, "live"),  # 9:24 in New York: noon UTC is long past
        ("IBM", 14.0, "late"),  # 9:30
        ("IBM", 27.25, "backfilled"),  # 22:45, when the bar is final
        ("TSCO.LON", 7.4, "live"),
        ("TSCO.LON", 7.5, "late"),  # 8:00 in London: noon UTC is still to come
        ("600104.SHH", 2.0, "late"),  # 9:30 in Shanghai
    ],
)
def test_a_forecast_is_in_time_until_the_exchange_opens_on_the_day_of_its_first_step(
    ledger: Ledger, ticker: str, hours_later: float, timing: str
) -> None:
    published = replace(entry(MONDAY, hours_later=hours_later), ticker=ticker)
    ledger.publish(published)
    sessions = sessions_for(ticker)
    assert set(ledger.counting(ticker, sessions)["timing"]) == {timing}
    assert published.timing(sessions) == timing
    live = ledger.record(ticker, series(60), sessions)["live"]
    assert (live.forecasts, live.late) == ((1, 0) if timing == "live" else (0, 1))


@pytest.mark.parametrize(
    ("session", "first", "opens"),
    [("2012-11-02", "2012-11-05", 14.5), ("2012-10-26", "2012-10-29", 13.5)],
)
def test_the_open_follows_the_clock_of_the_exchange(session: str, first: str, opens: float) -> None:
    """New York left summer time on November 4, 2012; it was closed on October 29, where its usual
    open counts."""
    for minutes, timing in ((-1, "live"), (0, "late")):
        at = datetime.fromisoformat(first).replace(tzinfo=UTC) + timedelta(
            hours=opens, minutes=minutes
        )
        assert timing_of(at, date.fromisoformat(first), NEW_YORK) == timing, session


def test_of_an_evenings_forecasts_the_last_in_time_counts_and_all_are_kept_in_any_order(
    tmp_path: Path,
) -> None:
    late, in_time, first = entry(10, "a" * 64, 24 * 9), entry(10, "b" * 64, 1), entry(10, "c" * 64)
    for order in ((late, in_time, first), (first, late, in_time), (in_time, first, late)):
        ledger = Ledger(tmp_path / "".join(each.key[0] for each in order))
        for each in order:
            ledger.publish(each)
        assert set(ledger.counting("IBM", NEW_YORK)["key"]) == {in_time.key}
        live = live_of(ledger, series(60))
        assert (live.forecasts, live.late, len(ledger.entries("IBM"))) == (1, 0, 3)


def test_nightly_forecasts_count_as_many_independent_ones_as_paths_fit_side_by_side(
    ledger: Ledger,
) -> None:
    for at in range(10, 40):
        ledger.publish(entry(at, chance=0.5 if at % 8 else 0.6))
    live = live_of(ledger, series(100))
    assert live.observations("skill") == (30 * HORIZON, 3)  # 39 sessions covered, paths of 10
    # 35 covered, leads of 6
    assert live.observations("base_rate") == live.observations("brier") == (30, 5)
    assert live.observations("direction_accuracy") == (3, 3)
    assert {name: live.observations(name) for name in FIGURES}.keys() <= vars(live).keys()


@pytest.mark.parametrize("seed", range(20))
def test_no_choice_of_stretches_gives_a_higher_independent_count(seed: int) -> None:
    random = np.random.default_rng(seed)
    starts = random.integers(0, 20, 9)
    stretches = list(
        zip(starts.tolist(), (starts + random.integers(1, 8, 9)).tolist(), strict=True)
    )

    def apart(chosen: tuple[tuple[int, int], ...]) -> bool:
        return all(
            one[1] <= other[0] or other[1] <= one[0] for one, other in combinations(chosen, 2)
        )

    best = max(n for n in range(10) for chosen in combinations(stretches, n) if apart(chosen))
    assert independent_count(stretches) == best


def test_a_score_changed_by_a_restatement_is_known_both_ways_and_the_bar_is_named(
    ledger: Ledger,
) -> None:
    for at in (10, 13, 40):
        ledger.publish(entry(at))
    corrected = bars(60)
    corrected.loc[pd.Timestamp(day(13)), ["high", "low"]] *= 1.02
    corrected.loc[pd.Timestamp(day(5)), "high"] *= 1.02  # no score depends on it
    now, first = PriceSeries.from_bars(corrected), series(60)
    as_traded = pd.Series(1.0, pd.DatetimeIndex([day(5), day(13)]))
    today, first_known = (
        ledger.record("IBM", each, NEW_YORK, as_traded)["live"] for each in (now, first)
    )
    assert today.skill != first_known.skill
    counting = ledger.counting("IBM", NEW_YORK)
    moved = [scored_steps(counting, each, as_traded)["error"] for each in (now, first)]
    assert np.flatnonzero(np.diff(moved, axis=0)[0]).tolist() == [2], (
        "the third step from 10, and no step from 13"
    )
    aside = PriceSeries.from_bars(corrected.drop(pd.Timestamp(day(13))))  # no longer believed
    assert set(scored_steps(counting, aside, as_traded)["session"]) == {
        pd.Timestamp(day(at)) for at in (10, 40)
    }
    [bar] = ledger_scores.restated_bars(counting, first, now)
    assert (bar.session, bar.steps) == (day(13), 1)
    assert bar.restated == pytest.approx(bar.first_known * 1.02)
    assert ledger_scores.restated_bars(counting, first, series(60)) == ()
    rounded = PriceSeries.from_bars(bars(60, scale=1 + 1e-12))
    assert ledger_scores.restated_bars(counting, first, rounded) == (), (
        "two ways of adjusting differ by rounding only"
    )


def test_the_last_value_has_no_skill_and_a_chance_of_one_half_is_no_direction(
    ledger: Ledger,
) -> None:
    ledger.publish(entry(10, slope=0.0, chance=0.5))
    live = live_of(ledger, series(60))
    assert live.skill == 0.0
    assert live.direction_accuracy is None
    assert live.brier == 0.25


def test_every_figure_is_finite_even_when_the_price_never_moved(ledger: Ledger) -> None:
    ledger.publish(entry(10))
    still = bars(60)
    still.loc[:, ["open", "high", "low", "close"]] = 50.0
    live = live_of(ledger, PriceSeries.from_bars(still))
    assert live.skill is None
    assert np.isfinite(list(live.metrics().values())).all()
