"""A ticker's training starts from the base, continues to a full training's model, and is used only where it helps."""

import shutil
from dataclasses import replace
from datetime import date
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from stockml.errors import InvalidFile, NoChampion, TooFewBars
from stockml.forecasts.proper_scores import crps
from stockml.models import pooled_vintages
from stockml.models.lead_grid import moves
from stockml.models.pool import Pool, oldest_through
from stockml.models.pooled_vintages import SHIPPED
from stockml.models.retrain_policy import Decision, decide
from stockml.models.ticker_network import OwnErrors, TickerNetwork
from stockml.models.trained_model import TrainedModel, load_model, same_forecast, save
from stockml.models.tutorial.recipe import TutorialForecaster, TutorialScale, prepare
from stockml.prices.series import PriceSeries
from stockml.settings import EvaluationSettings, Mode, Settings, settings_for
from stockml.storage.objects import sha256_of
from stockml.training.ticker_training import MOST_ORIGINS, new_origins, train_ticker, unseen_parts
from stockml.training.train import facts_about, learning_sha256, train
from tests.support.walks import SMALL, altered_after, turning, walk, with_prices

RETRAIN, FINE_TUNE = Decision("retrain", "no champion yet"), Decision("fine-tune", "1 new session")
SERIES = turning(900, turn=900)  # its moves persist throughout, so it always moves further than the base says
TURNED = turning(900, turn=680)  # its moves persist until the validation part begins, then reverse
ONE = SMALL.changed(evaluation=SMALL.evaluation.changed(origin_every=1))


def learned(series: PriceSeries, settings: Settings = ONE, start: TrainedModel | None = None) -> TrainedModel:
    return train_ticker(series, settings, FINE_TUNE if start else RETRAIN, start=start)


@cache
def usual() -> TrainedModel:
    return learned(SERIES)


@pytest.fixture
def champion(tmp_path: Path) -> Path:
    save(usual(), tmp_path / "models" / "ABC" / "champion")
    return tmp_path / "models" / "ABC" / "champion"


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
    assert (worth.held_out.own, worth.published.own, worth.decision.mode) == (True, True, "retrain")
    assert "; the ticker's own training was +" in worth.decision.reason
    assert (not_worth.held_out.own, not_worth.published.own, not_worth.decision.mode) == (False, False, "keep")
    assert not_worth.decision.reason.startswith("the base left alone was no worse: the ticker's own training was -")
    assert not_worth.decision.reason.endswith("% of CRPS on 60 validation origins (retrain: no champion yet)")
    at, leads, own = np.array(worth.parts.validation), np.array([1, 2, 3, 5]), network(worth, "held_out")
    actual = moves(SERIES, at, leads)
    loss, reference = (
        np.mean(crps(each.network(SERIES, at, leads), actual) / np.sqrt(leads)) for each in (own, own.pool)
    )
    assert worth.evidence.skill == pytest.approx(1 - loss / reference)


@pytest.mark.parametrize("mode", ["retrain", "fine-tune"])
def test_a_training_that_was_asked_for_is_used_even_if_it_did_not_help(mode: str) -> None:
    asked = learned(TURNED, ONE.changed(mode=mode))
    assert (asked.held_out.own, asked.published.own, asked.decision.mode) == (True, True, "retrain")
    assert "own training was -" in asked.decision.reason, "said all the same"


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
    series, most = walk(5 * MOST_ORIGINS + 400), 1_500
    newest = (len(series) - 51) // 5 * 5  # the newest whose outcome, 50 sessions later, is known
    assert new_origins(OwnErrors(), series).tolist() == list(range(newest - 5 * (most - 1), newest + 1, 5))
    learned_from = new_origins(OwnErrors(), SERIES)
    weight = sum(np.exp(-age / 600) for age in range(len(learned_from)))
    found = network(usual(), "published").errors.weight
    assert found == pytest.approx(weight), "these origins are what is learned from"


def test_with_another_pool_training_starts_afresh() -> None:
    older = replace(usual().published, pool=Pool.before(date(2000, 1, 1)))
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
        assert (other.decision, one.own) == (usual().decision, two.own)
    assert network(other, "published").errors.asdict() != network(usual(), "published").errors.asdict()


def test_held_out_ends_before_the_unseen_parts_and_published_ends_tonight() -> None:
    model, first = usual(), SERIES.sessions[usual().parts.validation.start]
    held_out, published = network(model, "held_out"), network(model, "published")
    assert held_out.pool.through is not None
    assert held_out.learned_until == first - np.timedelta64(1, "D")
    assert np.datetime64(held_out.pool.through) < first
    assert published.learned_until == SERIES.sessions[-1]
    assert held_out.errors.through is not None
    assert held_out.errors.through + np.timedelta64(50, "D") < first
    assert published.errors.through == SERIES.sessions[845]


@pytest.mark.parametrize("sessions", [27, 59, 100])
def test_a_short_history_leaves_the_base_alone(sessions: int) -> None:
    model = train_ticker(walk(sessions), SMALL, RETRAIN, start=None)
    assert model.decision.mode == "keep"
    assert "the history is too short" in model.decision.reason
    assert (model.evidence, model.held_out.own, model.published.own) == (None, False, False)
    assert model.published.network(walk(sessions), np.array([sessions - 1]), np.arange(1, 51)).shape == (1, 50, 21)


def test_a_long_history_most_of_which_every_base_has_seen_is_not_called_too_short() -> None:
    series = walk(6_000)
    oldest = np.datetime64(oldest_through() or "")
    series = replace(series, sessions=series.sessions + (oldest - series.sessions[-65]))
    model = train_ticker(series, SMALL, RETRAIN, start=None)
    assert model.published.pool.base is not None
    assert (len(model.parts.validation), model.decision.mode) == (0, "keep")
    assert "too short" not in model.decision.reason
    assert "no unseen moves to try" in model.decision.reason


@pytest.mark.parametrize("damaged", [False, True])
def test_without_a_base_nothing_is_learned_and_the_reason_is_given(damaged: bool, tmp_path: Path) -> None:
    series = SERIES if damaged else replace(SERIES, sessions=SERIES.sessions - np.timedelta64(10_000, "D"))
    if damaged:
        for kind in ("pooled", "ridge"):
            shutil.copy(SHIPPED / f"{kind}-1999-06.json", tmp_path)
        (tmp_path / "base-1999-06.npz").write_bytes(b"no base")
    model = train_ticker(series, ONE, RETRAIN, start=None, folders=[tmp_path] if damaged else [SHIPPED])
    assert (model.decision.mode, model.decision.reason[:18]) == ("keep", "nothing to train: ")
    assert ("base-1999-06.npz" in model.decision.reason) is damaged
    assert model.published.network(series, np.array([800]), np.arange(1, 6)) is None
    assert np.isfinite(model.published.pool.simple(series, np.array([800]), np.arange(1, 6))).all()


def test_the_unseen_parts_begin_after_the_oldest_vintage_where_possible() -> None:
    sessions = SERIES.sessions - np.timedelta64(1_050, "D")  # the oldest vintage ends on session 499
    around = replace(SERIES, sessions=sessions)
    assert unseen_parts(SERIES, SMALL.evaluation).validation.start == 775
    first = int(np.searchsorted(around.sessions, np.datetime64("1999-06-30"), side="right"))
    assert first == 500
    evaluation = EvaluationSettings(horizon=5, direction_step=3, test_sessions=600, validation_sessions=600)
    found = unseen_parts(around, evaluation)
    assert (found.test, len(found.validation)) == (range(first, 895), 0)
    before = replace(SERIES, sessions=SERIES.sessions - np.timedelta64(10_000, "D"))
    assert unseen_parts(before, SMALL.evaluation) == unseen_parts(SERIES, SMALL.evaluation)
    model = train_ticker(around, SMALL.changed(evaluation=evaluation), RETRAIN, start=None)
    assert model.held_out.pool.through == date(1999, 6, 30)


def test_training_writes_what_it_learned_and_keeping_writes_the_champion(champion: Path, tmp_path: Path) -> None:
    folder = champion.parent / "tonight"
    model = train(SERIES, ONE, RETRAIN, champion=None, folder=folder)
    assert sha256_of(str(folder)) == sha256_of(str(champion))
    assert load_model(folder).decision == model.decision
    tuned = train(SERIES.until(899), ONE, RETRAIN, champion=None, folder=folder)
    assert not same_forecast(tuned, model)
    kept = train(SERIES, ONE, Decision("keep", "nothing new"), champion=champion, folder=folder)
    assert kept.decision == Decision("keep", "nothing new")
    np.testing.assert_array_equal(kept.published.errors.mean, usual().published.errors.mean)


def test_the_installations_own_vintage_is_used_when_it_is_newer(tmp_path: Path) -> None:
    bases, folder = tmp_path / "bases", tmp_path / "models" / "ABC" / "tonight"
    bases.mkdir()
    before = train(SERIES, ONE, RETRAIN, champion=None, folder=folder)
    shipped = Pool.before(date(2003, 1, 1)).base
    assert shipped
    tonight = SERIES.sessions[-1].item()  # it may have seen that too, to publish with
    pooled_vintages.write(replace(shipped, through=tonight), bases)
    after = train(SERIES, ONE, RETRAIN, champion=None, folder=folder)
    assert "base-2001-06" in str(before.published.pool.identity()["base"])
    assert after.published.pool.base is not None
    assert after.published.pool.base.through == tonight
    assert "base-2001-06" in str(after.held_out.pool.identity()["base"])
    assert load_model(folder).published.pool.identity() == after.published.pool.identity()
    changed = [facts_about(before, SERIES, ONE, each).changed for each in ([bases, SHIPPED], [SHIPPED])]
    assert changed == [("base network",), ()]


def test_facts_about_a_champion_count_sessions_and_compare_what_affects_learning() -> None:
    facts = facts_about(usual(), turning(903, turn=903), ONE)
    assert (facts.new_sessions, facts.sessions_since_retrain) == (3, 3)
    assert (facts.changed, facts.scale_drift) == ((), 1.0)
    other = ONE.changed(training=ONE.training.changed(seed=8))
    facts = facts_about(usual(), SERIES, other, same_code=False, same_adjustment=False)
    assert facts.changed == ("settings", "code", "price adjustment")
    assert learning_sha256(ONE.changed(mode="keep")) == learning_sha256(ONE)
    other = ONE.changed(evaluation=ONE.evaluation.changed(replace_after_sessions=5))
    assert learning_sha256(other) == learning_sha256(ONE)


@pytest.mark.parametrize("wanted", ["keep", "fine-tune"])
def test_after_a_split_a_champion_that_is_scaled_to_prices_is_not_continued(wanted: Mode) -> None:
    weights = tuple(np.zeros(shape, np.float32) for shape in ((1, 4), (1, 4), (4,), (1, 1), (1,)))
    scale = TutorialScale.of(prepare(SERIES.mid, 800), SERIES.sessions)
    scaled = TutorialForecaster(settings_for("tutorial"), weights, scale, SERIES.sessions[600])
    champion = replace(usual(), held_out=scaled, published=scaled)
    divided = with_prices(SERIES, 0.25)
    assert scaled.paths(divided, np.array([899]), 1)[0, 0] > 3 * divided.mid[899], "it knows nothing of the split"
    facts = facts_about(champion, divided, ONE, same_adjustment=False)
    assert decide(facts, wanted, ONE.policy).mode == "retrain"
    assert decide(facts_about(champion, SERIES, ONE), "keep", ONE.policy).mode == "keep"
    of_ratios = facts_about(usual(), divided, ONE, same_adjustment=False)
    assert decide(of_ratios, "keep", ONE.policy).mode == "keep", "a base forecasts ratios, whatever the prices"


def test_what_cannot_be_trained_is_refused_with_a_typed_error(tmp_path: Path) -> None:
    with pytest.raises(TooFewBars):
        train(walk(26), SMALL, RETRAIN, champion=None, folder=tmp_path)
    with pytest.raises(NoChampion):
        train(SERIES, ONE, FINE_TUNE, champion=None, folder=tmp_path)
    with pytest.raises(InvalidFile, match="absent"):
        train(SERIES, ONE, FINE_TUNE, champion=tmp_path / "absent", folder=tmp_path)
