"""A ticker's training starts from the pretrained network or the champion's, and is used only where
it helps."""

import shutil
from dataclasses import replace
from datetime import date
from functools import cache

import numpy as np
import pytest

from stockml.forecasts.proper_scores import crps
from stockml.models.regressions import moves
from stockml.models.trained_model import NETWORKS, Decision, TickerNetwork, decide
from stockml.models.vintage_set import VintageSet, replay_of
from stockml.models.vintage_store import SHIPPED
from stockml.settings import TrainingSettings
from stockml.training.network_trainer import stretches_of
from stockml.training.ticker_training import (
    fine_tune,
    split_after_vintages,
    train_ticker,
)
from stockml.training.train import facts_about
from tests.support.models import trained_model
from tests.support.walks import SMALL, altered_after, turning, walk

RETRAIN, FINE_TUNE = Decision("retrain", "no champion yet"), Decision("fine-tune", "1 new session")
# its moves persist throughout, so it always moves further than the pretrained says
SERIES = turning(900, turn=900)
TURNED = turning(900, turn=680)  # its moves persist until the validation part begins, then reverse
EAGER = SMALL.changed(  # so that little training does much
    evaluation=SMALL.evaluation.changed(origin_every=1),
    training=TrainingSettings(
        learning_rate=3e-3, own_share=1.0, steps=10, fine_tune_learning_rate=1e-3
    ),
)


def learned(series, settings=EAGER, start=None):
    return train_ticker(series, settings, FINE_TUNE if start else RETRAIN, start=start)


@cache
def usual():
    return learned(SERIES)


def network(model, name):
    found = getattr(model, name)
    assert isinstance(found, TickerNetwork)
    return found


def same(one, two):
    return (
        all(map(np.array_equal, one.weights, two.weights))
        and len(one.weights) == len(two.weights) > 0
    )


@pytest.mark.slow
def test_training_is_used_only_if_it_helped_on_the_validation_part():
    worth, not_worth = usual(), learned(TURNED)
    for model, helped in ((worth, True), (not_worth, False)):
        assert (model.evidence.origins, model.evidence.skill > 0) == (60, helped)
        assert [network(model, name).used for name in NETWORKS] == [helped, helped]
        assert model.decision.mode == ("retrain" if helped else "pretrained")
        assert f"{model.evidence.skill:+.3%}" in model.decision.reason
        assert "no champion yet" in model.decision.reason
        # what is not used is not trained to publish
        steps = [(row["network"], row["step"]) for row in model.history]
        assert steps == [(name, step) for name in NETWORKS[: 1 + helped] for step in range(1, 11)]
    question = SERIES, np.array(worth.parts.validation), np.array([1, 2, 3, 5])
    actual, own = moves(*question), network(worth, "held_out")
    said = own.forecast(*question)[1], own.vintages.network_quantiles(*question)
    loss, reference = (np.mean(crps(each, actual) / np.sqrt(question[2])) for each in said)
    assert worth.evidence.skill == pytest.approx(1 - loss / reference)


@pytest.mark.slow
def test_a_fine_tune_continues_the_champion_and_takes_what_is_new_first():
    before = learned(SERIES.until(890))
    model = learned(SERIES, start=before)
    assert model.retrained_at == SERIES.sessions[889]
    steps = [row for row in model.history if row["network"] == "held_out"]
    assert len(steps) == EAGER.training.fine_tune_steps
    assert not same(network(model, "held_out"), network(before, "held_out"))
    older = replace(before.held_out, vintages=VintageSet.ending_before(date(2000, 1, 1)))
    afresh = learned(SERIES, start=replace(before, held_out=older))
    # of another vintage
    assert same(network(afresh, "held_out"), network(usual(), "held_out"))


@pytest.mark.slow
def test_every_setting_of_a_training_changes_its_weights():
    vintages = VintageSet.ending_before(date(2001, 1, 1))
    start = vintages.pretrained
    own = stretches_of(SERIES, start.scale, vintages.regression, vintages.ridge)
    replay = replay_of(start)

    def weights(dropout=0.3, **changes):
        settings = SMALL.changed(
            training=TrainingSettings(steps=2).changed(**changes),
            network=SMALL.network.changed(dropout=dropout),
        )
        return [*fine_tune(start, own, replay, settings)[0].arrays()]

    plain = weights()
    for changes in (
        {"steps": 3},
        {"learning_rate": 1e-3},
        {"own_share": 0.5},
        {"start_share": 0.5},
        {"batch_size": 32},
        {"optimizer": "sgd"},
        {"seed": 1},
        {"dropout": 0.0},
    ):
        assert not all(map(np.array_equal, weights(**changes), plain)), changes
    for one, two, begin in zip(weights(start_share=0.5), plain, start.arrays(), strict=True):
        np.testing.assert_allclose(one, (two + begin) / 2, atol=1e-6)


def test_a_champion_that_has_seen_tonights_validation_part_is_not_continued():
    """With other settings, what the earlier model learned from may lie in tonight's validation
    part."""
    many = EAGER.changed(evaluation=EAGER.evaluation.changed(validation_sessions=100))
    champion = trained_model(SERIES, SMALL)
    facts, seen = facts_about(champion, SERIES, many), champion.held_out.learned_until
    assert f"through {seen}" in str(facts.unscored)
    assert decide(facts, "keep", many.policy).mode == "retrain"


@pytest.mark.slow
@pytest.mark.parametrize("part", ["validation", "test"])
def test_held_out_neither_learns_from_nor_is_chosen_by_later_bars(part):
    """held_out learns only from before the validation part; its evidence comes only from before the
    test part."""
    t = getattr(usual().parts, part).start - 1
    other = learned(altered_after(SERIES, t))
    assert same(network(other, "held_out"), network(usual(), "held_out"))
    assert (other.evidence == usual().evidence) is (part == "test")
    assert (
        network(other, "held_out").learned_until < SERIES.sessions[usual().parts.validation.start]
    )


def test_a_short_history_leaves_the_pretrained_network_alone():
    series = walk(27)  # one fewer is refused
    model = train_ticker(series, SMALL, RETRAIN, start=None)
    networks = model.held_out, model.published
    assert (model.evidence, *(each.weights for each in networks)) == (None, (), ())
    assert model.decision.mode == "pretrained"
    _, quantiles = model.published.forecast(series, np.array([26]), np.arange(1, 51))
    assert quantiles.shape == (1, 50, 21)


@pytest.mark.parametrize("damaged", ["network", "replay"])
def test_a_damaged_vintage_or_replay_is_named_and_the_night_goes_on_without_training(
    damaged, tmp_path
):
    for path in SHIPPED.glob("*-1999-06.*"):
        shutil.copy(path, tmp_path)
    (tmp_path / f"{damaged}-1999-06.npz").write_bytes(b"nothing")
    model = train_ticker(SERIES, EAGER, RETRAIN, start=None, folders=[tmp_path])
    assert model.decision.mode == "pretrained"
    assert f"{damaged}-1999-06.npz" in model.decision.reason
    _, quantiles = model.published.forecast(SERIES, np.array([800]), np.arange(1, 6))
    assert (quantiles is None) is (damaged == "network")


def test_before_any_vintage_nothing_is_trained_and_scores_begin_where_they_else_would():
    early = replace(SERIES, sessions=SERIES.sessions - np.timedelta64(10_000, "D"))
    model = train_ticker(early, EAGER, RETRAIN, start=None)
    assert "no regression ends before" in model.decision.reason
    assert model.parts == split_after_vintages(SERIES, EAGER.evaluation)


def test_the_unseen_parts_begin_after_the_oldest_vintage_where_possible():
    around = replace(SERIES, sessions=SERIES.sessions - np.timedelta64(1_050, "D"))
    first = len(around.through(np.datetime64("1999-06-30")))
    assert first == 500
    longer = SMALL.evaluation.changed(test_sessions=600, validation_sessions=600)
    model = train_ticker(around, SMALL.changed(evaluation=longer), RETRAIN, start=None)
    assert (model.parts.test, len(model.parts.validation)) == (range(first, 895), 0)
    assert model.held_out.vintages.through == date(1999, 6, 30)
