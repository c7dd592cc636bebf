"""Pretraining: equal bars give equal weights, even when killed after an epoch, and later bars
change nothing."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from stockml.errors import InvalidSetting, TooFewBars
from stockml.models.pretrained_network import PretrainedNetwork
from stockml.models.vintage_store import digest
from stockml.prices.series import PriceSeries
from stockml.training import network_trainer
from stockml.training.network_trainer import MemberSettings
from stockml.training.pretrain import PretrainProgress, batches, cosine_rates, pretrain
from tests.stockml.models.test_ridge_regression import Regressions, fit
from tests.support.walks import altered_after, walk

UNTIL = date(2003, 6, 30)
SMALL = tuple(
    MemberSettings(seed=seed, units=(5, 4), dense=6, epochs=2, batch=4) for seed in (1, 2)
)


def tickers() -> dict[str, PriceSeries]:
    return {f"T{i}": walk(800 + 40 * i, seed=i) for i in range(3)}


@pytest.fixture(scope="module")
def regressions() -> Regressions:
    return fit(tickers(), UNTIL)


@pytest.fixture(scope="module")
def undisturbed(
    regressions: Regressions, tmp_path_factory: pytest.TempPathFactory
) -> PretrainedNetwork:
    return pretrain(
        tickers(), UNTIL, *regressions, folder=tmp_path_factory.mktemp("whole"), members=SMALL
    )[0]


class Killed(Exception):
    """Stands for a kill after an epoch's checkpoint was written."""


@pytest.mark.slow
def test_killed_after_every_epoch_it_resumes_and_ends_with_the_same_weights(
    undisturbed: PretrainedNetwork, regressions: Regressions, tmp_path: Path
) -> None:
    seen: list[PretrainProgress] = []
    reported: list[PretrainProgress] = []

    def kill(row: PretrainProgress) -> None:
        reported.append(row)
        if row not in seen:
            seen.append(row)
            raise Killed

    for _ in range(4):
        with pytest.raises(Killed):
            pretrain(tickers(), UNTIL, *regressions, folder=tmp_path, members=SMALL, on_epoch=kill)
    reported.clear()
    resumed, _ = pretrain(
        tickers(), UNTIL, *regressions, folder=tmp_path, members=SMALL, on_epoch=kill
    )
    assert reported == seen
    assert [(row.member, row.epoch) for row in seen] == [
        (each.name, epoch) for each in SMALL for epoch in (1, 2)
    ]
    assert digest(resumed) == digest(undisturbed)
    assert all(row.seconds_left > 0 for row in seen[:-1])
    assert seen[-1].seconds_left == 0


@pytest.mark.slow
def test_a_checkpoint_of_other_bars_is_not_continued(
    undisturbed: PretrainedNetwork, regressions: Regressions, tmp_path: Path
) -> None:
    def kill(row: PretrainProgress) -> None:
        raise Killed

    other, one = {f"T{i}": walk(800, seed=10 + i) for i in range(3)}, SMALL[:1]
    with pytest.raises(Killed):
        pretrain(other, UNTIL, *regressions, folder=tmp_path, members=one, on_epoch=kill)
    found, _ = pretrain(tickers(), UNTIL, *regressions, folder=tmp_path, members=one)
    assert digest(found) == digest(
        replace(undisturbed, members=undisturbed.members[:1], scores=found.scores)
    )


@pytest.mark.slow
def test_a_pretrained_network_records_what_it_learned_from_and_later_bars_change_nothing(
    undisturbed: PretrainedNetwork, regressions: Regressions, tmp_path: Path
) -> None:
    assert (undisturbed.through, undisturbed.tickers) == (date(2003, 5, 30), ("T0", "T1", "T2"))
    assert (undisturbed.sessions, undisturbed.origins) == (
        regressions[0].sessions,
        regressions[1].origins,
    )
    assert set(undisturbed.scores) == {f"loss, {member.name}" for member in SMALL}
    last = 700
    until = tickers()["T0"].sessions[last].item()
    own = fit(tickers(), until)
    changed = {
        ticker: altered_after(series, last) for ticker, series in reversed(tickers().items())
    }
    plain, _ = pretrain(tickers(), until, *own, folder=tmp_path, members=SMALL[:1])
    again, _ = pretrain(changed, until, *own, folder=tmp_path, members=SMALL[:1])
    assert digest(again) == digest(plain)
    assert digest(plain) != digest(undisturbed)


@pytest.mark.slow
def test_the_numpy_network_computes_what_keras_computes(undisturbed: PretrainedNetwork) -> None:
    origins = np.array([10, 63, 100, 700])
    windows = undisturbed.windows(walk(800, seed=5), origins)
    for settings, member in zip(SMALL, undisturbed.members, strict=True):
        model = network_trainer.build(settings, sessions=windows.shape[1])
        weights = [array for part in (*member.layers, member.dense, member.head) for array in part]
        model.set_weights(weights)
        said = np.asarray(model(windows, training=False))[:, 0]
        np.testing.assert_allclose(member.coefficients(windows), said, atol=1e-5)
        assert np.abs(said).max() > 1e-4


def test_the_learning_rate_falls_from_its_full_value_to_almost_zero_over_the_epochs() -> None:
    settings = MemberSettings()
    rates = np.concatenate(
        [cosine_rates(settings, epoch, 10) for epoch in range(1, settings.epochs + 1)]
    )
    assert rates[0] == settings.learning_rate
    assert (np.diff(rates) < 0).all()
    assert rates[-1] < 0.01 * rates[0]


def test_an_epoch_takes_no_row_twice_in_full_batches_and_in_an_order_of_its_own() -> None:
    first, second = (batches(10, 4, (1, epoch)) for epoch in (1, 2))
    assert first.shape == (2, 4)
    assert len({*first.flat}) == 8
    assert {*first.flat} < {*range(10)}
    assert first.tolist() == batches(10, 4, (1, 1)).tolist() != second.tolist()
    assert sorted(batches(3, 4, (1, 1)).flat) == [0, 1, 2], "fewer than a batch are one"


def test_a_pool_with_too_few_bars_is_refused(regressions: Regressions, tmp_path: Path) -> None:
    with pytest.raises(TooFewBars):
        pretrain({"NEW": walk(100)}, UNTIL, *regressions, folder=tmp_path, members=SMALL)


def test_a_regression_that_has_seen_later_sessions_is_refused(
    regressions: Regressions, tmp_path: Path
) -> None:
    with pytest.raises(InvalidSetting, match="2003-05-29 or before"):
        pretrain(tickers(), date(2003, 5, 29), *regressions, folder=tmp_path, members=SMALL)
