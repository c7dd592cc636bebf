"""An evaluation equals naive loops on identical origins, uses only the past, is always finite and
survives JSON."""

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
)
from stockml.models.regressions import baseline_paths
from stockml.settings import EvaluationSettings
from stockml.storage.receipts import read_record, written_record

SETTINGS = EvaluationSettings(scale_sessions=400)  # more than there are before the first origins
ORIGINS = np.arange(300, 540, 10)


def prices(n=600, seed=4):
    return 50 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0.0003, 0.015, n)))


def closes(mid, seed=12):
    """Where each session ended, as opposed to its mid price."""
    return mid * np.exp(np.random.default_rng(seed).normal(0, 0.03, len(mid)))


def guesses(mid, origins=ORIGINS, seed=5):
    noise = np.random.default_rng(seed).normal(0, 0.01, (len(origins), 50))
    return mid[origins, None] * np.exp(np.cumsum(noise, axis=1))


def evaluation(mid=None):
    mid = prices() if mid is None else mid
    paths = {LSTM: guesses(mid), CHAMPION: guesses(mid, seed=6)}
    rises = {LSTM: np.linspace(0.2, 0.8, len(ORIGINS))}
    return evaluate(mid, ORIGINS, paths, SETTINGS, rises, close=closes(mid))


@pytest.mark.parametrize("level", [1.0, 1e-3])
def test_every_figure_equals_that_of_a_naive_loop_at_any_price(level):
    mid = level * prices()
    evaluated, close = evaluation(mid), closes(mid)[ORIGINS]
    found, came = evaluated.scores[LSTM], mid[ORIGINS[:, None] + np.arange(1, 51)]
    error, lazy = guesses(mid) - came, close[:, None] - came
    scale = [[np.ptp(mid[max(0, origin - 399) : origin + 1])] for origin in ORIGINS]
    steps = [np.abs(np.diff(mid[max(0, origin - 400) : origin + 1])).mean() for origin in ORIGINS]
    mse, naive = (np.mean((each / np.array(scale)) ** 2, axis=0) for each in (error, lazy))
    mase = np.mean(np.abs(error).mean(axis=1) / steps)
    rose, said = came[:, 29] > close, guesses(mid)[:, 29] > close
    figures = (found.mse, found.half_mse, found.rmse, found.mae, found.mase, found.skill)
    rmse, mae, skill = np.mean(error**2) ** 0.5, np.abs(error).mean(), 1 - mse.mean() / naive.mean()
    assert figures == pytest.approx((mse.mean(), mse.mean() / 2, rmse, mae, mase, skill))
    skills = {str(lead): 1 - mse[lead - 1] / naive[lead - 1] for lead in (1, 5, 10, 30, 50)}
    assert found.skill_by_lead == pytest.approx(skills)
    assert found.mse_by_lead == pytest.approx(tuple(mse))
    first = evaluated.one_step[LSTM]
    assert (first.half_mse, first.skill) == pytest.approx((mse[0] / 2, skills["1"]))
    brier = np.mean((np.linspace(0.2, 0.8, 24) - rose) ** 2)
    direction = vars(found.direction).values()
    assert [*direction] == pytest.approx([np.mean(said == rose), rose.mean(), brier])


def test_all_are_scored_and_compared_with_the_last_close_the_champion_and_that_without_a_network():
    mid = prices()
    paths = {LSTM: guesses(mid), CHAMPION: guesses(mid, seed=6), PUBLISHED: guesses(mid, seed=7)}
    paths[WITHOUT_NETWORK] = paths[PUBLISHED]
    found = evaluate(mid, ORIGINS, paths, SETTINGS, {}, close=closes(mid))
    names = {*paths, LAST_CLOSE, *baseline_paths(mid, ORIGINS, 1)}
    assert found.scores.keys() == found.one_step.keys() == names
    assert found.scores[LAST_CLOSE].skill == 0.0
    assert found.scores[LAST_CLOSE].direction.accuracy is None
    references = (LAST_CLOSE, CHAMPION, WITHOUT_NETWORK)
    pairs = [(name, other) for name in paths for other in references if name != other]
    assert [(each.name, each.against) for each in found.comparisons] == pairs
    for each in found.comparisons:
        ours, others = (found.scores[name].skill for name in (each.name, each.against))
        assert each.skill_difference == pytest.approx(ours - others)
        assert each.interval == each.test.around(each.skill_difference)
    same = found.comparison(PUBLISHED, WITHOUT_NETWORK)
    assert (same.skill_difference, same.p_value) == (0.0, 1.0)


def test_metric_names_are_the_same_every_night():
    tonight, tomorrow = (evaluation(prices(seed=seed)).metrics() for seed in (4, 14))
    names = {name: [*figures] for name, figures in tonight.items()}
    assert names == {name: [*figures] for name, figures in tomorrow.items()}
    some = "mse skill_lead_30 direction_brier one_step_half_mse vs_champion_dm_p_value"
    assert {*some.split()} <= {*names["lstm"]}
    assert "standard_average" in names


def test_a_price_that_never_moves_gives_no_figure_rather_than_infinity():
    mid = np.full(600, 20.0)
    found = evaluate(mid, ORIGINS, {LSTM: guesses(mid)}, SETTINGS, {}, close=mid)
    assert found.scores[LSTM].mse is None
    assert found.scores[LSTM].skill is None
    assert found.scores[LAST_CLOSE].mase is None
    assert found.comparison(LSTM, LAST_CLOSE).skill_difference is None


@given(st.integers(1, 40), st.integers(0, 10_000), st.integers(0, 400), st.booleans())
def test_every_figure_is_finite_and_all_of_them_survive_json(every, seed, halted, exact):
    mid = prices(600, seed)
    mid[:halted] = mid[0]
    origins = np.arange(300, 549, every)
    paths = mid[origins[:, None] + np.arange(1, 51)] if exact else guesses(mid, origins, seed)
    found = evaluate(mid, origins, {LSTM: paths}, SETTINGS, {}, close=mid)
    assert read_record(Evaluation, written_record(found)) == found
    assert np.isfinite([each for of in found.metrics().values() for each in of.values()]).all()
