"""The same key gives the same weights, however often it was interrupted; scores speak of what was not seen."""

import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from stockml.errors import Diverged, InvalidFile, NoChampion, TooFewBars
from stockml.features.scaling import FeatureScaler
from stockml.models import lstm
from stockml.models.retrain_policy import Decision
from stockml.models.trained_model import TrainedModel, load_model
from stockml.prices.bars import COLUMNS
from stockml.prices.series import PriceSeries
from stockml.settings import settings_for
from stockml.storage.files import sha256_of
from stockml.training.checkpoint import EpochProgress
from stockml.training.train import facts_about, learning_sha256, train
from stockml.training.trainer import TrainingSet, batches, chosen_weights, watched_origins
from tests.support.recordings import recorded
from tests.support.walks import SMALL, altered_after, small, walk

RETRAIN = Decision("retrain", "no champion yet")
FINE_TUNE = Decision("fine-tune", "1 new session")
SERIES = walk(400)

ELSEWHERE = """
import os, signal, sys
from pathlib import Path
from stockml.models.retrain_policy import Decision
from stockml.storage.files import sha256_of
from stockml.training.train import train
from tests.support.walks import SMALL, walk
def ended(row):
    if [row.network, str(row.epoch)] == sys.argv[2:]:
        os.kill(os.getpid(), signal.SIGKILL)
decision = Decision("retrain", "no champion yet")
train(walk(400), SMALL, decision, champion=None, folder=Path(sys.argv[1]), on_epoch=ended)
print(sha256_of(sys.argv[1]))
"""


@pytest.fixture(scope="module")
def champion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "champion"
    train(SERIES, SMALL, RETRAIN, champion=None, folder=folder)
    return folder


def elsewhere(folder: Path, *killed_after: str) -> "subprocess.CompletedProcess[str]":
    """Train in a process of its own, which kills itself after this network's epoch."""
    command = [sys.executable, "-c", ELSEWHERE, str(folder), *killed_after]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_the_same_key_gives_the_same_weights_in_another_process_and_after_a_sigkill(
    champion: Path, tmp_path: Path
) -> None:
    killed = elsewhere(tmp_path / "again", "held_out", "2")
    assert (killed.returncode, killed.stdout) == (-signal.SIGKILL, "")
    assert list((tmp_path / "again").glob("_checkpoint*"))
    assert elsewhere(tmp_path / "again").stdout.strip() == sha256_of(str(champion))


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["retrain", "fine-tune"])
@pytest.mark.parametrize("stop", [("held_out", 2), ("published", 1)])
def test_an_interrupted_training_ends_with_the_weights_of_an_uninterrupted_one(
    champion: Path, tmp_path: Path, mode: str, stop: tuple[str, int]
) -> None:
    decision = Decision(mode, "asked for")  # type: ignore[arg-type]
    series = walk(405)

    class Killed(Exception):
        pass

    def killed(row: EpochProgress) -> None:
        if (row.network, row.epoch) == stop:
            raise Killed

    whole = train(series, SMALL, decision, champion=champion, folder=tmp_path / "whole")
    with pytest.raises(Killed):
        train(series, SMALL, decision, champion=champion, folder=tmp_path / "halves", on_epoch=killed)
    rows: list[EpochProgress] = []
    halves = train(series, SMALL, decision, champion=champion, folder=tmp_path / "halves", on_epoch=rows.append)
    assert ("held_out", 1) not in [(row.network, row.epoch) for row in rows]
    assert sha256_of(str(tmp_path / "whole")) == sha256_of(str(tmp_path / "halves"))
    assert len(halves.history) == len(whole.history)
    assert not list((tmp_path / "halves").glob("_checkpoint*"))


@pytest.mark.slow
def test_a_checkpoint_of_other_bars_is_not_continued(tmp_path: Path) -> None:
    def killed(row: EpochProgress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(walk(400, seed=5), SMALL, RETRAIN, champion=None, folder=tmp_path / "a", on_epoch=killed)
    train(SERIES, SMALL, RETRAIN, champion=None, folder=tmp_path / "a")
    train(SERIES, SMALL, RETRAIN, champion=None, folder=tmp_path / "b")
    assert sha256_of(str(tmp_path / "a")) == sha256_of(str(tmp_path / "b"))


@pytest.mark.slow
def test_a_loaded_model_is_the_trained_one(champion: Path) -> None:
    model = load_model(champion)
    origins = np.arange(model.parts.test.start, len(SERIES))
    for network in (model.held_out, model.published):
        paths = network.paths(SERIES, origins)
        assert paths.shape == (len(origins), SMALL.evaluation.horizon)
        assert np.isfinite(paths).all()
        assert (paths > 0).all()
    assert model.held_out.learned_until < SERIES.sessions[model.parts.validation.start]
    assert model.published.learned_until == SERIES.sessions[-1]
    assert 0 <= model.shrinkage <= 1
    assert {"network", "epoch", "loss", "validation_loss", "learning_rate", "seconds"} <= set(model.history[0])
    assert model.settings == SMALL


@pytest.mark.slow
def test_models_that_forecast_at_once_in_one_process_do_not_mix_their_weights(champion: Path) -> None:
    model = load_model(champion)
    networks = [model.held_out, replace(model.published, weights=tuple(2 * w for w in model.published.weights))] * 8
    expected = [network.paths(SERIES, [300, 399]) for network in networks]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda network: network.paths(SERIES, [300, 399]), networks))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.slow
def test_a_thousand_paths_come_in_one_pass(champion: Path) -> None:
    model = load_model(champion)
    series, at = walk(2_000), np.arange(1_000, 2_000)
    together = model.published.paths(series, at)
    assert together.shape == (1_000, SMALL.evaluation.horizon)
    apart = np.concatenate([model.published.paths(series, [origin]) for origin in at[::100]])
    np.testing.assert_allclose(together[::100], apart, rtol=1e-6)


@pytest.mark.slow
def test_no_shrinkage_left_is_the_last_value(champion: Path) -> None:
    model = replace(load_model(champion).published, shrinkage=0.0)
    paths = model.paths(SERIES, [300, 399])
    np.testing.assert_array_equal(paths, np.repeat(SERIES.mid[[300, 399], None], 5, axis=1))


@pytest.mark.slow
def test_a_departure_counts_a_third_unless_validation_says_otherwise() -> None:
    slope = np.exp(0.01 * np.arange(400))  # far more than the usual rise: a network that says so is right
    rising = PriceSeries(SERIES.sessions, *(getattr(SERIES, name) * slope for name in COLUMNS))
    lesson, scale = TrainingSet.of(rising, SMALL), FeatureScaler.fit(rising)
    network = lstm.network(SMALL.network, SMALL.training, lesson.rows.shape[1], lesson.horizon)
    found = []
    for says in (0.1, 0.0, -0.1):
        network.reset()
        weights = network.weights()
        weights[-2] = np.array([0, 0, says], dtype=np.float32)  # so many steady steps, whatever the window
        network.reset(weights)
        found.append(chosen_weights(lesson, network, scale)[0])
    right, silent, wrong = found
    assert right > 1 / 3 > silent > wrong
    assert silent == pytest.approx(1 / 3, abs=0.04)


@pytest.mark.slow
def test_the_held_out_network_never_meets_what_it_is_scored_on(champion: Path, tmp_path: Path) -> None:
    model = load_model(champion)
    other = altered_after(SERIES, model.parts.test.start - 1)
    again = train(other, SMALL, RETRAIN, champion=None, folder=tmp_path / "other")
    assert_equal_weights(again, model, "held_out")
    assert again.shrinkage == model.shrinkage
    assert not np.array_equal(again.published.weights[0], model.published.weights[0])


def assert_equal_weights(one: TrainedModel, two: TrainedModel, network: str) -> None:
    for a, b in zip(getattr(one, network).weights, getattr(two, network).weights, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_fine_tuning_starts_from_the_champion_and_keeping_changes_no_weight(champion: Path, tmp_path: Path) -> None:
    before, series = load_model(champion), walk(401)
    tuned = train(series, SMALL, FINE_TUNE, champion=champion, folder=tmp_path / "tuned")
    moved = np.abs(tuned.published.weights[0] - before.published.weights[0]).max()
    assert 0 < moved < 0.001  # many such nights leave the weights where a full training put them
    assert tuned.retrained_at == before.retrained_at
    assert tuned.last_session == series.sessions[-1]
    kept = train(SERIES, SMALL, Decision("keep", "nothing new"), champion=champion, folder=tmp_path / "kept")
    assert_equal_weights(kept, before, "held_out")
    assert_equal_weights(kept, before, "published")
    assert kept.decision.mode == "keep"


@pytest.mark.slow
def test_the_facts_about_a_champion_are_counted_in_sessions(champion: Path) -> None:
    model = load_model(champion)
    facts = facts_about(model, walk(403), SMALL)
    assert (facts.new_sessions, facts.sessions_since_retrain, facts.same_settings) == (3, 3, True)
    assert not facts_about(model, SERIES, small(training={"seed": 8})).same_settings
    assert learning_sha256(SMALL.changed(mode="keep")) == learning_sha256(SMALL)
    assert learning_sha256(
        SMALL.changed(evaluation=SMALL.evaluation.changed(replace_after_sessions=5))
    ) == learning_sha256(SMALL)


@pytest.mark.slow
def test_divergence_stops_with_a_typed_error_and_leaves_no_model(tmp_path: Path) -> None:
    broken = replace(SERIES, high=np.where(np.arange(400) == 50, np.nan, SERIES.high))
    with pytest.raises(Diverged, match="epoch 1: expected a finite loss, found nan; the champion stays"):
        train(broken, SMALL, RETRAIN, champion=None, folder=tmp_path)
    with pytest.raises(InvalidFile):
        load_model(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("sessions", [600, 989, 3_270])
def test_the_default_trains_on_short_histories(tmp_path: Path, sessions: int) -> None:
    series = PriceSeries.from_bars(recorded("IBM")).until(sessions)
    assert len(series) == sessions
    model = train(series, settings_for(), RETRAIN, champion=None, folder=tmp_path)
    path = model.published.paths(series, [sessions - 1])
    assert path.shape == (1, 50)
    assert np.abs(path / series.mid[-1] - 1).max() < 0.5


def test_what_cannot_be_trained_is_refused_by_type(tmp_path: Path) -> None:
    with pytest.raises(TooFewBars):
        train(walk(40), SMALL, RETRAIN, champion=None, folder=tmp_path)
    with pytest.raises(TooFewBars, match="look-back"):
        train(walk(120), small(network={"look_back": 100}), RETRAIN, champion=None, folder=tmp_path)
    with pytest.raises(NoChampion):
        train(SERIES, SMALL, FINE_TUNE, champion=None, folder=tmp_path)
    with pytest.raises(InvalidFile, match="absent"):
        train(SERIES, SMALL, FINE_TUNE, champion=tmp_path / "absent", folder=tmp_path)


@pytest.mark.parametrize(("count", "size"), [(1_000, 64), (50, 64)])
def test_batches_hold_each_row_once_afresh_and_mix_new_with_old_when_continued(count: int, size: int) -> None:
    afresh = batches(count, size, (7, 1), continued=False)
    assert len(set(afresh.ravel())) == afresh.size
    assert afresh.size > count - size
    np.testing.assert_array_equal(afresh, batches(count, size, (7, 1), continued=False))
    assert not np.array_equal(afresh, batches(count, size, (7, 2), continued=False))
    continued = batches(count, size, (7, 1), continued=True)
    assert continued.max() > count - size
    assert continued.min() < count / 2


def test_each_epoch_leaves_what_it_would_have_said_on_the_test_part_and_nothing_depends_on_it(champion: Path) -> None:
    model = load_model(champion)
    watched = [row["watched"] for row in model.history if row["network"] == "held_out"]
    origins = watched_origins(model.parts, SMALL.evaluation.horizon)
    assert len(watched) == SMALL.training.epochs
    assert all(np.shape(paths) == (len(origins), SMALL.evaluation.horizon) for paths in watched)
    assert np.min(origins) >= model.parts.test.start
    assert all(row["watched"] is None for row in model.history if row["network"] == "published")
