"""An evaluation is what naive loops find, on identical origins, from the past alone, finite, and survives JSON."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stockml.errors import TooFewBars
from stockml.evaluation.evaluate import CHAMPION, LSTM, evaluate
from stockml.evaluation.metrics import Evaluation, slug
from stockml.models.baselines import BASELINES
from stockml.settings import EvaluationSettings
from stockml.storage.records import read_record, written_record

SETTINGS = EvaluationSettings(scale_sessions=200)
ORIGINS = np.arange(300, 540, 10)


def prices(n: int = 600, seed: int = 4) -> np.ndarray:
    return 50 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0.0003, 0.015, n)))


def guesses(mid: np.ndarray, origins: np.ndarray = ORIGINS, seed: int = 5) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, 0.01, (len(origins), 50))
    return mid[origins, None] * np.exp(np.cumsum(noise, axis=1))


def evaluation(mid: np.ndarray | None = None) -> Evaluation:
    mid = prices() if mid is None else mid
    paths = {LSTM: guesses(mid), CHAMPION: guesses(mid, seed=6)}
    return evaluate(mid, ORIGINS, paths, SETTINGS, {LSTM: np.linspace(0.2, 0.8, len(ORIGINS))})


def test_every_figure_is_what_a_loop_finds() -> None:
    mid, found = prices(), evaluation().scores[LSTM]
    paths = guesses(mid)
    scaled, naive, absolute, mase, lead_30, naive_30, right = [], [], [], [], [], [], []
    for row, origin in enumerate(ORIGINS):
        past = mid[origin - 199 : origin + 1]
        scale, step = past.max() - past.min(), np.mean(np.abs(np.diff(mid[origin - 200 : origin + 1])))
        for lead in range(1, 51):
            error, lazy = paths[row, lead - 1] - mid[origin + lead], mid[origin] - mid[origin + lead]
            scaled.append((error / scale) ** 2)
            naive.append((lazy / scale) ** 2)
            absolute.append(error)
            mase.append(abs(error) / step)
            if lead == 30:
                lead_30.append((error / scale) ** 2)
                naive_30.append((lazy / scale) ** 2)
                right.append((paths[row, 29] > mid[origin]) == (mid[origin + 30] > mid[origin]))
    assert found.mse == pytest.approx(np.mean(scaled))
    assert found.half_mse == pytest.approx(np.mean(scaled) / 2)
    assert found.rmse == pytest.approx(math.sqrt(np.mean(np.square(absolute))))
    assert found.mae == pytest.approx(np.mean(np.abs(absolute)))
    assert found.mase == pytest.approx(np.mean(mase))
    assert found.skill == pytest.approx(1 - np.mean(scaled) / np.mean(naive))
    assert found.skill_by_lead["30"] == pytest.approx(1 - np.mean(lead_30) / np.mean(naive_30))
    assert found.mse_by_lead[29] == pytest.approx(np.mean(lead_30))
    assert found.direction.accuracy == pytest.approx(np.mean(right))


def test_direction_has_its_base_rate_and_the_brier_score_of_the_given_chance() -> None:
    mid, found = prices(), evaluation().scores[LSTM].direction
    rose = mid[ORIGINS + 30] > mid[ORIGINS]
    assert found.base_rate == pytest.approx(rose.mean())
    assert found.brier == pytest.approx(np.mean((np.linspace(0.2, 0.8, len(ORIGINS)) - rose) ** 2))


def test_every_baseline_stands_beside_the_model_and_the_last_value_has_no_skill_and_no_direction() -> None:
    found = evaluation()
    assert set(found.scores) == set(found.one_step) == {LSTM, CHAMPION, *BASELINES}
    assert found.scores["last value"].skill == 0.0
    assert found.scores["last value"].direction.accuracy is None


def test_one_step_figures_are_the_first_lead_alone() -> None:
    found = evaluation()
    assert found.one_step[LSTM].half_mse == pytest.approx((found.scores[LSTM].mse_by_lead[0] or 0) / 2)
    assert found.one_step[LSTM].skill == pytest.approx(found.scores[LSTM].skill_by_lead["1"])


def test_the_scale_knows_only_the_past() -> None:
    mid = prices()
    changed = mid.copy()
    changed[ORIGINS[-1] + 51 :] *= 9
    assert evaluation(mid) == evaluation(changed)


def test_scores_do_not_depend_on_the_currency() -> None:
    in_dollars, in_cents = evaluation(prices()), evaluation(prices() * 100)
    for name, score in in_dollars.scores.items():
        other = in_cents.scores[name]
        assert (other.mse, other.mase, other.skill) == pytest.approx((score.mse, score.mase, score.skill))
        assert (other.rmse or 0) / 100 == pytest.approx(score.rmse)


def test_models_are_compared_with_the_last_value_and_with_the_champion() -> None:
    found = evaluation()
    assert {(c.name, c.against) for c in found.comparisons} == {
        (LSTM, "last value"),
        (LSTM, CHAMPION),
        (CHAMPION, "last value"),
    }
    naive = found.comparison(LSTM, "last value")
    assert naive is not None
    assert naive.skill_difference == pytest.approx(found.scores[LSTM].skill)
    assert naive.interval is not None
    assert naive.interval.low <= (naive.skill_difference or 0) <= naive.interval.high


def test_an_evaluation_survives_json() -> None:
    found = evaluation()
    assert read_record(Evaluation, written_record(found)) == found


def test_metric_names_are_flat_and_the_same_every_night() -> None:
    tonight, tomorrow = evaluation(prices(seed=4)).metrics(), evaluation(prices(seed=14)).metrics()
    assert list(tonight) == list(tomorrow)
    assert {
        "lstm/mse",
        "lstm/half_mse",
        "lstm/skill",
        "lstm/skill_lead_30",
        "lstm/direction_brier",
        "lstm/one_step_half_mse",
        "lstm/vs_last_value/skill_low",
        "lstm/vs_champion/dm_p_value",
        "champion/mse",
        "last_value/mse",
        "standard_average/mse",
    } <= set(tonight)
    assert slug("standard average") == "standard_average"


def test_a_dead_price_gives_no_figure_rather_than_infinity() -> None:
    mid = np.full(600, 20.0)
    found = evaluate(mid, ORIGINS, {LSTM: guesses(mid)}, SETTINGS)
    assert found.scores[LSTM].mse is None
    assert found.scores[LSTM].skill is None
    assert found.scores["last value"].mase is None
    assert found.comparison(LSTM, "last value") is not None
    assert all(math.isfinite(value) for value in found.metrics().values())


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(0, 10_000), st.integers(0, 400), st.booleans())
def test_no_figure_is_ever_nan_or_infinite(every: int, seed: int, halted: int, exact: bool) -> None:
    mid = prices(600, seed)
    mid[:halted] = mid[0]
    origins = np.arange(300, 549, every)
    paths = mid[origins[:, None] + np.arange(1, 51)] if exact else guesses(mid, origins, seed)
    found = evaluate(mid, origins, {LSTM: paths}, SETTINGS)
    assert read_record(Evaluation, written_record(found)) == found
    assert all(math.isfinite(value) for value in found.metrics().values())


def test_a_single_origin_is_scored_without_a_test() -> None:
    mid = prices()
    found = evaluate(mid, np.array([400]), {LSTM: guesses(mid, np.array([400]))}, SETTINGS)
    comparison = found.comparison(LSTM, "last value")
    assert found.scores[LSTM].mse is not None
    assert comparison is not None
    assert (comparison.interval, comparison.test) == (None, None)


@pytest.mark.parametrize("origins", [np.array([], dtype=np.int64), np.array([300, 550])])
def test_origins_without_a_known_outcome_are_refused(origins: np.ndarray) -> None:
    with pytest.raises(TooFewBars):
        evaluate(prices(), origins, {}, SETTINGS)


def test_paths_of_the_wrong_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="LSTM"):
        evaluate(prices(), ORIGINS, {LSTM: np.ones((3, 50))}, SETTINGS)


def test_a_short_horizon_has_only_the_leads_it_reaches() -> None:
    short = SETTINGS.changed(horizon=12, direction_step=10)
    found = evaluate(prices(), ORIGINS, {}, short)
    assert list(found.scores["drift"].skill_by_lead) == ["1", "5", "10"]
