"""Train by the tutorial's recipe: resumable, and judged after every epoch by its forecasts."""

import hashlib
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stockml.code_version import code_hash
from stockml.errors import Diverged, TooFewBars
from stockml.models.tensorflow import assign, values_of
from stockml.models.tutorial_network import build, fit_epoch
from stockml.models.tutorial_recipe import (
    Prepared,
    Streams,
    Weights,
    half_mse,
    input_windows,
    learning_rate,
    move_correlation,
    path_errors,
    prepare,
    rollout,
    starts,
    target_windows,
    train_length,
)
from stockml.settings import Settings
from stockml.storage.arrays import Floats, Indices, packed
from stockml.training import checkpoint
from stockml.training.checkpoint import EpochProgress

VALIDATION_SHARE = 11  # one in 11: the newest 1,000 of the tutorial's 11,000 training points
# at least: a short series has fewer streams, so that an epoch still has some steps
POINTS_A_STREAM = 15


@dataclass(frozen=True, eq=False)
class Recipe:
    """What one training by the tutorial's recipe learns from, points before `learned_end`, and what
    it is judged on.

    `validation`, `test`: starts (the first predicted points); `test` is empty when nothing follows
    the training part.
    """

    settings: Settings
    prepared: Prepared
    learned_end: int
    validation: Indices
    test: Indices

    @classmethod
    def of(
        cls, mid: Floats, train_end: int, settings: Settings, test: Indices | None = None
    ) -> "Recipe":
        """mid: (n,), price; the first `train_end` points are the training part.  test: starts in
        place of the page's.

        The validation part is the newest eleventh of that, learned from only with
        `decay_on="test"`, the published recipe; otherwise learning ends one horizon before it.
        Raises TooFewBars.
        """
        horizon = settings.evaluation.horizon
        if train_end < VALIDATION_SHARE * horizon:
            raise TooFewBars(
                VALIDATION_SHARE * horizon, train_end, "the training part of the tutorial's recipe"
            )
        validation_start = train_end - train_end // VALIDATION_SHARE
        test = starts(train_end, len(mid), horizon) if test is None else test
        return cls(
            settings=settings,
            prepared=prepare(mid, train_end),
            learned_end=train_end
            if settings.training.decay_on == "test"
            else validation_start - horizon,
            validation=starts(validation_start, train_end, horizon),
            test=test,
        )

    @property
    def width(self) -> int:
        """Parallel streams: 500 in the tutorial, fewer for a short series, and at least one."""
        return max(1, min(self.settings.training.batch_size, self.learned_end // POINTS_A_STREAM))

    @property
    def steps(self) -> int:
        """Optimiser steps per epoch: training points / streams."""
        return self.prepared.train_end // self.width

    def streams(self) -> Streams:
        return Streams.of(
            self.prepared.values[: self.learned_end], self.width, self.settings.network.look_back
        )

    def predictions(self, weights: Weights, at: Indices) -> Floats:
        """(m, horizon), scaled: the paths from these starts."""
        network = self.settings.network
        inputs = input_windows(self.prepared.values, at, network.look_back)
        return rollout(weights, inputs, self.settings.evaluation.horizon, network.cell)

    def error(self, predicted: Floats, at: Indices) -> float | None:
        """0.5 · MSE of paths (m, horizon) from these starts (m,), scaled; None when there are
        none."""
        return half_mse(predicted, self.outcomes(at)) if len(at) else None

    def outcomes(self, at: Indices) -> Floats:
        """(m, horizon), scaled: what actually followed from these starts."""
        return target_windows(self.prepared.values, at, self.settings.evaluation.horizon)

    def directions(self, predicted: Floats, at: Indices) -> tuple[int, int]:
        """After how many starts the direction at `direction_step` was right, and after how many the
        price had risen.

        predicted: (m, horizon), scaled paths.  at: (m,), starts.
        """
        step, last = self.settings.evaluation.direction_step - 1, self.prepared.values[at - 1]
        rose = self.outcomes(at)[:, step] > last
        return int(((predicted[:, step] > last) == rose).sum()), int(rose.sum())

    def fingerprint(self, start: Weights | None) -> str:
        """Hash of everything that a checkpoint must agree on to be resumed."""
        code = code_hash("training.tutorial")
        facts = json.dumps(
            [self.settings.sha256(), self.prepared.train_end, self.learned_end, code]
        )
        return hashlib.sha256(
            facts.encode() + self.prepared.values.tobytes() + packed(start or ())
        ).hexdigest()


@dataclass(frozen=True, eq=False)
class TutorialFit:
    """The result of a training.  history: a row per epoch, as in EpochProgress.

    weights: of the epoch `chosen` by the validation part, since figures of late epochs still
    scatter by a third; with `decay_on="test"`, the published recipe, of the last epoch.
    test_predictions: (epochs, starts, horizon), scaled.
    """

    recipe: Recipe
    weights: tuple[NDArray[np.float32], ...]
    chosen: int
    history: tuple[dict[str, Any], ...]
    test_predictions: Floats


def fit(
    recipe: Recipe,
    *,
    folder: Path,
    name: str = "tutorial",
    start: Weights | None = None,
    on_epoch: Callable[[EpochProgress], None] | None = None,
) -> TutorialFit:
    """Run the remaining epochs; an interrupted call resumes from `folder` and ends with the same
    weights.

    `start`: initial weights. An epoch's draws depend only on the seed and its number; the test part
    is predicted after each, and lowers the learning rate only with `decay_on="test"`. Raises
    TooFewBars, Diverged.
    """
    training = recipe.settings.training
    fingerprint = recipe.fingerprint(start)
    model = build(recipe.settings, recipe.width)
    weights, state = model.trainable_variables, [*model.variables, *model.optimizer.variables]
    if start is not None:
        assign(weights, start)
    progress = checkpoint.resume(folder, fingerprint)
    streams = recipe.streams()
    if progress.arrays:
        cursors, *values = progress.arrays["state"]
        assign(state, values)
        streams = replace(streams, cursors=cursors)
    for epoch in range(progress.epoch + 1, training.epochs + 1):
        began = time.perf_counter()
        rate = learning_rate(
            training.learning_rate, (row[f"{training.decay_on}_loss"] for row in progress.history)
        )
        x, y, streams = epoch_of(
            streams, recipe.steps, np.random.default_rng((training.seed, epoch))
        )
        loss = fit_epoch(model, x, y, rate)
        if not np.isfinite(loss):
            raise Diverged(epoch, loss)
        figures, paths = _epoch_figures(recipe, values_of(weights))
        seconds = time.perf_counter() - began
        times = {"seconds": seconds, "seconds_left": seconds * (training.epochs - epoch)}
        epoch_progress = EpochProgress(
            name, epoch, training.epochs, loss, learning_rate=rate, **times, **figures
        )
        progress.history.append(asdict(epoch_progress) | {"test_predictions": paths.tolist()})
        if figures["validation_loss"] < progress.best_loss:
            progress.arrays["best"] = values_of(weights)
            progress.best_epoch, progress.best_loss = epoch, figures["validation_loss"]
        progress.epoch, progress.arrays["state"] = epoch, [streams.cursors, *values_of(state)]
        checkpoint.save(folder, fingerprint, progress)
        if on_epoch:
            on_epoch(epoch_progress)
    predictions = np.array([row.pop("test_predictions") for row in progress.history])
    chosen, fitted = training.epochs, values_of(weights)
    if training.decay_on == "validation" and progress.best_epoch:
        chosen, fitted = progress.best_epoch, progress.arrays["best"]
    return TutorialFit(recipe, tuple(fitted), chosen, tuple(progress.history), predictions)


def lowest_loss(
    mid: Floats, settings: Settings, on_epoch: Callable[[EpochProgress], None]
) -> float:
    """The lowest validation loss over the epochs, without looking at the test part.  mid: (n,),
    price."""
    end = train_length(len(mid))
    with tempfile.TemporaryDirectory() as folder:
        fitted = fit(Recipe.of(mid[:end], end, settings), folder=Path(folder), on_epoch=on_epoch)
    return float(min(row["validation_loss"] for row in fitted.history))


def last_value_loss(mid: Floats, settings: Settings) -> float:
    """That of "the price stays", from the same starts as in `lowest_loss`.  mid: (n,), price."""
    end = train_length(len(mid))
    recipe = Recipe.of(mid[:end], end, settings)
    return path_errors(recipe.prepared, recipe.validation, settings.evaluation.horizon)[
        "last value"
    ]


def epoch_of(
    streams: Streams, steps: int, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32], Streams]:
    """An epoch's points and labels, (steps · streams, unrolled) each, step by step, and the streams
    after it."""
    points, labels = [], []
    for _ in range(steps):
        at, label_at, streams = streams.places(
            rng.random((streams.unrolled, len(streams.cursors), 2))
        )
        points.append(streams.values[at].T)
        labels.append(streams.values[label_at].T)
    return (
        np.concatenate(points).astype(np.float32),
        np.concatenate(labels).astype(np.float32),
        streams,
    )


def _epoch_figures(recipe: Recipe, weights: Weights) -> tuple[dict[str, Any], Floats]:
    """An epoch's figures, named as in EpochProgress, and its paths on the test part."""
    at = recipe.test
    paths, last = recipe.predictions(weights, at), recipe.prepared.values[at - 1]
    figures = {
        "validation_loss": recipe.error(
            recipe.predictions(weights, recipe.validation), recipe.validation
        ),
        "test_loss": recipe.error(paths, at),
        "last_value_loss": recipe.error(last[:, None], at),
        "correlation": move_correlation(paths, recipe.outcomes(at), last),
    }
    return figures, paths
