"""One network brought to its last epoch: what it learns from, in which order, and what validation chooses."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stockml.errors import Diverged, TooFewBars
from stockml.features.scaling import FeatureScaler, ewma_volatility, features
from stockml.features.windows import OriginSplit, inputs, origins, split_origins, targets
from stockml.models import lstm
from stockml.models.forecaster import expected_moves
from stockml.models.trend_prior import prior_path
from stockml.prices.series import PriceSeries
from stockml.settings import Settings
from stockml.storage.arrays import Floats, Indices
from stockml.training.checkpoint import EpochProgress, TrainingProgress

WARM_UP = 20  # sessions before the first window: the trailing measures have something to trail
TARGET_LIMIT = 3.0  # in standard deviations of a random walk: one crash does not decide the weights
RECENT_SESSIONS = 250
# A validation part holds only some 20 independent paths. The weight that served best on other shares and eras counts
# for many such parts: (weight, parts).
RESIDUAL_WEIGHT = (1 / 3, 10.0)
PATH = (1.0, 30.0)


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """A series made ready to learn from. rows: (n, features), not yet scaled; log_mid, sigma: (n,)."""

    settings: Settings
    series: PriceSeries
    rows: Floats
    log_mid: Floats
    sigma: Floats
    parts: OriginSplit

    @classmethod
    def of(cls, series: PriceSeries, settings: Settings) -> "TrainingSet":
        """Raises TooFewBars when the training part would not hold one horizon of windows."""
        split = split_origins(len(series), settings.evaluation)
        missing = settings.network.look_back + WARM_UP + settings.evaluation.horizon - split.train_end
        if missing > 0:
            raise TooFewBars(len(series) + 2 * missing, len(series), f"a look-back of {settings.network.look_back}")
        return cls(settings, series, features(series), np.log(series.mid), ewma_volatility(series), split)

    @property
    def horizon(self) -> int:
        return self.settings.evaluation.horizon

    def learned_until(self, network: str) -> int:
        """The last session that this network's weights may depend on."""
        return self.parts.train_end - 1 + self.horizon if network == "held_out" else len(self.series) - 1

    def learned_from(self, network: str) -> Indices:
        """(m,) every origin whose outcome is known to this network."""
        return np.arange(self.settings.network.look_back - 1 + WARM_UP, self.learned_until(network) + 1 - self.horizon)

    def validation(self) -> Indices:
        return origins(self.parts.validation, self.settings.evaluation.origin_every)

    def inputs(self, scale: FeatureScaler, at: Indices) -> NDArray[np.float32]:
        """(m, look_back, features)."""
        return inputs(scale.apply(self.rows), at, self.settings.network.look_back)

    def residuals(self, at: Indices) -> Floats:
        """(m, horizon): the log path's departure from the usual path, in daily volatilities, without its extremes."""
        path = targets(self.log_mid, self.sigma, at, self.horizon)
        path -= prior_path(self.series, at, self.horizon) / self.sigma[at, None]
        limit = TARGET_LIMIT * np.sqrt(np.arange(1, self.horizon + 1))
        return np.asarray(np.clip(path, -limit, limit), dtype=np.float64)


def fit(
    lesson: TrainingSet,
    network: lstm.Network,
    scale: FeatureScaler,
    progress: TrainingProgress,
    *,
    continued: bool,
    ended: Callable[[EpochProgress], None],
) -> None:
    """Run the epochs that are left of the network that `progress` names; `network` stands where it was left.

    It learns what departs from the average departure: the ticker's own past drift is not to be learned. `held_out`
    notes in `progress` the weights that the validation part likes best; `published` goes on for as many epochs as that
    took. Raises Diverged.
    """
    training = lesson.settings.training
    held_out = progress.network == "held_out"
    at = lesson.learned_from(progress.network)
    residuals = lesson.residuals(at)
    x = lstm.tensor(lesson.inputs(scale, at))
    y = lstm.tensor((residuals - residuals.mean(axis=0)).astype(np.float32))
    rate = training.fine_tune_learning_rate if continued else training.learning_rate
    epochs = training.fine_tune_epochs if continued else training.epochs
    if not held_out:
        epochs = progress.best_epoch
    for epoch in range(progress.epoch + 1, epochs + 1):
        began = time.perf_counter()
        order = batches(len(at), training.batch_size, (training.seed, epoch), continued=continued)
        loss = network.fit_epoch(x, y, order, rate, (training.seed, epoch))
        judged = loss_on_validation(lesson, network, scale) if held_out else None
        if not np.isfinite(loss) or not np.isfinite(judged or 0.0):
            raise Diverged(epoch, loss)
        if judged is not None and judged < progress.best_loss:
            progress.best, progress.best_epoch, progress.best_loss = network.weights(), epoch, judged
        progress.epoch, progress.state = epoch, network.state()
        seconds = time.perf_counter() - began
        paths = watched_paths(lesson, network, scale) if held_out else None
        ended(EpochProgress(progress.network, epoch, epochs, loss, judged, rate, seconds, paths))


def watched_origins(split: OriginSplit, horizon: int) -> Indices:
    """(m,) origins of the test part whose paths do not overlap."""
    return origins(split.test, horizon)


def watched_paths(lesson: TrainingSet, network: lstm.Network, scale: FeatureScaler) -> list[list[float]]:
    """What the network as it stands says after each of `watched_origins`: (m, horizon) mid prices, to four decimals."""
    at = watched_origins(lesson.parts, lesson.horizon)
    steps = network.predict(lesson.inputs(scale, at)).astype(np.float64)
    moves = expected_moves(lesson.series, at, 1.0, steps)
    paths: list[list[float]] = np.round(lesson.series.mid[at, None] * np.exp(moves), 4).tolist()
    return paths


def loss_on_validation(lesson: TrainingSet, network: lstm.Network, scale: FeatureScaler) -> float:
    """The training loss on the validation part."""
    at = lesson.validation()
    return network.loss(lesson.inputs(scale, at), lesson.residuals(at).astype(np.float32))


def chosen_weights(lesson: TrainingSet, network: lstm.Network, scale: FeatureScaler) -> tuple[float, float]:
    """(departure, shrinkage), both in 0..1, as the validation part asks for them.

    Each is the least-squares weight there, drawn towards what was seen on other shares and eras: left to one validation
    part alone, the weights were worse than none.
    """
    at = lesson.validation()
    sigma = lesson.sigma[at, None]
    steps = network.predict(lesson.inputs(scale, at)).astype(np.float64)
    real = targets(lesson.log_mid, lesson.sigma, at, lesson.horizon)
    residual_weight = _weight(steps, real - prior_path(lesson.series, at, lesson.horizon) / sigma, RESIDUAL_WEIGHT)
    path = expected_moves(lesson.series, at, residual_weight, steps) / sigma
    return residual_weight, _weight(path, real, PATH)


def _weight(x: Floats, y: Floats, seen: tuple[float, float]) -> float:
    """Least-squares weight of x in y, drawn towards the weight seen elsewhere as by so many such samples, in 0..1."""
    expected, belief = seen
    power = float(np.sum(x * x))
    slope = float(np.sum(x * y)) / power if power > 0 else 0.0
    return min(max((slope + belief * expected) / (1 + belief), 0.0), 1.0)


def batches(count: int, size: int, seed: tuple[int, int], *, continued: bool) -> Indices:
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
