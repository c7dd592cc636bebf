"""One network brought to its last epoch: what it learns from, in which order, and what validation chooses."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stockml import lstm
from stockml.checkpoint import Progress
from stockml.config import Settings
from stockml.errors import Diverged, TooFewBars
from stockml.forecaster import assemble
from stockml.normalise import Floats, PriceSeries, Scale, drift, features, volatility
from stockml.windows import Origins, Parts, inputs, origins, outcomes, parts, targets

WARM_UP = 20  # sessions before the first window: the trailing measures have something to trail
TARGET_LIMIT = 4.0  # in standard deviations of a random walk: one crash does not decide the weights
RECENT_SESSIONS = 250


@dataclass(frozen=True)
class EpochProgress:
    """An epoch that has just ended; losses in squared units of daily volatility."""

    network: str
    epoch: int
    epochs: int
    loss: float
    validation_loss: float | None
    learning_rate: float
    seconds: float


@dataclass(frozen=True, eq=False)
class Lesson:
    """A series made ready to learn from. rows: (n, features), not yet scaled; log_mid, sigma, drift: (n,)."""

    settings: Settings
    series: PriceSeries
    rows: Floats
    log_mid: Floats
    sigma: Floats
    drift: Floats
    parts: Parts

    @classmethod
    def of(cls, series: PriceSeries, settings: Settings) -> "Lesson":
        """Raises TooFewBars when the training part would not hold one horizon of windows."""
        split = parts(len(series), settings.evaluation)
        missing = settings.network.look_back + WARM_UP + settings.evaluation.horizon - split.train_end
        if missing > 0:
            raise TooFewBars(len(series) + 2 * missing, len(series), f"a look-back of {settings.network.look_back}")
        log_mid = np.log(series.mid)
        return cls(settings, series, features(series), log_mid, volatility(series), drift(series), split)

    @property
    def horizon(self) -> int:
        return self.settings.evaluation.horizon

    def learned_until(self, network: str) -> int:
        """The last session that this network's weights may depend on."""
        return self.parts.train_end - 1 + self.horizon if network == "held_out" else len(self.series) - 1

    def learned_from(self, network: str) -> Origins:
        """(m,) every origin whose outcome is known to this network."""
        return np.arange(self.settings.network.look_back - 1 + WARM_UP, self.learned_until(network) + 1 - self.horizon)

    def validation(self) -> Origins:
        return origins(self.parts.validation, self.settings.evaluation.origin_every)

    def inputs(self, scale: Scale, at: Origins) -> NDArray[np.float32]:
        """(m, look_back, features)."""
        return inputs(scale.apply(self.rows), at, self.settings.network.look_back)

    def targets(self, at: Origins) -> NDArray[np.float32]:
        """(m, horizon): the log path's departure from long-run drift, in daily volatilities, without its extremes."""
        leads = np.arange(1, self.horizon + 1)
        path = targets(self.log_mid, self.sigma, at, self.horizon)
        path -= self.drift[at, None] / self.sigma[at, None] * leads
        limit = TARGET_LIMIT * np.sqrt(leads)
        return np.clip(path, -limit, limit).astype(np.float32)


def fit(
    lesson: Lesson,
    network: lstm.Network,
    scale: Scale,
    progress: Progress,
    *,
    continued: bool,
    ended: Callable[[EpochProgress], None],
) -> None:
    """Run the epochs that are left of the network that `progress` names; `network` stands where it was left.

    `held_out` notes in `progress` the weights that the validation part likes best; `published` goes on for as many
    epochs as that took. Raises Diverged.
    """
    training = lesson.settings.training
    held_out = progress.network == "held_out"
    at = lesson.learned_from(progress.network)
    x, y = lstm.tensor(lesson.inputs(scale, at)), lstm.tensor(lesson.targets(at))
    rate = training.fine_tune_learning_rate if continued else training.learning_rate
    epochs = training.fine_tune_epochs if continued else training.epochs
    if held_out and progress.best is None:
        progress.best, progress.best_loss = network.weights(), validation_loss(lesson, network, scale)
    for epoch in range(progress.epoch + 1, (epochs if held_out else progress.best_epoch) + 1):
        began = time.perf_counter()
        order = batches(len(at), training.batch_size, (training.seed, epoch), continued=continued)
        loss = network.fit_epoch(x, y, order, rate, (training.seed, epoch))
        judged = validation_loss(lesson, network, scale) if held_out else None
        if not np.isfinite(loss) or not np.isfinite(judged or 0.0):
            raise Diverged(epoch, loss)
        if judged is not None and judged < progress.best_loss:
            progress.best, progress.best_epoch, progress.best_loss = network.weights(), epoch, judged
        progress.epoch, progress.state = epoch, network.state()
        ended(EpochProgress(progress.network, epoch, epochs, loss, judged, rate, time.perf_counter() - began))


def validation_loss(lesson: Lesson, network: lstm.Network, scale: Scale) -> float:
    """Mean squared error on the validation part, in squared units of daily volatility."""
    at = lesson.validation()
    return float(np.mean((network.predict(lesson.inputs(scale, at)) - lesson.targets(at)) ** 2))


def shrinkage(lesson: Lesson, network: lstm.Network, scale: Scale) -> float:
    """The weight in 0..1 of the learned log path that the validation part likes best."""
    at = lesson.validation()
    steps = network.predict(lesson.inputs(scale, at)).astype(np.float64)
    learned = np.log(assemble(lesson.series, at, 1.0, steps) / lesson.series.mid[at, None])
    real = outcomes(lesson.log_mid, at, lesson.horizon) - lesson.log_mid[at, None]
    power = float(np.sum(learned**2))
    return float(np.clip(np.sum(learned * real) / power, 0.0, 1.0)) if power > 0 else 0.0


def batches(count: int, size: int, seed: tuple[int, int], *, continued: bool) -> NDArray[np.int64]:
    """(batches, size) rows of `count`, oldest first in number, to learn from in this epoch; fixed by `seed` alone.

    Afresh, each row comes once, less a remainder. Continued, one half is the newest year and one half is drawn from
    all, so that what was learned before is not forgotten.
    """
    rng = np.random.default_rng(seed)
    rows = np.arange(count)
    if continued:
        newest = rows[-RECENT_SESSIONS:]
        rows = np.concatenate([newest, rng.choice(count, len(newest))])
    size = min(size, len(rows))
    return rng.permutation(rows)[: len(rows) // size * size].reshape(-1, size)
