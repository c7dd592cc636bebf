"""A table of many backtests: every figure is recomputed by a loop over tickers that have nothing in
common."""

from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from stockml.evaluation.backtest import (
    AS_IT_IS,
    LOCATION,
    WITH_LOCATION,
    BacktestNight,
    TickerBacktest,
)
from stockml.evaluation.backtest_table import BacktestRow, backtest_table, markdown
from stockml.evaluation.distribution_scores import (
    DistributionScore,
    PairedLosses,
    panel_diebold_mariano,
)
from stockml.evaluation.outlook_scores import OutlookScore
from stockml.evaluation.path_scores import LAST_CLOSE, PUBLISHED
from stockml.models.regressions import LEADS, REGRESSION, RIDGE
from stockml.models.trained_model import PRETRAINED

WIDTHS = (REGRESSION, RIDGE, PRETRAINED, PUBLISHED)
DAYS = np.arange("2004-01-05", "2005-01-05", 10, dtype="datetime64[D]")


def ticker(name, seed, outlook, *nights):
    random = np.random.default_rng(seed)

    def gains(*rows):
        return {
            row: PairedLosses(
                DAYS, *1 + random.random((2, len(DAYS))), tuple(random.normal(0, 0.1, 12))
            )
            for row in rows
        }

    held = {"50": 0.4 + seed / 100, "80": 0.8 + seed / 100, "95": 0.9 + seed / 100}
    return TickerBacktest(
        name,
        sessions=(date(2004, 1, 5 + seed), date(2005, 1, 5 + seed)),
        origins=10 + seed,
        scores=dict.fromkeys(WIDTHS, DistributionScore(len(DAYS), 0.1, (), held, {}, {})),
        widths=gains(*WIDTHS),
        over=gains(*WIDTHS),
        whole=gains(WITH_LOCATION, LOCATION, AS_IT_IS),
        paths=gains(LAST_CLOSE, "drift", PUBLISHED),
        outlook=tuple(outlook),
        nights=nights,
        reasons={},
    )


def rise(came_true, score, adds, what="rise"):
    losses = np.random.default_rng(round(1000 * score)).random((2, len(DAYS)))
    gain = None if adds is None else PairedLosses(DAYS, *losses, (adds,))
    return OutlookScore(what, 20, 0.5, came_true, score, 0.25, adds, None), gain


TUNED = BacktestNight("fine-tune", 0.03, True, "LSTM")
WITHOUT = BacktestNight("keep", None, False, RIDGE)
KEPT = BacktestNight("keep", -0.01, True, "champion")
FOUND = (
    ticker("ABC", 2, [rise(0.25, 0.2, 0.01)], TUNED, WITHOUT, WITHOUT),
    ticker("DEF", 1, [rise(0.75, 0.125, None)], TUNED, KEPT),
    ticker("GHI", 3, [rise(0.8, 0.1, -0.03), rise(0.2, 0.1, None, "fall")], WITHOUT, WITHOUT),
)
TABLE = backtest_table(FOUND, {})


def check(line, gains):
    skills = 100 * np.array([each.skills for each in gains])
    leads = {str(lead): 1 + LEADS.index(lead) for lead in (1, 5, 10, 20, 50)}
    mean, share = skills.mean(axis=0), 100 * (skills > 0).mean(axis=0)
    expected = BacktestRow(
        line.row,
        3,
        mean[0],
        without_best=np.sort(skills[:, 0])[:2].mean(),
        share=share[0],
        by_lead={lead: mean[i] for lead, i in leads.items()},
        share_by_lead={lead: share[i] for lead, i in leads.items()},
        p_value=None if line.row == REGRESSION else panel_diebold_mariano(gains).p_value,
    )
    found = replace(line, coverage=None, worst_coverage_80=None)
    for figure, value in vars(expected).items():
        assert getattr(found, figure) == pytest.approx(value), (line.row, figure)


def test_every_skill_is_the_mean_over_tickers_beside_the_share_of_them_above_zero():
    parts = (
        (TABLE.distributions, WIDTHS, [each.widths for each in FOUND]),
        (TABLE.adds, (RIDGE, PRETRAINED), [each.over for each in FOUND]),
        (TABLE.whole, (WITH_LOCATION, LOCATION, AS_IT_IS), [each.whole for each in FOUND]),
        (TABLE.paths, ("drift", PUBLISHED), [each.paths for each in FOUND]),
    )
    for lines, rows, gains in parts:
        for line, row in zip(lines, rows, strict=True):
            check(line, [each[row] for each in gains])
    assert [line.row for line in TABLE.adds] == ["network adds", "training adds"]
    for line in TABLE.distributions:
        assert line.coverage == pytest.approx({"50": 42, "80": 82, "95": 92})
        assert line.worst_coverage_80 == pytest.approx((81, 83))


def test_nights_and_outlooks_are_counted_over_all_tickers():
    assert (TABLE.first, TABLE.last, TABLE.origins) == ("2004-01-06", "2005-01-08", 36)
    line, alone = TABLE.outlook
    gained = (alone.network_adds, alone.share, alone.p_value)
    assert (alone.tickers, alone.compared, *gained) == (1, 0, None, None, None)
    test = panel_diebold_mariano([gain for each in FOUND for _, gain in each.outlook if gain])
    assert {
        "|  | mean, % | p | lead 1 | 5 | 10 | 20 | 50 |",
        "|  | mean | lead 1 | 5 | 10 | 20 | 50 |",
        "| rise, 20 sessions | 50.0% | 60.0% | 0.1417 | 0.2500 |",
        f"| rise, 20 sessions | -1.00 | {test.p_value:.3f} | 50 (of 2) |",
    } <= {*markdown(TABLE)}
    assert line.tickers == 3
    assert list(TABLE.trained.values()) == [7, 2, pytest.approx(100 * 0.05 / 7), 3, 4]


def test_tickers_that_stood_still_or_lack_a_row_are_named():
    nothing = replace(FOUND[0].widths[PUBLISHED], skills=(float("nan"),) * 12)
    still = replace(FOUND[0], ticker="STILL", widths={**FOUND[0].widths, PUBLISHED: nothing})
    widths = {row: each for row, each in FOUND[1].widths.items() if row != PRETRAINED}
    lacking = replace(FOUND[1], widths=widths, reasons={PRETRAINED: "there is none"})
    table = backtest_table([FOUND[0], still, lacking], {"NEW": "expected more bars"}, {"ABC": "?"})
    assert (table.tickers, [*table.left_out]) == (2, ["NEW", "STILL"])
    said = markdown(table)
    assert f"{PRETRAINED} †: 1 of 2 tickers (DEF): there is none." in said
    assert {"Look at the prices of ABC: ?.", "Left out: NEW, expected more bars."} <= {*said}


def test_a_mean_that_the_best_ticker_in_twenty_makes_is_said_below_its_table():
    def told(*skills):
        usual = FOUND[0].whole[WITH_LOCATION]
        gains = [replace(usual, skills=(skill, *usual.skills[1:])) for skill in skills]
        made = [replace(FOUND[0], whole={WITH_LOCATION: gain}) for gain in gains]
        said = markdown(backtest_table(made, {}))
        assert ("Percent of tickers above zero" in said) == (len(skills) > 1)
        return any(f"{WITH_LOCATION} -1.00" in line for line in said)

    assert told(0.5, *[-0.01] * 19)
    assert told(0.5, 0.4, *[-0.01] * 19)  # of 21, the best two
    assert not told(0.5, *[0.01] * 19)
    assert not told(0.5)
