"""Pretraining: equal bars give equal weights, even when killed after an epoch, and later bars
change nothing; its loss, and that Keras computes what the nights compute."""

from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from stockml.errors import InvalidSetting
from stockml.features.volatility import width_inputs
from stockml.forecasts.proper_scores import pinball
from stockml.models.pretrained_network import STRETCH, PretrainedNetwork
from stockml.models.regressions import LEADS, MEDIAN, moves
from stockml.models.vintage_store import digest
from stockml.training import network_trainer
from stockml.training.network_trainer import (
    MemberSettings,
    Trainer,
    TrainingSet,
    cosine_rates,
    mean_loss,
    member_of,
)
from stockml.training.pretrain import PretrainProgress, batches, pretrain
from tests.stockml.models.test_regressions import fit
from tests.support.walks import altered_after, walk

UNTIL = date(2003, 6, 30)
SMALL = tuple(
    MemberSettings(seed=seed, units=(5, 4), dense=6, epochs=2, batch=4) for seed in (1, 2)
)


def tickers():
    return {f"T{i}": walk(800 + 40 * i, seed=i) for i in range(3)}


@pytest.fixture(scope="module")
def regressions():
    return fit(tickers(), UNTIL)


@pytest.fixture(scope="module")
def undisturbed(regressions, tmp_path_factory):
    return pretrain(
        tickers(), UNTIL, *regressions, folder=tmp_path_factory.mktemp("whole"), members=SMALL
    )[0]


class Killed(Exception):
    """Stands for a kill after an epoch's checkpoint was written."""


@pytest.mark.campaign
@pytest.mark.slow
def test_killed_after_every_epoch_it_resumes_and_ends_with_the_same_weights(
    undisturbed, regressions, tmp_path
):
    seen: list[PretrainProgress] = []

    def kill(row):
        if row not in seen:
            seen.append(row)
            raise Killed

    options = {"folder": tmp_path, "members": SMALL, "on_epoch": kill}
    for _ in range(4):
        with pytest.raises(Killed):
            pretrain(tickers(), UNTIL, *regressions, **options)
    resumed, _ = pretrain(tickers(), UNTIL, *regressions, **options)
    epochs = [(each.name, epoch) for each in SMALL for epoch in (1, 2)]
    assert [(row.member, row.epoch) for row in seen] == epochs
    assert digest(resumed) == digest(undisturbed)
    assert [row.seconds_left > 0 for row in seen] == [True, True, True, False]


@pytest.mark.slow
def test_a_pretrained_network_records_what_it_learned_from_and_later_bars_change_nothing(
    undisturbed, regressions, tmp_path
):
    assert (undisturbed.through, undisturbed.tickers) == (date(2003, 5, 30), ("T0", "T1", "T2"))
    seen = regressions[0].sessions, regressions[1].origins
    assert (undisturbed.sessions, undisturbed.origins) == seen
    assert set(undisturbed.scores) == {f"loss, {member.name}" for member in SMALL}
    until = tickers()["T0"].sessions[700].item()
    own = fit(tickers(), until)
    changed = {ticker: altered_after(bars, 700) for ticker, bars in reversed(tickers().items())}
    plain, again = (
        pretrain(pool, until, *own, folder=tmp_path, members=SMALL[:1])[0]
        for pool in (tickers(), changed)
    )
    assert digest(again) == digest(plain)
    # a checkpoint of other bars is not continued
    anew, _ = pretrain(tickers(), UNTIL, *regressions, folder=tmp_path, members=SMALL[:1])
    first = replace(undisturbed, members=undisturbed.members[:1], scores=anew.scores)
    assert digest(anew) == digest(first) != digest(plain)


@pytest.mark.slow
def test_the_numpy_network_computes_what_keras_computes(undisturbed):
    origins = np.array([10, 63, 100, 700])
    windows = undisturbed.windows(walk(800, seed=5), origins)
    for settings, member in zip(SMALL, undisturbed.members, strict=True):
        model = network_trainer.build(settings, sessions=windows.shape[1])
        weights = [array for part in (*member.layers, member.dense, member.head) for array in part]
        model.set_weights(weights)
        said = np.asarray(model(windows, training=False))[:, 0]
        np.testing.assert_allclose(member.coefficients(windows), said, atol=1e-5)
        assert np.abs(said).max() > 1e-4


def test_the_learning_rate_falls_on_half_a_cosine_over_the_epochs():
    rates = np.concatenate([cosine_rates(1e-3, 10, epoch, 2) for epoch in (1, 2)])
    np.testing.assert_allclose(rates, 1e-3 * (1 + np.cos(np.pi * np.arange(20) / 20)) / 2)


def test_an_epoch_takes_no_row_twice_in_full_batches_and_in_an_order_of_its_own():
    first, second = (batches(10, 4, (1, epoch)) for epoch in (1, 2))
    assert first.shape == (2, 4)
    assert len({*first.flat}) == 8
    assert {*first.flat} < {*range(10)}
    assert first.tolist() == batches(10, 4, (1, 1)).tolist() != second.tolist()
    assert sorted(batches(3, 4, (1, 1)).flat) == [0, 1, 2], "fewer than a batch are one"


def test_a_regression_that_has_seen_later_sessions_is_refused(regressions, tmp_path):
    with pytest.raises(InvalidSetting, match="2003-05-29"):
        pretrain(tickers(), date(2003, 5, 29), *regressions, folder=tmp_path, members=SMALL)


@pytest.mark.slow
def test_an_untrained_network_is_the_ridge_regression_itself(regressions):
    examples = TrainingSet.of(tickers(), UNTIL, *regressions)
    fresh = member_of(SMALL[1], Trainer(SMALL[1], regressions[1].shape[:, MEDIAN + 1 :]).state())
    pretrained = PretrainedNetwork(UNTIL, ("T0",), 1, 1, examples.scale, (fresh,), {})
    origins, leads = np.array([100, 700]), np.array(LEADS)
    expected = regressions[1].quantiles(walk(800), origins, leads, regressions[0])
    found = pretrained.quantiles(walk(800), origins, leads, *regressions)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_a_training_set_holds_each_origin_once_with_its_outcome(regressions):
    examples, (pooled, ridge) = TrainingSet.of(tickers(), UNTIL, *regressions), regressions
    stretches = examples.stretches
    assert stretches.inputs.shape == (len(stretches), STRETCH, 14)
    assert stretches.mask.sum() == examples.learned_from.origins == pooled.origins
    # of T0, after session 65, five sessions on
    second, lead = (tickers()["T0"], np.array([65]), np.array([5])), LEADS.index(5)
    seen = examples.scale.apply(width_inputs(second[0]))[2:66]
    np.testing.assert_allclose(stretches.inputs[0, 5:69], seen, rtol=1e-5)
    unit = ridge.widths(*second, pooled) / np.exp(stretches.log_widths[0, 1, lead])
    expected = abs(moves(*second)) / unit
    assert stretches.sizes[0, 1, lead] == pytest.approx(expected[0, 0], rel=1e-5)


@pytest.mark.slow
def test_the_loss_is_the_mean_pinball_loss_of_the_whole_symmetric_shape():
    rng = np.random.default_rng(2)
    upper, move = np.sort(rng.uniform(0, 3, (6, 11, 10))), rng.normal(size=(6, 11))
    known = np.array([1, 1, 0, 1, 1, 0])
    asked = (each.astype(np.float32) for each in (upper, np.abs(move), known))
    found = mean_loss(*asked)
    quantiles = np.concatenate([-upper[..., ::-1], np.zeros((6, 11, 1)), upper], axis=-1)
    without_the_median = np.delete(pinball(quantiles, move), MEDIAN, axis=-1)
    assert float(found) == pytest.approx(without_the_median[known == 1].mean(), rel=1e-5)
