"""A table of many backtests: every figure is recomputed by a loop over tickers that have nothing in
common."""

from dataclasses import replace
from datetime import date
from itertools import count

import numpy as np
import pytest

from stockml.evaluation.backtest import (
    AS_IT_IS,
    CENTRED,
    LOCATION,
    WITH_LOCATION,
    BacktestNight,
    TickerBacktest,
)
from stockml.evaluation.backtest_table import BacktestRow, BacktestTable, backtest_table, markdown
from stockml.evaluation.distribution_scores import (
    DistributionScore,
    PairedLosses,
    panel_diebold_mariano,
)
from stockml.evaluation.outlook_scores import OutlookScore, ScoredStatement, outlook_lines
from stockml.evaluation.path_scores import LAST_CLOSE, PUBLISHED
from stockml.models.har_regression import REGRESSION
from stockml.models.lead_grid import LEADS
from stockml.models.ridge_regression import RIDGE
from stockml.models.ticker_network import PRETRAINED

WIDTHS = (CENTRED, RIDGE, PRETRAINED, PUBLISHED)
DAYS = np.arange("2004-01-05", "2005-01-05", 10, dtype="datetime64[D]")


def ticker(
    name: str, seed: int, outlook: tuple[ScoredStatement, ...], *nights: BacktestNight
) -> TickerBacktest:
    random, number = np.random.default_rng(seed), count(1)

    def gain(_: str) -> PairedLosses:
        return PairedLosses(
            DAYS,
            random.random(len(DAYS)),
            1 + random.random(len(DAYS)),
            tuple(random.normal(0, 0.1, 12)),
        )

    def score(_: str) -> DistributionScore:
        held = {
            "50": 0.4 + seed / 100 + next(number) / 1000,
            "80": 0.8 + seed / 100,
            "95": 0.9 + seed / 200,
        }
        return DistributionScore(len(DAYS), 0.1, (), held, {}, {"80": float(random.random())})

    widths, over, scores, paths = (
        {row: made(row) for row in rows}
        for made, rows in (
            (gain, WIDTHS),
            (gain, WIDTHS),
            (score, WIDTHS),
            (gain, (LAST_CLOSE, "drift", PUBLISHED)),
        )
    )
    widths[CENTRED] = PairedLosses(DAYS, np.ones(len(DAYS)), np.ones(len(DAYS)), (0.0,) * 12)
    span = (date(2004, 1, 5 + seed), date(2005, 1, 5 + seed))
    whole = {row: gain(row) for row in (WITH_LOCATION, LOCATION, AS_IT_IS)}
    return TickerBacktest(
        name, span, 10 + seed, scores, widths, over, whole, paths, outlook, nights, {}
    )


def said(what: str, came_true: float, score: float, adds: float | None) -> ScoredStatement:
    losses = np.random.default_rng(round(1000 * score)).random((2, len(DAYS)))
    gain = None if adds is None else PairedLosses(DAYS, *losses, (adds,))
    return OutlookScore(what, 20, 0.5, came_true, score, 0.25, adds, None), gain


TUNED, WITHOUT = (
    BacktestNight("fine-tune", 0.03, True, "LSTM"),
    BacktestNight("keep", None, False, REGRESSION),
)
FOUND = (
    ticker(
        "ABC",
        2,
        (said("rise", 0.25, 0.2, 0.01), said("volatility", 0.3, 0.4, 0.02)),
        TUNED,
        WITHOUT,
        WITHOUT,
    ),
    ticker(
        "DEF",
        1,
        (said("rise", 0.75, 0.125, None),),
        TUNED,
        BacktestNight("keep", -0.01, True, "champion"),
    ),
    ticker("GHI", 3, (said("rise", 0.8, 0.1, -0.03),), WITHOUT, WITHOUT),
)
TABLE = backtest_table(FOUND, {})


def check(line: BacktestRow, gains: list[PairedLosses]) -> None:
    leads = {str(lead): 1 + LEADS.index(lead) for lead in (1, 5, 10, 20, 50)}
    mean, share, not_worse = (
        [100 * sum(of(each.skills[i]) for each in gains) / len(gains) for i in range(12)]
        for of in (float, lambda skill: skill > 0, lambda skill: skill >= 0)
    )
    assert (line.tickers, line.mean, line.share) == (
        3,
        pytest.approx(mean[0]),
        pytest.approx(share[0]),
    ), line.row
    worst_first = sorted(100 * each.skills[0] for each in gains)
    assert line.median == pytest.approx(worst_first[1]), line.row
    assert line.without_best == pytest.approx((worst_first[0] + worst_first[1]) / 2), line.row
    assert line.not_worse == pytest.approx(not_worse[1]), line.row
    assert line.by_lead == pytest.approx({lead: mean[i] for lead, i in leads.items()}), line.row
    assert line.share_by_lead == pytest.approx({lead: share[i] for lead, i in leads.items()}), (
        line.row
    )


def test_every_skill_is_the_mean_over_tickers_beside_the_share_of_them_above_zero() -> None:
    for line in TABLE.distributions:
        check(line, [each.widths[line.row] for each in FOUND])
    assert [line.row for line in TABLE.over] == [f"over {row}" for row in (CENTRED,)]
    for line in TABLE.over:
        check(line, [each.over[line.row.removeprefix("over ")] for each in FOUND])
    for line in TABLE.paths:
        check(line, [each.paths[line.row] for each in FOUND])
    for line, row in zip(TABLE.adds, (RIDGE, PRETRAINED), strict=True):
        check(line, [each.over[row] for each in FOUND])
    assert [line.row for line in TABLE.whole] == [WITH_LOCATION, LOCATION, AS_IT_IS]
    for line in TABLE.whole:
        check(line, [each.whole[line.row] for each in FOUND])


def test_bands_are_means_over_tickers_beside_the_lowest_and_highest_of_them() -> None:
    centred = [each.scores[CENTRED] for each in FOUND]
    for line in TABLE.distributions:
        scores = [each.scores[line.row] for each in FOUND]
        own, simple = (
            [each.interval_scores["80"] for each in found] for found in (scores, centred)
        )
        held = {
            level: 100 * sum(each.coverage[level] for each in scores) / 3
            for level in ("50", "80", "95")
        }
        assert line.interval_score == pytest.approx(
            100 * float(np.mean(1 - np.divide(own, simple)))
        )
        assert (line.coverage_80, line.coverage) == (pytest.approx(held["80"]), pytest.approx(held))
        assert line.worst_coverage_80 == pytest.approx((81, 83))


def test_nights_and_outlooks_are_counted_over_all_tickers() -> None:
    assert (TABLE.first, TABLE.last, TABLE.origins) == ("2004-01-06", "2005-01-08", 36)
    rise, volatility = TABLE.outlook
    assert (rise.what, rise.sessions, rise.tickers, volatility.tickers) == ("rise", 20, 3, 1)
    assert (rise.said, rise.came_true, rise.score, rise.constant) == pytest.approx(
        (0.5, 0.6, 0.425 / 3, 0.25)
    )
    # of the two tickers where it is known
    assert (rise.network_adds, rise.share) == pytest.approx((-1.0, 50.0))
    assert (volatility.network_adds, volatility.share) == pytest.approx((2.0, 100.0))
    test = panel_diebold_mariano(
        [gain for each in FOUND for score, gain in each.outlook if score.what == "rise" and gain]
    )
    assert test is not None
    assert rise.p_value == test.p_value
    assert "| rise, 20 sessions | 50.0% | 60.0% | 0.1417 | 0.2500 |" in markdown(TABLE)
    assert f"| rise, 20 sessions | -1.00 | {test.p_value:.3f} | 50 (of 2) |" in markdown(TABLE)
    [unknown] = outlook_lines([(said("rise", 0.5, 0.2, None),)])
    assert (unknown.network_adds, unknown.share, unknown.p_value, unknown.compared) == (
        None,
        None,
        None,
        0,
    )
    assert list(TABLE.trained.values()) == [7, 2, pytest.approx(100 * 0.05 / 7), 3, 4]


def test_a_mean_that_the_best_ticker_in_twenty_makes_is_said_below_its_table() -> None:
    def table(*skills: float) -> BacktestTable:
        made = (
            replace(FOUND[0], ticker=f"T{i}", whole={WITH_LOCATION: gain(skill)})
            for i, skill in enumerate(skills)
        )
        return backtest_table([*made], {})

    def gain(skill: float) -> PairedLosses:
        return replace(
            FOUND[0].whole[WITH_LOCATION], skills=(skill, *FOUND[0].whole[WITH_LOCATION].skills[1:])
        )

    def told(*skills: float) -> list[str]:
        return [
            line for line in markdown(table(*skills)) if "few" in line and WITH_LOCATION in line
        ]

    assert told(0.5, *[-0.01] * 19) == [
        (
            "Made by few tickers, not above zero without the best in twenty: published, location "
            "included -1.00"
        )
    ]
    assert told(0.5, *[-0.01] * 40) == told(0.5, *[-0.01] * 19), (
        "the second and third best are like the rest"
    )
    assert table(0.5, 0.4, *[-0.01] * 19).whole[0].without_best == pytest.approx(-1), (
        "two of twenty-one"
    )
    assert [told(0.5, *[0.01] * 19), told(-0.5, *[-0.01] * 19), told(0.5)] == [[]] * 3
    assert table(0.5).whole[0].without_best is None
