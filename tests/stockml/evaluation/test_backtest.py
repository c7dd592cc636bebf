"""Past nights are run as they would have been: by the night's own steps, on what was known, one
after the other."""

from dataclasses import replace
from datetime import date
from functools import cache
from pathlib import Path
from shutil import copy

import numpy as np
import pytest

from stockml.errors import InvalidFile, InvalidSetting
from stockml.evaluation.assessment import select_model
from stockml.evaluation.backtest import AS_IT_IS, CENTRED, Span, TickerBacktest, backtest
from stockml.evaluation.backtest_table import ROWS, backtest_table, markdown
from stockml.evaluation.candidates import ScoringData
from stockml.evaluation.distribution_scores import panel_diebold_mariano
from stockml.evaluation.distribution_table import row_of
from stockml.evaluation.path_scores import LAST_CLOSE, PUBLISHED
from stockml.forecasts.proper_scores import crps
from stockml.models.baselines import baseline_paths
from stockml.models.lead_grid import LEADS, moves
from stockml.models.retrain_policy import Decision
from stockml.models.ridge_regression import RIDGE
from stockml.models.ticker_network import PRETRAINED
from stockml.models.trained_model import same_forecast
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
HEADINGS = (
    "CRPS skill of the width over the regression (both symmetrised)",
    "CRPS skill of the published width over the ridge regression and the pretrained network",
    "CRPS skill of the published width over other forecasts",
    "CRPS skill of the published forecast, location included, over the centred regression",
    (
        "Coverage of the bands; interval score that the 80% band saves over the regression "
        "(neither symmetrised)"
    ),
    "Skill of the path over the last close (1 - MSE / MSE), in log price",
)
SPAN = Span(SERIES.sessions[FIRST].item(), SERIES.sessions[LAST].item())


@cache
def found() -> TickerBacktest:
    return backtest("ABC", SERIES, SPAN, SETTINGS)


@pytest.mark.slow
def test_every_fifth_session_of_the_span_is_a_night_that_is_judged() -> None:
    assert found().origins == len(found().nights) == (LAST - FIRST) // 5 + 1
    assert found().sessions == (SPAN.first, SPAN.last)
    assert (
        found().widths[PUBLISHED].sessions.tolist()
        == SERIES.sessions[FIRST : LAST + 1 : 5].tolist()
    )


@pytest.mark.slow
def test_a_night_publishes_what_its_own_steps_give_on_the_series_as_it_stood() -> None:
    """Each night runs by itself and learns afresh; the champions' ages matter for
    `replace_after_sessions`."""
    at = np.arange(FIRST, FIRST + 210, 10)
    settings = SETTINGS.changed(
        evaluation=SETTINGS.evaluation.changed(replace_after_sessions=30), mode="retrain"
    )
    span = Span(
        SERIES.sessions[at[0]].item(), SERIES.sessions[at[-1]].item(), every=10, train_every=10
    )
    champion, promoted, pretrained, published = None, [], [], {PUBLISHED: [], RIDGE: []}
    for origin in at:
        # a copy, which has no later bars to compute anything from
        known = replace(SERIES.until(origin + 1))
        model = train_ticker(known, settings, Decision("retrain", "asked for"), start=None)
        kept = champion is not None and same_forecast(model, champion)
        split = split_after_vintages(known, settings.evaluation)
        night = select_model(
            ScoringData.of(known, split, settings.evaluation, model), model, champion, kept=kept
        )
        champion = model if night.promoted else champion
        promoted.append(night.promoted)
        pretrained.append(model.published.vintages.pretrained.through)
        for name, row in ((PUBLISHED, row_of(night.publisher)), (RIDGE, RIDGE)):
            published[name].append(night.candidates[row].tonight[0, np.array(LEADS) - 1])
    replayed = backtest("ABC", SERIES, span, settings)
    assert [night.promoted for night in replayed.nights] == promoted
    assert 1 < sum(promoted) < len(at)
    assert pretrained == [date(2001, 6, 29)] * 5 + [date(2003, 6, 30)] * 16, (
        "the newest pretrained network that ended before each night"
    )
    actual = moves(SERIES, at, np.array(LEADS))
    for name, quantiles in published.items():
        expected = crps(np.array(quantiles), actual).mean(axis=0)
        np.testing.assert_allclose(replayed.scores[name].crps_by_lead, expected, rtol=1e-6)


@pytest.mark.slow
def test_every_row_is_scored_and_skills_are_over_the_centred_regression() -> None:
    scores = found().scores
    assert {*ROWS} - {*scores} == {*found().reasons} & {*ROWS}
    assert found().widths[CENTRED].skills == pytest.approx([0.0] * 12)
    one, other = scores[PUBLISHED].crps, scores[RIDGE].crps
    assert found().over[RIDGE].skills[0] == pytest.approx(1 - one / other, abs=0.01), (
        "but for a location"
    )
    assert found().whole[AS_IT_IS].skills[0] == pytest.approx(1 - one / scores[CENTRED].crps), (
        "as a night says it"
    )
    assert found().paths[LAST_CLOSE].skills == pytest.approx([0.0] * 12)
    assert all("least 2000" in why or "least 501" in why for why in found().reasons.values()), (
        found().reasons
    )


@pytest.mark.slow
def test_every_simple_path_is_scored_in_log_price_over_the_last_close_with_its_losses() -> None:
    """These are the rows of a night's table, recomputed by loops."""
    at = np.arange(FIRST, LAST + 1, 5)
    simple = baseline_paths(SERIES.close, at, 50)
    assert list(found().paths) == [LAST_CLOSE, *simple, PUBLISHED]
    for name in simple:
        own, naive = [], []
        for origin in at.tolist():
            known = SERIES.close[: origin + 1]
            path = baseline_paths(known, np.array([origin]), 50)[name][0]
            for lead in LEADS:
                came, close = SERIES.close[origin + lead], SERIES.close[origin]
                own.append(np.log(came / path[lead - 1]) ** 2 / lead)
                naive.append(np.log(came / close) ** 2 / lead)
        assert found().paths[name].skills[0] == pytest.approx(1 - np.mean(own) / np.mean(naive)), (
            name
        )
        losses = found().paths[name]
        assert losses.sessions.tolist() == SERIES.sessions[at].tolist()
        assert losses.loss == pytest.approx(np.mean(np.reshape(own, (len(at), -1)), axis=1)), name
        assert losses.reference == pytest.approx(
            np.mean(np.reshape(naive, (len(at), -1)), axis=1)
        ), name


@pytest.mark.slow
def test_what_is_published_of_the_sessions_ahead_is_scored() -> None:
    at, outlook = (
        np.arange(FIRST, LAST + 1, 5),
        {(each.what, each.sessions): each for each, _ in found().outlook},
    )
    rose, rise = SERIES.close[at + 20] > SERIES.close[at], outlook["rise", 20]
    assert (rise.came_true, rise.constant) == pytest.approx(
        (rose.mean(), np.mean((rose - rose.mean()) ** 2))
    )
    assert len(outlook) == 15
    assert outlook["volatility", 20].network_adds is not None


@pytest.mark.slow
def test_no_later_bar_affects_a_nights_decision() -> None:
    night = 4
    other = backtest("ABC", altered_after(SERIES, FIRST + 5 * night), SPAN, SETTINGS)
    assert other.nights[: night + 1] == found().nights[: night + 1]
    assert (
        backtest("ABC", altered_after(SERIES, FIRST - 400), SPAN, SETTINGS).nights != found().nights
    )
    assert other.scores[PUBLISHED].crps != found().scores[PUBLISHED].crps


@pytest.mark.slow
def test_bars_after_the_last_outcome_change_nothing() -> None:
    assert (
        backtest("ABC", altered_after(SERIES, LAST + 50), SPAN, SETTINGS).scores == found().scores
    )


@pytest.mark.parametrize(
    "span", [Span(date(2003, 1, 1), date(2003, 3, 1)), replace(SPAN, every=20)]
)
def test_a_span_of_fewer_than_twenty_nights_is_refused(span: Span) -> None:
    with pytest.raises(
        InvalidSetting, match=f"the last of 20 nights to be later, .* found '{span.last}'"
    ):
        backtest("ABC", SERIES, span, SETTINGS)


@pytest.mark.slow
def test_a_damaged_vintage_is_named_whether_or_not_older_ones_are_left(tmp_path: Path) -> None:
    for path in SHIPPED.glob("*-200[13]-06.*"):
        copy(path, tmp_path)
    damaged = tmp_path / "network-2003-06.npz"
    damaged.write_bytes(b"no pretrained network")
    table = backtest_table([backtest("ABC", SERIES, SPAN, SETTINGS, (tmp_path,))], {})
    assert table.missing[PRETRAINED].startswith(
        f"1 of 1 ticker (ABC): {damaged}: expected a pretrained"
    )
    (tmp_path / "network-2001-06.npz").unlink()
    damaged.rename(renamed := tmp_path / "network-2001-06.npz")
    with pytest.raises(InvalidFile, match=f"{renamed}: expected a pretrained"):
        backtest("ABC", SERIES, SPAN, SETTINGS, (tmp_path,))


@pytest.mark.slow
def test_nights_are_scored_up_to_the_last_known_outcome_but_not_where_a_long_hole_divides_them() -> (
    None
):
    asked = SETTINGS.evaluation.changed(horizon=60, direction_step=60, test_sessions=100)
    halted = replace(SERIES, sessions=SERIES.sessions + np.where(np.arange(1_400) < 1_000, 0, 365))
    found = backtest(
        "ABC",
        halted,
        replace(SPAN, last=date(2006, 1, 1), every=16),
        SETTINGS.changed(evaluation=asked),
    )
    # from 1059 on, it divides all to be scored
    at = [
        *range(860, 940, 16),
        1_036,
        1_052,
        *range(1_100, 1_340, 16),
    ]
    assert found.widths[PUBLISHED].sessions.tolist() == halted.sessions[at].tolist()


@pytest.mark.slow
def test_a_table_is_the_mean_over_tickers_and_names_those_left_out() -> None:
    adds = found().over[RIDGE]
    none = replace(adds, skills=(float("nan"),) * 12)
    still = replace(found(), ticker="STILL", widths={**found().widths, PUBLISHED: none})
    more = replace(adds, skills=tuple(each + 0.02 for each in adds.skills))
    better = replace(found(), ticker="DEF", over={**found().over, RIDGE: more})
    table = backtest_table([found(), still, better], {"NEW": "expected more bars"})
    assert (table.tickers, table.left_out.keys()) == (2, {"NEW", "STILL"})
    assert table.adds[0].mean == pytest.approx(100 * adds.skills[0] + 1)
    for line in table.over:
        ours, other = (found().scores[name] for name in (PUBLISHED, line.row.removeprefix("over ")))
        assert line.mean == pytest.approx(100 * (1 - ours.crps / other.crps), abs=1.0), (
            "but for their locations"
        )
    rows = {line.row: line for line in table.distributions}
    assert rows[PRETRAINED].mean == pytest.approx(100 * found().widths[PRETRAINED].skills[0])
    leads = {
        str(lead): 100 * found().widths[PRETRAINED].skills[1 + LEADS.index(lead)]
        for lead in (1, 5, 10, 20, 50)
    }
    assert rows[PRETRAINED].by_lead == pytest.approx(leads)
    assert rows[PUBLISHED].coverage_80 == pytest.approx(
        100 * found().scores[PUBLISHED].coverage["80"]
    )
    held = {level: 100 * share for level, share in found().scores[PUBLISHED].coverage.items()}
    assert rows[PUBLISHED].coverage == pytest.approx(held)
    own, simple = (found().scores[name].interval_scores["80"] for name in (PUBLISHED, CENTRED))
    assert rows[PUBLISHED].interval_score == pytest.approx(100 * (1 - own / simple))
    assert [each.score for each in table.outlook] == pytest.approx(
        [each.score for each, _ in found().outlook]
    )
    of_paths = {line.row: line for line in table.paths}
    assert list(of_paths) == [
        *baseline_paths(SERIES.close, np.array([0]), 1),
        PUBLISHED,
    ]
    for name, line in of_paths.items():
        expected = panel_diebold_mariano([found().paths[name]] * 2)
        assert line.p_value == (expected.p_value if expected else None), name
    said = "\n".join(markdown(table))
    assert f"| {' '.join(f'{share:.1f}' for share in held.values())} |" in said
    rise, _ = found().outlook[1]
    assert (
        f"| {rise.said:.1%} | {rise.came_true:.1%} | {rise.score:.4f} | {rise.constant:.4f} |"
        in said
    )
    for told in (
        "; {training used} used",
        "({training, mean skill:+.3f}% of CRPS",
        ", {promoted} promoted a",
    ):
        assert told.format(**table.trained) in said
    assert "Left out: NEW, expected more bars." in said
    assert all(row in said for row in (PRETRAINED, PUBLISHED, "network adds"))
    assert all(f"\n{heading}\n\n|" in said for heading in HEADINGS)
