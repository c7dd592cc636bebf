"""A ticker's training starts from the base, continues to a full training's model, and is used only where it helps."""

import shutil
from dataclasses import replace
from datetime import date
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from stockml.forecasts.proper_scores import crps
from stockml.models.lead_grid import moves
from stockml.models.pooled_vintages import SHIPPED
from stockml.models.retrain_policy import Decision, decide
from stockml.models.ticker_network import TickerNetwork, WidthCorrection
from stockml.models.trained_model import TrainedModel
from stockml.models.vintage_set import VintageSet, oldest_through
from stockml.prices.series import PriceSeries
from stockml.settings import EvaluationSettings, Settings
from stockml.training.ticker_training import MAX_ORIGINS, new_origins, split_after_vintages, train_ticker
from stockml.training.train import facts_about
from tests.support.walks import SMALL, altered_after, turning, walk

RETRAIN, FINE_TUNE = Decision("retrain", "no champion yet"), Decision("fine-tune", "1 new session")
SERIES = turning(900, turn=900)  # its moves persist throughout, so it always moves further than the base says
TURNED = turning(900, turn=680)  # its moves persist until the validation part begins, then reverse
ONE = SMALL.changed(evaluation=SMALL.evaluation.changed(origin_every=1))


def learned(series: PriceSeries, settings: Settings = ONE, start: TrainedModel | None = None) -> TrainedModel:
    return train_ticker(series, settings, FINE_TUNE if start else RETRAIN, start=start)


@cache
def usual() -> TrainedModel:
    return learned(SERIES)


def outcome(model: TrainedModel) -> tuple[bool, bool, str]:
    """Whether each network is corrected by the ticker's errors, and the mode."""
    return network(model, "held_out").corrected, network(model, "published").corrected, model.decision.mode


def network(model: TrainedModel, name: str) -> TickerNetwork:
    found = getattr(model, name)
    assert isinstance(found, TickerNetwork)
    return found


def test_a_tickers_own_part_is_used_only_if_it_helped_on_the_validation_part() -> None:
    worth, not_worth = usual(), learned(TURNED)
    assert worth.evidence
    assert not_worth.evidence
    assert worth.evidence.origins == not_worth.evidence.origins == 60
    assert worth.evidence.skill > 0 > not_worth.evidence.skill
    assert outcome(worth) == (True, True, "retrain")
    assert "; the ticker's own training was worth +" in worth.decision.reason
    assert outcome(not_worth) == (False, False, "keep")
    assert not_worth.decision.reason.startswith(
        "the base left alone was no worse: the ticker's own training was worth -"
    )
    assert not_worth.decision.reason.endswith("% of CRPS on 60 validation origins (retrain: no champion yet)")
    at, leads, own = np.array(worth.parts.validation), np.array([1, 2, 3, 5]), network(worth, "held_out")
    actual = moves(SERIES, at, leads)
    corrected, alone = own.forecast(SERIES, at, leads)[1], own.vintages.network_quantiles(SERIES, at, leads)
    loss, reference = (np.mean(crps(each, actual) / np.sqrt(leads)) for each in (corrected, alone))
    assert worth.evidence.skill == pytest.approx(1 - loss / reference)


@pytest.mark.parametrize("mode", ["retrain", "fine-tune"])
def test_a_training_that_was_asked_for_is_used_even_if_it_did_not_help(mode: str) -> None:
    asked = learned(TURNED, ONE.changed(mode=mode))
    assert outcome(asked) == (True, True, "retrain")
    assert "own training was worth -" in asked.decision.reason, "said all the same"


@pytest.mark.parametrize(("before", "nights"), [(900, [901, 902, 910]), (897, [915]), (899, [900])])
def test_continuing_every_night_gives_the_model_of_a_full_training(before: int, nights: list[int]) -> None:
    series = turning(920, turn=920)
    model = learned(series.until(before))
    for sessions in nights:
        model = learned(series.until(sessions), start=model)
    whole = learned(series.until(nights[-1]))
    assert (model.parts, model.last_session) == (whole.parts, whole.last_session)
    assert model.evidence is not None
    assert whole.evidence is not None
    assert model.evidence.skill == pytest.approx(whole.evidence.skill, abs=1e-12)
    for name in ("held_out", "published"):
        one, two = network(model, name), network(whole, name)
        np.testing.assert_allclose(one.errors.mean, two.errors.mean, rtol=1e-9)
        assert one.errors.weight == pytest.approx(two.errors.weight)
        assert (one.errors.through, one.learned_until) == (two.errors.through, two.learned_until)
    assert model.retrained_at == series.sessions[before - 1]
    assert whole.retrained_at == series.sessions[nights[-1] - 1]


def test_a_validation_part_that_now_begins_earlier_is_not_learned_from() -> None:
    """With other settings, what the earlier model learned from may lie in tonight's validation part."""
    series = turning(1_250, turn=1_250)
    parts = {"horizon": 5, "direction_step": 3, "test_sessions": 200}
    few, many = (ONE.changed(evaluation=EvaluationSettings(**parts, validation_sessions=each)) for each in (200, 400))
    then = learned(series.until(1_249), few)
    model = learned(series, many, then)
    first = series.sessions[model.parts.validation.start]
    assert then.held_out.learned_until > first, "the earlier model's validation part began later"
    assert model.held_out.learned_until < first
    errors = network(model, "held_out").errors
    assert errors.through is not None
    assert errors.through + np.timedelta64(50, "D") < first
    facts, seen = facts_about(then, series, many), then.held_out.learned_until
    assert facts.unscored == f"it has seen sessions through {seen}, what is unseen begins on {first}"
    assert decide(facts, "keep", many.policy).mode == "retrain"
    assert facts_about(then, series, few).unscored is None


def test_only_the_newest_thirty_years_of_a_very_long_history_are_learned_from() -> None:
    series, most = walk(5 * MAX_ORIGINS + 400), 1_500
    newest = (len(series) - 51) // 5 * 5  # the newest whose outcome, 50 sessions later, is known
    assert new_origins(WidthCorrection(), series).tolist() == list(range(newest - 5 * (most - 1), newest + 1, 5))
    learned_from = new_origins(WidthCorrection(), SERIES)
    weight = sum(np.exp(-age / 600) for age in range(len(learned_from)))
    found = network(usual(), "published").errors.weight
    assert found == pytest.approx(weight), "these origins are what is learned from"


def test_with_another_pool_training_starts_afresh() -> None:
    older = replace(usual().published, vintages=VintageSet.ending_before(date(2000, 1, 1)))
    again = learned(SERIES, start=replace(usual(), published=older))
    np.testing.assert_array_equal(network(again, "published").errors.mean, network(usual(), "published").errors.mean)


@pytest.mark.parametrize("part", ["validation", "test"])
def test_held_out_neither_learns_from_nor_is_chosen_by_later_bars(part: str) -> None:
    """held_out learns only from before the validation part; its evidence comes only from before the test part."""
    t = getattr(usual().parts, part).start - 1
    other = learned(altered_after(SERIES, t))
    one, two = network(other, "held_out"), network(usual(), "held_out")
    np.testing.assert_array_equal(one.errors.mean, two.errors.mean)
    assert one.errors.asdict() == two.errors.asdict()
    assert (other.evidence == usual().evidence) is (part == "test")
    if part == "test":
        assert (other.decision, one.corrected) == (usual().decision, two.corrected)
    assert network(other, "published").errors.asdict() != network(usual(), "published").errors.asdict()


def test_held_out_ends_before_the_unseen_parts_and_published_ends_tonight() -> None:
    model, first = usual(), SERIES.sessions[usual().parts.validation.start]
    held_out, published = network(model, "held_out"), network(model, "published")
    assert held_out.vintages.through is not None
    assert held_out.learned_until == first - np.timedelta64(1, "D")
    assert np.datetime64(held_out.vintages.through) < first
    assert published.learned_until == SERIES.sessions[-1]
    assert held_out.errors.through is not None
    assert held_out.errors.through + np.timedelta64(50, "D") < first
    assert published.errors.through == SERIES.sessions[845]


@pytest.mark.parametrize("sessions", [27, 59, 100])
def test_a_short_history_leaves_the_base_alone(sessions: int) -> None:
    model = train_ticker(walk(sessions), SMALL, RETRAIN, start=None)
    assert model.decision.mode == "keep"
    assert "the history is too short" in model.decision.reason
    assert (model.evidence, model.held_out.corrected, model.published.corrected) == (None, False, False)
    assert model.published.forecast(walk(sessions), np.array([sessions - 1]), np.arange(1, 51))[1].shape == (1, 50, 21)


def test_a_long_history_most_of_which_every_base_has_seen_is_not_called_too_short() -> None:
    series = walk(6_000)
    oldest = np.datetime64(oldest_through() or "")
    series = replace(series, sessions=series.sessions + (oldest - series.sessions[-65]))
    model = train_ticker(series, SMALL, RETRAIN, start=None)
    assert model.published.vintages.base is not None
    assert (len(model.parts.validation), model.decision.mode) == (0, "keep")
    assert "too short" not in model.decision.reason
    assert "no unseen moves to try" in model.decision.reason


@pytest.mark.parametrize("damaged", [False, True])
def test_without_a_base_only_the_simple_forecast_learns_and_the_reason_is_given(damaged: bool, tmp_path: Path) -> None:
    series = SERIES if damaged else replace(SERIES, sessions=SERIES.sessions - np.timedelta64(10_000, "D"))
    if damaged:
        for kind in ("pooled", "ridge"):
            shutil.copy(SHIPPED / f"{kind}-1999-06.json", tmp_path)
        (tmp_path / "base-1999-06.npz").write_bytes(b"no base")
    model = train_ticker(series, ONE, RETRAIN, start=None, folders=[tmp_path] if damaged else [SHIPPED])
    assert (model.decision.mode, model.decision.reason[:18]) == ("keep", "nothing to train: ")
    assert ("base-1999-06.npz" in model.decision.reason) is damaged
    assert model.published.forecast(series, np.array([800]), np.arange(1, 6))[1] is None
    assert np.isfinite(model.published.vintages.simple_quantiles(series, np.array([800]), np.arange(1, 6))).all()
    own = network(model, "published").simple_correction
    assert own.any() == damaged, "before the oldest vintage, there is nothing to correct"
    if damaged:
        shutil.copy(SHIPPED / "base-1999-06.npz", tmp_path)
        sound = train_ticker(series, ONE, RETRAIN, start=None, folders=[tmp_path])
        np.testing.assert_array_equal(own, network(sound, "published").simple_correction)


def test_the_unseen_parts_begin_after_the_oldest_vintage_where_possible() -> None:
    sessions = SERIES.sessions - np.timedelta64(1_050, "D")  # the oldest vintage ends on session 499
    around = replace(SERIES, sessions=sessions)
    assert split_after_vintages(SERIES, SMALL.evaluation).validation.start == 775
    first = int(np.searchsorted(around.sessions, np.datetime64("1999-06-30"), side="right"))
    assert first == 500
    evaluation = EvaluationSettings(horizon=5, direction_step=3, test_sessions=600, validation_sessions=600)
    found = split_after_vintages(around, evaluation)
    assert (found.test, len(found.validation)) == (range(first, 895), 0)
    before = replace(SERIES, sessions=SERIES.sessions - np.timedelta64(10_000, "D"))
    assert split_after_vintages(before, SMALL.evaluation) == split_after_vintages(SERIES, SMALL.evaluation)
    model = train_ticker(around, SMALL.changed(evaluation=evaluation), RETRAIN, start=None)
    assert model.held_out.vintages.through == date(1999, 6, 30)
