"""Training by the tutorial's recipe: resumable, judged after every epoch, and what comes out of it as forecasts."""

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stockml import checkpoint
from stockml.config import Settings
from stockml.errors import Diverged, TooFewBars
from stockml.fitting import EpochProgress
from stockml.tutorial import (
    Decay,
    Floats,
    Indices,
    Prepared,
    Streams,
    Weights,
    futures,
    half_mse,
    pasts,
    prepare,
    rollout,
    starts,
)
from stockml.tutorial_lstm import StreamNetwork

VALIDATION_SHARE = 11  # one in 11: the newest 1,000 of the tutorial's 11,000 training points


@dataclass(frozen=True, eq=False)
class Recipe:
    """What one training by the tutorial's recipe learns from, and what it is judged by.

    `learned_end`: points before it are learned from. `validation`, `test`: starts (the first predicted points), the
    test's being those of the tutorial; empty when nothing follows the training part.
    """

    settings: Settings
    prepared: Prepared
    learned_end: int
    validation: Indices
    test: Indices

    @classmethod
    def of(cls, mid: Floats, train_end: int, settings: Settings) -> "Recipe":
        """mid: (n,), price; the first `train_end` points are the training part.

        The validation part is its newest eleventh, learned from only with `decay_on="test"`, the published recipe;
        otherwise learning ends one horizon before it.
        """
        horizon = settings.evaluation.horizon
        validated = train_end - train_end // VALIDATION_SHARE
        learned_end = train_end if settings.training.decay_on == "test" else validated - horizon
        recipe = cls(
            settings=settings,
            prepared=prepare(mid, train_end),
            learned_end=learned_end,
            validation=starts(validated, train_end, horizon),
            test=starts(train_end, len(mid), horizon),
        )
        if len(recipe.judged) == 0:
            needed = VALIDATION_SHARE * horizon if settings.training.decay_on == "validation" else train_end + horizon
            raise TooFewBars(needed, len(mid), f"a {settings.training.decay_on} part of one horizon")
        return recipe

    @property
    def judged(self) -> Indices:
        """The starts that lower the learning rate."""
        return self.test if self.settings.training.decay_on == "test" else self.validation

    @property
    def steps(self) -> int:
        """Optimiser steps an epoch: training points / streams."""
        return max(1, self.prepared.train_end // self.settings.training.batch_size)

    def streams(self) -> Streams:
        network, training = self.settings.network, self.settings.training
        return Streams.of(self.prepared.values[: self.learned_end], training.batch_size, network.look_back)

    def predictions(self, weights: Weights, at: Indices) -> Floats:
        """(m, horizon), scaled: the paths from these starts."""
        fed = pasts(self.prepared.values, at, self.settings.network.look_back)
        return rollout(weights, fed, self.settings.evaluation.horizon)

    def error(self, predicted: Floats, at: Indices) -> float | None:
        """0.5 · MSE of paths from these starts, scaled; None when there are none."""
        horizon = self.settings.evaluation.horizon
        return half_mse(predicted, futures(self.prepared.values, at, horizon)) if len(at) else None

    def fingerprint(self) -> str:
        """What a checkpoint must agree on to be continued."""
        facts = json.dumps([self.settings.sha256(), self.prepared.train_end, self.learned_end])
        return hashlib.sha256(facts.encode() + self.prepared.values.tobytes()).hexdigest()


@dataclass(frozen=True, eq=False)
class TutorialFit:
    """What a training came to.  history: a row an epoch, as in EpochProgress, with `test_loss`.

    test_predictions: (epochs, starts, horizon), scaled: how the paths of the test part changed over the epochs.
    """

    recipe: Recipe
    weights: tuple[NDArray[np.float32], ...]
    history: tuple[dict[str, Any], ...]
    test_predictions: Floats


def fit(
    recipe: Recipe,
    *,
    folder: Path,
    network_name: str = "tutorial",
    on_epoch: Callable[[EpochProgress], None] | None = None,
) -> TutorialFit:
    """Run the epochs that are left; interrupted, it goes on from `folder` and ends with the same weights.

    An epoch's draws follow from the seed and its number; the test part is predicted after each, and lowers the
    learning rate only with `decay_on="test"`. Raises TooFewBars, Diverged.
    """
    training, fingerprint = recipe.settings.training, recipe.fingerprint()
    streams, network = recipe.streams(), StreamNetwork(recipe.settings)
    progress = checkpoint.resume(folder, fingerprint)
    if progress.state is not None:
        cursors, *state = progress.state
        streams = Streams(streams.values, cursors, streams.unrolled)
        network.restore(state)
    decay = Decay(training.learning_rate)
    for row in progress.history:
        decay = decay.after(row[f"{training.decay_on}_loss"])
    for epoch in range(progress.epoch + 1, training.epochs + 1):
        began = time.perf_counter()
        x, y, streams = epoch_of(streams, recipe.steps, np.random.default_rng((training.seed, epoch)))
        loss = network.fit_epoch(x, y, decay.rate)
        if not np.isfinite(loss):
            raise Diverged(epoch, loss)
        judged = _judged(recipe, network.weights())
        seconds = time.perf_counter() - began
        ended = EpochProgress(
            network_name, epoch, training.epochs, loss, judged["validation_loss"], decay.rate, seconds
        )
        progress.history.append(asdict(ended) | judged)
        decay = decay.after(judged[f"{training.decay_on}_loss"])
        progress.epoch, progress.state = epoch, [streams.cursors, *network.state()]
        checkpoint.keep(folder, fingerprint, progress)
        if on_epoch:
            on_epoch(ended)
    predictions = np.array([row.pop("test_predictions") for row in progress.history])
    return TutorialFit(recipe, tuple(network.weights()), tuple(progress.history), predictions)


def epoch_of(
    streams: Streams, steps: int, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32], Streams]:
    """An epoch's points and labels, (steps · streams, unrolled) each, step by step, and the streams after it."""
    points, labels = [], []
    for _ in range(steps):
        x, y, streams = streams.read(rng.random((streams.unrolled, len(streams.cursors), 2)))
        points.append(x)
        labels.append(y)
    return np.concatenate(points).astype(np.float32), np.concatenate(labels).astype(np.float32), streams


def _judged(recipe: Recipe, weights: Weights) -> dict[str, Any]:
    validation = recipe.predictions(weights, recipe.validation)
    test = recipe.predictions(weights, recipe.test)
    return {
        "validation_loss": recipe.error(validation, recipe.validation),
        "test_loss": recipe.error(test, recipe.test),
        "test_predictions": test.tolist(),
    }
