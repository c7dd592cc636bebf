"""Past nights are run as they would have been: by the night's own steps, on what was known, one
after the other."""

import tracemalloc
from dataclasses import replace
from datetime import date
from functools import cache
from shutil import copy

import numpy as np
import pytest

from stockml.errors import InvalidFile, InvalidSetting, LooksAhead, TooFewBars
from stockml.evaluation.assessment import select_model
from stockml.evaluation.backtest import AS_IT_IS, Span, backtest
from stockml.evaluation.backtest_table import backtest_table
from stockml.evaluation.candidates import ScoringData
from stockml.evaluation.distribution_scores import row_of
from stockml.evaluation.path_scores import LAST_CLOSE, PUBLISHED
from stockml.forecasts.proper_scores import crps
from stockml.models.regressions import LEADS, REGRESSION, RIDGE, baseline_paths, moves
from stockml.models.trained_model import PRETRAINED, Decision, same_forecast
from stockml.models.vintage_set import VintageSet
from stockml.models.vintage_store import SHIPPED
from stockml.settings import EvaluationSettings, Settings, TrainingSettings
from stockml.training.ticker_training import split_after_vintages, train_ticker
from tests.support.walks import altered_after, walk

SETTINGS = Settings(
    evaluation=EvaluationSettings(test_sessions=200, validation_sessions=200),
    training=TrainingSettings(steps=2),
)
# from 2001-01-01, a session a day; a vintage ends on 2001-06-29 and on 2003-06-30
SERIES = walk(1_400, seed=6)
FIRST, LAST = 860, 960
AT = np.arange(FIRST, LAST + 1, 5)
SPAN = Span(SERIES.sessions[FIRST].item(), SERIES.sessions[LAST].item())


@cache
def found():
    return backtest("ABC", SERIES, SPAN, SETTINGS)


def check_scores(scored, at, rows):
    """The CRPS is that of these quantiles after the origins `at`."""
    actual = moves(SERIES, at, np.array(LEADS))
    for name, quantiles in rows.items():
        expected = crps(np.array(quantiles), actual).mean(axis=0)
        np.testing.assert_allclose(scored.scores[name].crps_by_lead, expected, rtol=1e-6)


@pytest.mark.slow
def test_every_fifth_session_of_the_span_is_a_night_beside_the_newest_vintages_before_it():
    assert found().origins == len(found().nights) == len(AT)
    assert found().sessions == (SPAN.first, SPAN.last)
    assert found().widths[PUBLISHED].sessions.tolist() == SERIES.sessions[AT].tolist()
    rows = {REGRESSION: [], PRETRAINED: []}
    for day, at in zip(SERIES.sessions[AT].tolist(), AT[:, None], strict=True):
        newest = VintageSet.ending_before(day)
        rows[REGRESSION] += [*newest.regression.quantiles(SERIES, at, np.array(LEADS))]
        rows[PRETRAINED] += [*newest.network_quantiles(SERIES, at, np.array(LEADS))]
    check_scores(found(), AT, rows)


@pytest.mark.slow
def test_a_night_publishes_what_its_own_steps_give_on_the_series_as_it_stood():
    """Each night runs by itself and learns afresh; the champions' ages matter for
    `replace_after_sessions`."""
    at = np.arange(FIRST, FIRST + 210, 10)
    evaluation = SETTINGS.evaluation.changed(replace_after_sessions=30)
    settings = SETTINGS.changed(evaluation=evaluation, mode="retrain")
    span = Span(*SERIES.sessions[at[[0, -1]]].tolist(), every=10, train_every=10)
    champion, promoted, pretrained, published = None, [], set(), {PUBLISHED: [], RIDGE: []}
    for origin in at:
        # a copy, which has no later bars to compute anything from
        known = replace(SERIES.until(origin + 1))
        model = train_ticker(known, settings, Decision("retrain", "asked for"), start=None)
        kept = champion is not None and same_forecast(model, champion)
        split = split_after_vintages(known, evaluation)
        unseen = ScoringData.of(known, split, evaluation, model)
        night = select_model(unseen, model, champion, kept=kept)
        champion = model if night.promoted else champion
        promoted.append(night.promoted)
        pretrained.add(model.published.vintages.pretrained.through)
        for name, row in ((PUBLISHED, row_of(night.publisher)), (RIDGE, RIDGE)):
            published[name].append(night.candidates[row].tonight[0, np.array(LEADS) - 1])
    replayed = backtest("ABC", SERIES, span, settings)
    assert [night.promoted for night in replayed.nights] == promoted
    assert 1 < sum(promoted) < len(at)
    assert pretrained == {date(2001, 6, 29), date(2003, 6, 30)}
    check_scores(replayed, at, published)


@pytest.mark.slow
def test_skills_are_over_the_regression_and_over_each_row():
    crps_of = {name: each.crps for name, each in found().scores.items()}
    assert [*crps_of] == [REGRESSION, PRETRAINED, RIDGE, PUBLISHED]
    assert found().widths[REGRESSION].skills == pytest.approx([0.0] * 12)
    for name in (RIDGE, PRETRAINED):  # but for a location
        expected = 1 - crps_of[PUBLISHED] / crps_of[name]
        assert found().over[name].skills[0] == pytest.approx(expected, abs=0.01), name
    as_it_is = found().whole[AS_IT_IS].skills[0]
    assert as_it_is == pytest.approx(1 - crps_of[PUBLISHED] / crps_of[REGRESSION])
    [rise] = (each for each, _ in found().outlook if (each.what, each.sessions) == ("rise", 20))
    assert rise.came_true == pytest.approx((SERIES.close[AT + 20] > SERIES.close[AT]).mean())


@pytest.mark.slow
def test_every_simple_path_is_scored_in_log_price_over_the_last_close_with_its_losses():
    """These are the rows of a night's table."""
    leads, simple = np.array(LEADS), baseline_paths(SERIES.close, AT, 50)
    came, close = SERIES.close[AT[:, None] + leads], SERIES.close[AT, None]
    naive = np.log(came / close) ** 2 / leads
    assert list(found().paths) == [LAST_CLOSE, *simple, PUBLISHED]
    for name, path in simple.items():
        own = np.log(came / path[:, leads - 1]) ** 2 / leads
        losses, by_lead = found().paths[name], 1 - own.mean(axis=0) / naive.mean(axis=0)
        assert losses.skills == pytest.approx((1 - own.mean() / naive.mean(), *by_lead)), name
        assert losses.loss == pytest.approx(own.mean(axis=1)), name
        assert losses.reference == pytest.approx(naive.mean(axis=1)), name


@pytest.mark.slow
def test_no_later_bar_affects_a_nights_decision():
    night = 4
    other = backtest("ABC", altered_after(SERIES, FIRST + 5 * night), SPAN, SETTINGS)
    assert other.nights[: night + 1] == found().nights[: night + 1]
    earlier = backtest("ABC", altered_after(SERIES, FIRST - 400), SPAN, SETTINGS)
    assert earlier.nights != found().nights
    assert other.scores[PUBLISHED].crps != found().scores[PUBLISHED].crps


@pytest.mark.slow
def test_inputs_that_do_not_come_from_the_bars_as_they_stood_are_refused():
    series = replace(SERIES)
    object.__setattr__(series, "_full", walk(1_400, seed=7))
    with pytest.raises(LooksAhead, match="the forecast of LSTM after the close of"):
        backtest("ABC", series, SPAN, SETTINGS)


def test_fewer_than_twenty_nights_are_refused():
    for sessions, span, refusal, says in (
        (1_400, Span(date(2003, 1, 1), date(2003, 3, 1)), InvalidSetting, "2003-03-01, 12 nights"),
        (1_400, replace(SPAN, every=20), InvalidSetting, f"to {SERIES.sessions[1_349]}, where"),
        (60, SPAN, TooFewBars, "at least 160 sessions for 20 nights .*found 60"),
    ):
        with pytest.raises(refusal, match=says):
            backtest("ABC", SERIES.until(sessions), span, SETTINGS)


def test_a_horizon_shorter_than_the_longest_lead_is_refused():
    shorter = SETTINGS.changed(evaluation=SETTINGS.evaluation.changed(horizon=49))
    with pytest.raises(InvalidSetting, match="at least 50"):
        backtest("ABC", SERIES, SPAN, shorter)


@pytest.mark.slow
def test_a_damaged_vintage_is_named_whether_or_not_older_ones_are_left(tmp_path):
    for path in SHIPPED.glob("*-200[13]-06.*"):
        copy(path, tmp_path)
    damaged = tmp_path / "network-2003-06.npz"
    damaged.write_bytes(b"no pretrained network")
    table = backtest_table([backtest("ABC", SERIES, SPAN, SETTINGS, (tmp_path,))], {})
    says = f"1 of 1 ticker (ABC): {damaged}: expected a pretrained"
    assert table.missing[PRETRAINED].startswith(says)
    (tmp_path / "network-2001-06.npz").unlink()
    damaged.rename(renamed := tmp_path / "network-2001-06.npz")
    with pytest.raises(InvalidFile, match=f"{renamed}: expected a pretrained"):
        backtest("ABC", SERIES, SPAN, SETTINGS, (tmp_path,))


@pytest.mark.slow
def test_nights_are_scored_up_to_the_last_known_outcome_but_not_where_a_long_hole_divides_them():
    asked = SETTINGS.evaluation.changed(horizon=60, direction_step=60, test_sessions=100)
    halted = replace(SERIES, sessions=SERIES.sessions + np.where(np.arange(1_400) < 1_000, 0, 365))
    span = replace(SPAN, last=date(2006, 1, 1), every=16)
    found = backtest("ABC", halted, span, SETTINGS.changed(evaluation=asked))
    # from 1059 on, it divides all to be scored
    at = [*range(860, 940, 16), 1_036, 1_052, *range(1_100, 1_340, 16)]
    assert found.widths[PUBLISHED].sessions.tolist() == halted.sessions[at].tolist()


@pytest.mark.campaign
@pytest.mark.slow
def test_a_night_that_is_over_keeps_only_its_forecast():
    """That is 17 kB of two forecasts; those from its past origins, in the same arrays, are 550
    kB."""
    days = SERIES.sessions[[FIRST, FIRST + 19, FIRST + 29]].tolist()
    backtest("ABC", SERIES, Span(*days[:2], every=1), SETTINGS)  # reads what is then cached
    tracemalloc.start()
    backtest("ABC", SERIES, Span(*days[::2], every=1), SETTINGS)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6
