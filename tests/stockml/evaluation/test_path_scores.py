"""An evaluation equals naive loops on identical origins, uses only the past, is always finite and
survives JSON."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stockml.evaluation.path_scores import (
    CHAMPION,
    LAST_CLOSE,
    LSTM,
    PUBLISHED,
    WITHOUT_NETWORK,
    Evaluation,
    evaluate,
    slug,
)
from stockml.models.baselines import baseline_paths
from stockml.settings import EvaluationSettings
from stockml.storage.records import read_record, written_record

SETTINGS = EvaluationSettings(scale_sessions=400)  # more than there are before the first origins
ORIGINS = np.arange(300, 540, 10)


def prices(n: int = 600, seed: int = 4) -> np.ndarray:
    return 50 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0.0003, 0.015, n)))


def closes(mid: np.ndarray, seed: int = 12) -> np.ndarray:
    """Where each session ended, as opposed to its mid price."""
    return mid * np.exp(np.random.default_rng(seed).normal(0, 0.03, len(mid)))


def guesses(mid: np.ndarray, origins: np.ndarray = ORIGINS, seed: int = 5) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, 0.01, (len(origins), 50))
    return mid[origins, None] * np.exp(np.cumsum(noise, axis=1))


def evaluation(mid: np.ndarray | None = None) -> Evaluation:
    mid = prices() if mid is None else mid
    paths = {LSTM: guesses(mid), CHAMPION: guesses(mid, seed=6)}
    rises = {LSTM: np.linspace(0.2, 0.8, len(ORIGINS))}
    return evaluate(mid, ORIGINS, paths, SETTINGS, rises, close=closes(mid))


@pytest.mark.parametrize("level", [1.0, 1e-3])
def test_every_figure_equals_that_of_a_naive_loop_at_any_price(level: float) -> None:
    mid = level * prices()
    found = evaluation(mid).scores[LSTM]
    paths, close = guesses(mid), closes(mid)
    scaled, naive, absolute, mase, lead_30, naive_30, right = [], [], [], [], [], [], []
    for row, origin in enumerate(ORIGINS):
        past, steps = (
            mid[max(0, origin - 399) : origin + 1],
            np.diff(mid[max(0, origin - 400) : origin + 1]),
        )
        scale, step = past.max() - past.min(), np.mean(np.abs(steps))
        for lead in range(1, 51):
            error, lazy = (
                paths[row, lead - 1] - mid[origin + lead],
                close[origin] - mid[origin + lead],
            )
            scaled.append((error / scale) ** 2)
            naive.append((lazy / scale) ** 2)
            absolute.append(error)
            mase.append(abs(error) / step)
            if lead == 30:
                lead_30.append((error / scale) ** 2)
                naive_30.append((lazy / scale) ** 2)
                right.append((paths[row, 29] > close[origin]) == (mid[origin + 30] > close[origin]))
    assert found.mse == pytest.approx(np.mean(scaled))
    assert found.half_mse == pytest.approx(np.mean(scaled) / 2)
    assert found.rmse == pytest.approx(math.sqrt(np.mean(np.square(absolute))))
    assert found.mae == pytest.approx(np.mean(np.abs(absolute)))
    assert found.mase == pytest.approx(np.mean(mase))
    assert found.skill == pytest.approx(1 - np.mean(scaled) / np.mean(naive))
    assert found.skill_by_lead["30"] == pytest.approx(1 - np.mean(lead_30) / np.mean(naive_30))
    assert list(found.skill_by_lead) == ["1", "5", "10", "30", "50"]
    assert found.mse_by_lead[29] == pytest.approx(np.mean(lead_30))
    assert found.direction.accuracy == pytest.approx(np.mean(right))


def test_direction_has_its_base_rate_and_the_brier_score_of_the_given_chance() -> None:
    mid, found = prices(), evaluation().scores[LSTM].direction
    rose = mid[ORIGINS + 30] > closes(mid)[ORIGINS]
    assert (rose != (mid[ORIGINS + 30] > mid[ORIGINS])).any()
    assert found.base_rate == pytest.approx(rose.mean())
    assert found.brier == pytest.approx(np.mean((np.linspace(0.2, 0.8, len(ORIGINS)) - rose) ** 2))


def test_every_baseline_is_scored_and_the_last_close_has_no_skill_and_no_direction() -> None:
    found = evaluation()
    assert (
        set(found.scores)
        == set(found.one_step)
        == {LSTM, CHAMPION, LAST_CLOSE, *baseline_paths(prices(), ORIGINS, 1)}
    )
    assert found.scores[LAST_CLOSE].skill == 0.0
    assert found.scores[LAST_CLOSE].direction.accuracy is None


def test_skill_is_over_the_last_close_so_that_merely_knowing_the_close_earns_none() -> None:
    """Prices go on from the close, which is newer than the tutorial's mid price."""
    steps = np.random.default_rng(4).normal(0, 0.015, (600, 2))
    # steps to a session's middle, then to its end, where the next begins
    ends = np.cumsum(steps.sum(axis=1))
    mid, close = 50 * np.exp(ends - steps[:, 1]), 50 * np.exp(ends)
    path = np.repeat(close[ORIGINS, None], 50, axis=1)
    found = evaluate(mid, ORIGINS, {LSTM: path}, SETTINGS, {}, close=close)
    assert (found.scores[LSTM].skill, found.one_step[LSTM].skill) == (0.0, 0.0)
    assert (
        evaluate(mid, ORIGINS, {LSTM: path}, SETTINGS, {}, close=mid).one_step[LSTM].skill or 0
    ) > 0.2


def test_scores_do_not_depend_on_the_currency() -> None:
    in_dollars, in_cents = evaluation(prices()), evaluation(prices() * 100)
    for name, score in in_dollars.scores.items():
        other = in_cents.scores[name]
        assert (other.mse, other.mase, other.skill) == pytest.approx(
            (score.mse, score.mase, score.skill)
        )
        assert (other.rmse or 0) / 100 == pytest.approx(score.rmse)


def test_models_are_compared_with_the_last_close_and_with_the_champion() -> None:
    found = evaluation()
    assert {(c.name, c.against) for c in found.comparisons} == {
        (LSTM, LAST_CLOSE),
        (LSTM, CHAMPION),
        (CHAMPION, LAST_CLOSE),
    }
    naive = found.comparison(LSTM, LAST_CLOSE)
    assert naive is not None
    assert naive.skill_difference == pytest.approx(found.scores[LSTM].skill)
    assert naive.interval is not None
    assert naive.interval.low <= (naive.skill_difference or 0) <= naive.interval.high
    rival, scores = found.comparison(LSTM, CHAMPION), found.scores
    assert rival is not None
    assert rival.test is not None
    more = (scores[LSTM].skill or 0) - (scores[CHAMPION].skill or 0)
    assert rival.skill_difference == pytest.approx(more)
    assert rival.interval == rival.test.around(rival.skill_difference or 0), (
        "of the difference, not of the skill"
    )


def test_network_adds_compares_the_published_path_with_the_same_without_a_network() -> None:
    mid = prices()
    with_it, without = guesses(mid), guesses(mid, seed=6)
    found = evaluate(
        mid,
        ORIGINS,
        {PUBLISHED: with_it, WITHOUT_NETWORK: without},
        SETTINGS,
        {},
        close=closes(mid),
    )
    adds = found.comparison(PUBLISHED, WITHOUT_NETWORK)
    assert adds is not None
    assert adds.test is not None
    assert adds.interval is not None
    apart = (found.scores[PUBLISHED].skill or 0) - (found.scores[WITHOUT_NETWORK].skill or 0)
    assert adds.skill_difference == pytest.approx(apart)
    assert adds.interval.low <= apart <= adds.interval.high
    same = evaluate(
        mid,
        ORIGINS,
        {PUBLISHED: without, WITHOUT_NETWORK: without},
        SETTINGS,
        {},
        close=closes(mid),
    )
    nothing = same.comparison(PUBLISHED, WITHOUT_NETWORK)
    assert nothing is not None
    assert nothing.test is not None
    assert (nothing.skill_difference, nothing.test.p_value) == (0.0, 1.0)


def test_metric_names_are_the_same_every_night() -> None:
    tonight, tomorrow = evaluation(prices(seed=4)).metrics(), evaluation(prices(seed=14)).metrics()
    assert {name: list(figures) for name, figures in tonight.items()} == {
        name: list(figures) for name, figures in tomorrow.items()
    }
    assert {
        "mse",
        "half_mse",
        "skill",
        "skill_lead_30",
        "direction_brier",
        "one_step_half_mse",
        "vs_last_close_skill_low",
        "vs_champion_dm_p_value",
    } <= set(tonight["lstm"])
    assert {"champion", "last_close", "standard_average"} <= set(tonight)
    assert slug("standard average") == "standard_average"


def test_a_price_that_never_moves_gives_no_figure_rather_than_infinity() -> None:
    mid = np.full(600, 20.0)
    found = evaluate(mid, ORIGINS, {LSTM: guesses(mid)}, SETTINGS, {}, close=mid)
    assert found.scores[LSTM].mse is None
    assert found.scores[LSTM].skill is None
    assert found.scores[LAST_CLOSE].mase is None
    assert found.comparison(LSTM, LAST_CLOSE) is not None
    assert all(
        math.isfinite(value) for figures in found.metrics().values() for value in figures.values()
    )


@given(st.integers(1, 40), st.integers(0, 10_000), st.integers(0, 400), st.booleans())
def test_every_figure_is_finite_and_all_of_them_survive_json(
    every: int, seed: int, halted: int, exact: bool
) -> None:
    mid = prices(600, seed)
    mid[:halted] = mid[0]
    origins = np.arange(300, 549, every)
    paths = mid[origins[:, None] + np.arange(1, 51)] if exact else guesses(mid, origins, seed)
    found = evaluate(mid, origins, {LSTM: paths}, SETTINGS, {}, close=mid)
    assert read_record(Evaluation, written_record(found)) == found
    assert all(
        math.isfinite(value) for figures in found.metrics().values() for value in figures.values()
    )
