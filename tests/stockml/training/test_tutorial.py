"""The tutorial's network: dropout, carried state, loss; training resumed and repeated; what the
rate may see."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from stockml.errors import Diverged
from stockml.evaluation.tutorial_report import NOISE, PUBLISHED, report
from stockml.features.origins import every_nth
from stockml.models import tutorial_network as network
from stockml.models.trained_model import Decision, load_model
from stockml.models.tutorial_recipe import input_windows, rollout
from stockml.prices.series import PriceSeries
from stockml.settings import settings_for, tutorial_settings
from stockml.storage.files import sha256_of
from stockml.training.checkpoint import EpochProgress
from stockml.training.train import train
from stockml.training.tutorial import Recipe, fit
from tests.support.kaggle import kaggle_folder

pytestmark = pytest.mark.slow

SMALL = {
    "network.units": (6, 5),
    "network.look_back": 5,
    "training.batch_size": 16,
    "training.epochs": 4,
    "training.learning_rate": 1e-3,
    "evaluation.direction_step": 5,
    "evaluation.horizon": 10,
}


def small(**changed):
    named = {name.replace("__", "."): value for name, value in changed.items()}
    return settings_for("tutorial", SMALL | named)


NIGHTLY = small(
    evaluation__test_sessions=150, evaluation__validation_sessions=100, training__epochs=2
)


def random_prices(n=700, seed=0):
    return 20 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, 0.02, n)))


def random_series(n=700):
    mid = random_prices(n)
    sessions = np.datetime64("2000-01-03") + np.arange(n)
    return PriceSeries(sessions, mid, mid * 1.01, mid * 0.99, mid, np.full(n, 1e6))


def fitted(folder, mid, settings, **options):
    return fit(Recipe.of(mid, 600, settings), folder=folder, **options)


def digest(weights):
    return hashlib.sha256(b"".join(np.ascontiguousarray(w).tobytes() for w in weights)).hexdigest()


def weights_of(model):
    return [v.numpy() for v in model.trainable_variables]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return fitted(tmp_path_factory.mktemp("whole"), random_prices(), small())


@pytest.mark.parametrize("cell", ["lstm", "gru", "peephole"])
def test_a_rollout_in_numpy_equals_the_keras_network_step_by_step(cell):
    model = network.build(small(network__cell=cell, network__dropout=0.0), streams=3)
    for layer in model.layers[2:4]:
        for weight in layer.trainable_variables[2:]:  # biases and peepholes start at one value each
            weight.assign(np.random.default_rng(1).normal(0, 0.3, weight.shape))
    fed = np.random.default_rng(0).random((3, 5))  # two streams beside one
    one_step = model(fed[..., None].astype(np.float32)).numpy()[:, -1, 0]
    path = rollout(weights_of(model), fed, 4, cell)
    assert path[:, 0] == pytest.approx(one_step, abs=0.01), "training multiplies in bfloat16"
    longer = rollout(weights_of(model), np.column_stack([fed, path[:, 0]]), 3, cell)
    assert path[:, 1:] == pytest.approx(longer, abs=1e-6)


def test_dropout_draws_outputs_and_hidden_states_apart_and_anew_at_every_step():
    layer = network.stream_layer()("lstm", 400, 0.2, seed=3)
    outputs = layer(np.ones((2, 200, 1), np.float32)).numpy()
    dropped = [outputs[0] == 0, outputs[1] == 0, layer.states[0].numpy() == 0]
    for each in dropped:
        assert np.mean(each) == pytest.approx(0.2, abs=0.01)
    for one, other in ((0, 1), (1, 2)):
        assert np.mean(dropped[one] & dropped[other]) == pytest.approx(0.04, abs=0.005)


def test_losses_are_sums_over_the_steps_averaged_over_the_streams():
    real, predicted = np.random.default_rng(0).normal(0, 0.01, (2, 7, 5, 1)).astype(np.float32)
    size = np.abs(real - predicted)
    bent = np.where(size < 0.01, 0.5 * size**2, 0.01 * (size - 0.005))
    for name, each in (("mse", 0.5 * size**2), ("mae", size), ("huber", bent)):
        model = network.build(small(training__loss=name), streams=7)
        loss = float(model.compute_loss(y=real, y_pred=predicted))
        assert loss == pytest.approx(each.sum((1, 2)).mean(), rel=1e-4), name


def test_the_streams_state_is_carried_from_step_to_step():
    whole = network.build(small(network__dropout=0.0, network__look_back=10), streams=4)
    halves = network.build(small(network__dropout=0.0), streams=4)
    x = np.random.default_rng(0).random((4, 10, 1)).astype(np.float32)
    in_one = whole(x).numpy()
    in_two = [halves(part).numpy() for part in (x[:, :5], x[:, 5:])]
    assert np.concatenate(in_two, axis=1) == pytest.approx(in_one, abs=1e-6)


def stopped_after_two(folder):
    """Two epochs of the full training, then Ctrl-C."""

    def stop(progress):
        if progress.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fitted(folder, random_prices(), small(), on_epoch=stop)


@pytest.mark.campaign
def test_a_training_interrupted_in_another_process_ends_with_the_weights_of_an_uninterrupted_one(
    tmp_path, whole
):
    """So equal seeds give equal weights across processes."""
    script = "from tests.stockml.training.test_tutorial import Path, stopped_after_two\n"
    script += f"stopped_after_two(Path({str(tmp_path)!r}))"
    command = [sys.executable, "-c", script]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, ""), "TensorFlow loads silently"
    told: list[EpochProgress] = []
    resumed = fitted(tmp_path, random_prices(), small(), on_epoch=told.append)
    assert [progress.epoch for progress in told] == [3, 4]
    assert digest(resumed.weights) == digest(whole.weights)
    assert resumed.test_predictions.tolist() == whole.test_predictions.tolist()
    assert [row["loss"] for row in resumed.history] == [row["loss"] for row in whole.history]
    # a checkpoint of another training is not continued
    other = fitted(tmp_path, random_prices(seed=2), small(training__epochs=1))
    assert [row["epoch"] for row in other.history] == [1]


def test_each_epoch_records_its_figures_and_its_paths_on_the_test_part(whole):
    recipe, starts = whole.recipe, whole.recipe.test
    values = recipe.prepared.values
    last = values[starts - 1][:, None]
    moves = np.array([values[start : start + 10] for start in starts]) - last
    assert whole.test_predictions.shape == (4, 10, 10)
    for row, paths in zip(whole.history, whole.test_predictions, strict=True):
        assert row["test_loss"] == pytest.approx(0.5 * np.mean((paths - last - moves) ** 2))
        assert row["last_value_loss"] == pytest.approx(0.5 * np.mean(moves**2))
        said = np.corrcoef((paths - last).ravel(), moves.ravel())[0, 1]
        assert row["correlation"] == pytest.approx(said)
        assert row["seconds_left"] == pytest.approx(row["seconds"] * (4 - row["epoch"]))
    fed = input_windows(values, starts, 5)
    chosen = whole.test_predictions[whole.chosen - 1]
    assert rollout(whole.weights, fed, 10).tolist() == chosen.tolist()
    losses = [row["validation_loss"] for row in whole.history]
    assert losses[whole.chosen - 1] == min(losses)


@pytest.mark.parametrize("decay_on", ["validation", "test"])
def test_the_test_part_reaches_weights_and_rate_only_by_known_leak_2_decaying_on_it(
    decay_on, tmp_path
):
    """Its other future lies below all training prices, so learning leads away from it."""
    settings = small(training__epochs=8, training__decay_on=decay_on)
    mid = random_prices()
    later = np.where(np.arange(700) < 600, mid, mid[:600].min() * 0.5)
    fits = [fitted(tmp_path / str(i), each, settings) for i, each in enumerate((mid, later))]
    weights = {digest(each.weights) for each in fits}
    rates = {tuple(row["learning_rate"] for row in each.history) for each in fits}
    assert len(weights) == len(rates) == (1 if decay_on == "validation" else 2)


def test_a_loss_that_is_not_a_number_stops_training_with_a_typed_error(tmp_path):
    damaged = [np.full_like(w, np.nan) for w in weights_of(network.build(small(), streams=2))]
    with pytest.raises(Diverged):
        fitted(tmp_path, random_prices(), small(), start=damaged)


RETRAIN, FINE_TUNE = Decision("retrain", "asked for"), Decision("fine-tune", "asked for")


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """A night's model."""
    folder = tmp_path_factory.mktemp("first")
    train(random_series(), NIGHTLY, RETRAIN, champion=None, folder=folder)
    return folder


def test_as_a_nights_model_it_is_trained_saved_and_loaded_like_any_other(tmp_path, first):
    series, second = random_series(), tmp_path / "second"
    model = train(series, NIGHTLY, RETRAIN, champion=None, folder=second)
    assert model.held_out.learned_until < series.sessions[model.parts.validation.start]
    assert model.published.learned_until == series.sessions[-1]
    assert [row["network"] for row in model.history] == ["held_out"] * 2 + ["published"] * 2
    paths = model.held_out.paths(series, every_nth(model.parts.test, 10), 10)
    assert model.history[1]["watched"] == np.round(paths, 4).tolist(), "epoch 2 is kept"
    assert "watched" not in model.history[2]
    paths = model.published.paths(series, (at := np.array([600, 650, 699])), 10)
    assert load_model(second).published.paths(series, at, 10).tolist() == paths.tolist()
    assert np.isfinite(paths).sum() == 30
    assert sha256_of(str(first)) == sha256_of(str(second))
    tuned = train(series, NIGHTLY, FINE_TUNE, champion=first, folder=tmp_path / "3")
    assert len(tuned.history) == 2 * NIGHTLY.training.fine_tune_epochs
    assert digest(tuned.published.weights) != digest(model.published.weights)


FEW = {**SMALL, "network.units": (4,), "training.epochs": 1}
CHANGED = {
    "network.cell": "gru", "network.units": (5,), "network.dropout": 0.5, "network.look_back": 6,
    "training.optimizer": "sgd", "training.loss": "mae", "training.learning_rate": 3e-3, "training.batch_size": 8,
    "training.epochs": 2, "training.decay_on": "test", "training.seed": 8,
    "evaluation.horizon": 12,
}  # fmt: skip


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    return fitted(tmp_path_factory.mktemp("usual"), random_prices(), tutorial_settings(FEW))


@pytest.mark.parametrize("name", CHANGED)
def test_an_accepted_setting_changes_what_is_learned(name, usual, tmp_path):
    other = fitted(tmp_path, random_prices(), tutorial_settings({**FEW, name: CHANGED[name]}))
    learned = {(digest(each.weights), len(each.history)) for each in (usual, other)}
    assert len(learned) == 2


@pytest.mark.campaign
def test_thirty_epochs_on_hpq_reach_the_published_figures():
    """The published recipe at its published size: nine minutes on two cores."""
    hpq = kaggle_folder() / "Stocks" / "hpq.us.txt"
    found = report(hpq, {"training.decay_on": "test"}, on_epoch=print)
    for name in ("standard average", "EMA"):
        assert f"{found.one_step[name]:.5f}" == f"{PUBLISHED[name]:.5f}"
    assert found.by_epoch[-1] == pytest.approx(PUBLISHED["LSTM"], abs=NOISE)
    assert len(found.by_epoch) == 30
