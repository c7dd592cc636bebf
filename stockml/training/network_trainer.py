"""Train networks in Keras, which is imported inside the functions: training set, layers, loss and
state.

Origins are cut into stretches that share one pass of the LSTM: 99 sessions, of which the first of
eight origins sees 64, the last all. With a window each, nine tenths of the arithmetic would be
repeated from one origin to the next.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from stockml.features.origins import segments
from stockml.features.volatility import INPUTS, InputScale, Volatilities, width_inputs
from stockml.models.pretrained_network import (
    LOOK_BACK,
    ORIGINS_A_STRETCH,
    STRETCH,
    UPPER,
    Member,
    Stretches,
)
from stockml.models.regressions import (
    BASIS_SIZE,
    LEADS,
    ORIGIN_STRIDE,
    HarRegression,
    RidgeRegression,
    Vintage,
    lead_basis,
    learning_bars,
    learning_origins,
    moves,
)
from stockml.models.tensorflow import assign, tensorflow, values_of
from stockml.models.tutorial_network import OPTIMIZERS
from stockml.prices.series import PriceSeries
from stockml.storage.arrays import Floats, packed

AT_ORIGINS = slice(LOOK_BACK - 1, None, ORIGIN_STRIDE)  # of a stretch
MAX_MOVE = 30.0  # widths: keeps a misprint from deciding the weights
GRADIENT_NORM = 1.0
MIN_STEP = 1e-3  # between two quantiles of the initial shape


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """The stretches of many tickers, and how their inputs are scaled."""

    learned_from: Vintage
    scale: InputScale
    stretches: Stretches

    @classmethod
    def of(
        cls,
        series: Mapping[str, PriceSeries],
        until: date,
        regression: HarRegression,
        ridge: RidgeRegression,
    ) -> Self:
        """Build it from the same origins that `HarRegression.fit` learns from.  Raises
        TooFewBars."""
        known, learned_from = learning_bars(series, until, "a pretrained network")
        scale = InputScale.fit(
            width_inputs(bars)[learning_origins(bars)] for bars in known.values()
        )
        parts = [stretches_of(bars, scale, regression, ridge) for bars in known.values()]
        return cls(learned_from, scale, Stretches.joined(parts))

    def sha256(self) -> str:
        """Hash of everything here that the weights depend on."""
        part = self.stretches
        return hashlib.sha256(
            packed((part.inputs, part.sizes, part.log_widths, part.mask))
        ).hexdigest()


def stretches_of(
    series: PriceSeries, scale: InputScale, regression: HarRegression, ridge: RidgeRegression
) -> Stretches:
    """The stretches of all origins whose outcomes the series holds, at least one, oldest first.

    Each segment is cut from its first origin on, so that a longer history only adds stretches.  The
    last origin stands in, masked, for a missing one.
    """
    known = [each for each in segments(series) if len(learning_origins(each))]
    return Stretches.joined([_of_segment(each, scale, regression, ridge) for each in known])


def _of_segment(
    series: PriceSeries, scale: InputScale, regression: HarRegression, ridge: RidgeRegression
) -> Stretches:
    origins, leads = learning_origins(series), np.array(LEADS)
    rows = np.pad(scale.apply(width_inputs(series)), ((LOOK_BACK - 1, STRETCH), (0, 0)))
    first = np.arange(origins[0], origins[-1] + 1, ORIGIN_STRIDE * ORIGINS_A_STRETCH)
    grid = first[:, None] + ORIGIN_STRIDE * np.arange(ORIGINS_A_STRETCH)
    mask = np.isin(grid, origins)
    at = np.where(mask, grid, origins[-1])
    unit = Volatilities.of(series).ewma_60[at.ravel(), None] * np.sqrt(leads)
    sizes = np.minimum(np.abs(moves(series, at.ravel(), leads)) / unit, MAX_MOVE)
    log_widths = np.log(ridge.widths(series, at.ravel(), leads, regression) / unit)
    sizes, log_widths = (
        each.astype(np.float32).reshape(*grid.shape, len(leads)) for each in (sizes, log_widths)
    )
    last = series.sessions[at.max(axis=1) + LEADS[-1]]
    inputs = rows[first[:, None] + np.arange(STRETCH)]
    return Stretches(inputs, sizes, log_widths, mask.astype(np.float32), last)


@dataclass(frozen=True)
class MemberSettings:
    """How one network learns.  learning_rate: at first, to 0 on a cosine.  batch: stretches, of
    eight origins each."""

    seed: int = 1
    learning_rate: float = 1e-3
    dropout: float = 0.3
    weight_decay: float = 1e-2
    units: tuple[int, ...] = (48, 48)
    dense: int = 48
    epochs: int = 8
    batch: int = 64
    optimizer: str = "adamw"

    @property
    def name(self) -> str:
        return f"seed {self.seed}"


def members_of(seeds: int = 1) -> tuple[MemberSettings, ...]:
    """One network for each seed.  The settings were chosen on cuts from 1989 to 2009, on tickers
    not learned from."""
    return tuple(MemberSettings(seed=seed) for seed in range(1, seeds + 1))


class Trainer:
    """A network in training: model, shape and optimiser, with the state read and set as plain
    arrays."""

    def __init__(self, settings: MemberSettings, shape: NDArray[np.floating]) -> None:
        """shape: (11, 10), the first quantiles at LEADS and UPPER."""
        tf = tensorflow()
        import keras

        self.model = build(settings)
        self.shape = keras.Variable(steps_of(shape), name="shape")
        self._trained = [*self.model.trainable_variables, self.shape]
        optimizer = getattr(keras.optimizers, OPTIMIZERS[settings.optimizer])
        self._optimizer = optimizer(
            settings.learning_rate, weight_decay=settings.weight_decay, clipnorm=GRADIENT_NORM
        )
        self._optimizer.exclude_from_weight_decay(var_names=["bias", "shape"])
        self._optimizer.build(self._trained)
        # arrays of `state` that are weights or the shape
        self.learned = len(self.model.weights) + 1
        self._variables = [*self.model.weights, self.shape, *self._optimizer.variables]
        self._step = tf.function(self._learn, jit_compile=False)

    def state(self) -> list[NDArray[Any]]:
        """Weights, the shape, then the optimiser's variables: all that resuming needs."""
        return values_of(self._variables)

    def restore(self, state: list[NDArray[Any]]) -> None:
        assign(self._variables, state)

    def fit(
        self, batches: Iterable[Stretches], rates: Floats, seed: tuple[int, int]
    ) -> list[float]:
        """Make one step for each batch; return their losses.  rates: (batches,).

        `seed` fixes the dropout of these steps, whatever ran before.
        """
        tf = tensorflow()
        # from one state, so both LSTM layers drop the same units; masks of their own were no better
        # on the early cuts
        for layer in self.model.layers:
            if hasattr(layer, "seed_generator"):
                layer.seed_generator.state.assign(
                    np.asarray(seed, dtype=layer.seed_generator.state.dtype)
                )
        losses = []
        for batch, rate in zip(batches, rates, strict=True):
            self._optimizer.learning_rate.assign(rate)
            arrays = (batch.inputs, batch.log_widths, batch.sizes, batch.mask)
            losses.append(
                float(self._step(*(tf.constant(each, dtype=tf.float32) for each in arrays)))
            )
        return losses

    def _learn(self, x: Any, simple: Any, size: Any, mask: Any) -> Any:
        tf = tensorflow()
        basis = lead_basis(np.array(LEADS)).astype(np.float32)
        with tf.GradientTape() as tape:
            log_width = simple + tf.matmul(self.model(x, training=True), tf.constant(basis.T))
            upper = tf.cumsum(tf.math.softplus(self.shape.value), axis=1)
            loss = mean_loss(tf.exp(log_width)[..., None] * upper, size, mask)
        gradients = tape.gradient(loss, [v.value for v in self._trained])
        self._optimizer.apply(gradients, self._trained)
        return loss


def cosine_rates(first: float, steps: int, epoch: int = 1, epochs: int = 1) -> Floats:
    """(steps,) learning rates of one epoch, counted from 1, on half a cosine over all epochs."""
    passed = (np.arange(steps) + steps * (epoch - 1)) / (steps * epochs)
    return first * (1 + np.cos(np.pi * passed)) / 2


def steps_of(shape: NDArray[np.floating]) -> NDArray[np.float32]:
    """(11, 10) what softplus turns into the steps between quantiles that rise from 0, (11, 10)."""
    steps = np.maximum(np.diff(shape, axis=1, prepend=0), MIN_STEP)
    return np.asarray(np.log(np.expm1(steps)), dtype=np.float32)


def shape_of(steps: NDArray[np.float32]) -> NDArray[np.float32]:
    """The inverse of `steps_of`."""
    return np.cumsum(np.logaddexp(0, steps), axis=1).astype(np.float32)


def member_of(settings: MemberSettings, state: list[NDArray[Any]]) -> Member:
    """The network in a `Trainer.state` as plain arrays, in half precision: what is scored is what
    is shipped."""
    depth = 3 * len(settings.units)
    weights = [array.astype(np.float16).astype(np.float32) for array in state[: depth + 4]]
    return Member.of([*weights, shape_of(state[depth + 4])])


def build(settings: MemberSettings, sessions: int = STRETCH) -> Any:
    """A Keras model from (stretches, sessions, 14) to coefficients (stretches, origins, 4),
    initially zero.

    The first origin is the 64th session, each later one five sessions on.
    """
    tensorflow()
    import keras

    seeds = iter(range(1_000 * settings.seed, 1_000 * settings.seed + 100))
    inputs = keras.Input((sessions, len(INPUTS)))
    state = inputs
    for units in settings.units:
        start = {
            "kernel_initializer": keras.initializers.GlorotUniform(seed=next(seeds)),
            "recurrent_initializer": keras.initializers.Orthogonal(seed=next(seeds)),
        }
        state = keras.layers.LSTM(units, return_sequences=True, **start)(state)
        state = keras.layers.Dropout(settings.dropout, seed=next(seeds))(state)
    at_origins = keras.layers.Concatenate()([each[:, AT_ORIGINS] for each in (state, inputs)])
    kernel = keras.initializers.GlorotUniform(seed=next(seeds))
    hidden = keras.layers.Dense(settings.dense, activation="relu", kernel_initializer=kernel)(
        at_origins
    )
    hidden = keras.layers.Dropout(settings.dropout, seed=next(seeds))(hidden)
    return keras.Model(inputs, keras.layers.Dense(BASIS_SIZE, kernel_initializer="zeros")(hidden))


def mean_loss(upper: Any, size: Any, mask: Any) -> Any:
    """Mean pinball loss over upper and lower levels; as the shape is symmetric, only the size of a
    move matters.

    upper: (…, 11, 10) quantiles.  size: (…, 11), |move|.  mask: (…), 1 where an origin counts.
    """
    tf = tensorflow()
    levels = tf.constant(UPPER.astype(np.float32))
    above = size[..., None] - upper
    mirrored = (1 - levels) * (size[..., None] + upper)
    loss = (tf.maximum(levels * above, (levels - 1) * above) + mirrored) / 2
    return tf.reduce_sum(tf.reduce_mean(loss, axis=[-2, -1]) * mask) / tf.reduce_sum(mask)
