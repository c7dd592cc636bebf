"""Train the networks of a base in Keras, which is imported inside the functions: training set, layers, loss and state.

Origins are cut into stretches that share one pass of the LSTM: 99 sessions, of which the first of eight origins sees
64, the last all. With a window each, nine tenths of the arithmetic would be repeated from one origin to the next.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from stockml.features.segments import segments
from stockml.features.volatility import Volatilities
from stockml.features.width_inputs import INPUTS, InputScale, width_inputs
from stockml.models.base_network import LOOK_BACK, UPPER, Member
from stockml.models.lead_grid import BASIS_SIZE, LEADS, MEDIAN, lead_basis, moves
from stockml.models.pooled_regression import ORIGIN_STRIDE, PooledRegression, Vintage, learning_bars, learning_origins
from stockml.models.pooled_ridge import RIDGE, PooledRidge
from stockml.models.tensorflow import assign, tensorflow, values_of
from stockml.prices.series import PriceSeries
from stockml.storage.arrays import Floats, Indices, packed

ORIGINS_A_STRETCH = 8
STRETCH = LOOK_BACK + ORIGIN_STRIDE * (ORIGINS_A_STRETCH - 1)  # sessions
AT_ORIGINS = slice(LOOK_BACK - 1, None, ORIGIN_STRIDE)  # of a stretch
MAX_MOVE = 30.0  # widths: keeps a misprint from deciding the weights
GRADIENT_NORM = 1.0
MIN_STEP = 1e-3  # between two quantiles of the initial shape


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """Data of s stretches: starts (s,), first rows in `rows`; sizes, log_widths (s, 8, 11), at LEADS; mask (s, 8).

    rows: (N, 14), scaled inputs of all tickers, one after another, with means between them.  sizes: |move| in units of
    the EWMA 60 volatility · √lead.  log_widths: ln of the ridge's widths in these.  mask: 1 for an origin that counts.
    """

    learned_from: Vintage
    scale: InputScale
    rows: NDArray[np.float32]
    starts: Indices
    sizes: NDArray[np.float32]
    log_widths: NDArray[np.float32]
    mask: NDArray[np.float32]

    @classmethod
    def of(cls, series: Mapping[str, PriceSeries], until: date, pooled: PooledRegression, ridge: PooledRidge) -> Self:
        """Build it from the same origins that `PooledRegression.fit` learns from.  Raises TooFewBars."""
        known, learned_from = learning_bars(series, until, "a base network")
        scale = InputScale.fit(width_inputs(bars)[learning_origins(bars)] for bars in known.values())
        usable = [each for bars in known.values() for each in segments(bars) if len(learning_origins(each))]
        rows, starts, *targets = zip(*(_stretches(each, scale, pooled, ridge) for each in usable), strict=True)
        offsets = np.cumsum([0, *map(len, rows[:-1])])
        starts = [first + offset for first, offset in zip(starts, offsets, strict=True)]
        return cls(learned_from, scale, *map(np.concatenate, (rows, starts, *targets)))

    def sha256(self) -> str:
        """Hash of everything here that the weights depend on."""
        return hashlib.sha256(packed((self.rows, self.starts, self.sizes, self.log_widths, self.mask))).hexdigest()


def _stretches(
    series: PriceSeries, scale: InputScale, pooled: PooledRegression, ridge: PooledRidge
) -> tuple[NDArray[Any], ...]:
    """A segment's rows, starts, sizes, log_widths and mask; the last origin stands in, masked, for a missing one."""
    origins, leads = learning_origins(series), np.array(LEADS)
    rows = np.pad(scale.apply(width_inputs(series)), ((LOOK_BACK - 1, STRETCH), (0, 0)))
    first = np.arange(origins[0], origins[-1] + 1, ORIGIN_STRIDE * ORIGINS_A_STRETCH)
    grid = first[:, None] + ORIGIN_STRIDE * np.arange(ORIGINS_A_STRETCH)
    mask = np.isin(grid, origins)
    at = np.where(mask, grid, origins[-1]).ravel()
    unit = Volatilities.of(series).ewma_60[at, None] * np.sqrt(leads)
    sizes = np.minimum(np.abs(moves(series, at, leads)) / unit, MAX_MOVE)
    log_widths = np.log(ridge.widths(series, at, leads, pooled) / unit)
    shaped = (each.astype(np.float32).reshape(*grid.shape, len(leads)) for each in (sizes, log_widths))
    return rows, first, *shaped, mask.astype(np.float32)


@dataclass(frozen=True)
class MemberSettings:
    """One network of a base. learning_rate falls to 0 on a cosine; weight_decay as in AdamW; dropout a rate."""

    seed: int = 1
    learning_rate: float = 1e-3
    dropout: float = 0.3
    weight_decay: float = 1e-2
    units: tuple[int, ...] = (48, 48)
    dense: int = 48
    epochs: int = 8
    batch: int = 64  # stretches, of eight origins each

    @property
    def name(self) -> str:
        return f"seed {self.seed}"


def members_of(seeds: int = 1) -> tuple[MemberSettings, ...]:
    """One network for each seed.  The settings were chosen on cuts from 1989 to 2009, on tickers not learned from."""
    return tuple(MemberSettings(seed=seed) for seed in range(1, seeds + 1))


class Trainer:
    """A network in training: model, shape and optimiser, with the state read and set as plain arrays."""

    def __init__(self, settings: MemberSettings, ridge: PooledRidge) -> None:
        tf = tensorflow()
        import keras

        self.model = build(settings)
        upper = ridge.shape[:, MEDIAN:]
        steps = np.log(np.expm1(np.maximum(np.diff(upper, axis=1), MIN_STEP)))  # inverse of softplus
        self.shape = keras.Variable(np.asarray(steps, dtype=np.float32), name="shape")
        self._trained = [*self.model.trainable_variables, self.shape]
        self._optimizer = keras.optimizers.AdamW(
            settings.learning_rate, weight_decay=settings.weight_decay, clipnorm=GRADIENT_NORM
        )
        self._optimizer.exclude_from_weight_decay(var_names=["bias", "shape"])
        self._optimizer.build(self._trained)
        self._variables = [*self.model.weights, self.shape, *self._optimizer.variables]
        self._step = tf.function(self._learn, jit_compile=False)

    def state(self) -> list[NDArray[Any]]:
        """Weights, the shape, then the optimiser's variables: all that resuming needs."""
        return values_of(self._variables)

    def restore(self, state: list[NDArray[Any]]) -> None:
        assign(self._variables, state)

    def fit_epoch(self, examples: TrainingSet, order: Indices, rates: Floats, seed: tuple[int, int]) -> float:
        """Make one pass; return the mean loss.  order: (batches, batch), stretches.  rates: (batches,).

        `seed` fixes the dropout of this epoch, whatever ran before.
        """
        tf = tensorflow()
        # from one state, so both LSTM layers drop the same units; masks of their own were no better on the early cuts
        for layer in self.model.layers:
            if hasattr(layer, "seed_generator"):
                layer.seed_generator.state.assign(np.asarray(seed, dtype=layer.seed_generator.state.dtype))
        losses = []
        for rows, rate in zip(order, rates, strict=True):
            self._optimizer.learning_rate.assign(rate)
            x = examples.rows[examples.starts[rows, None] + np.arange(STRETCH)]
            rest = (each[rows] for each in (examples.log_widths, examples.sizes, examples.mask))
            batch = [tf.constant(array) for array in (x, *rest)]
            losses.append(float(self._step(*batch)))
        return float(np.mean(losses))

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


def member_of(settings: MemberSettings, state: list[NDArray[Any]]) -> Member:
    """The network in a `Trainer.state` as plain arrays, in half precision: what is scored is what is shipped."""
    depth = 3 * len(settings.units)
    weights = [array.astype(np.float16).astype(np.float32) for array in state[: depth + 4]]
    layers = tuple((weights[i], weights[i + 1], weights[i + 2]) for i in range(0, depth, 3))
    dense, head = (weights[depth], weights[depth + 1]), (weights[depth + 2], weights[depth + 3])
    upper = np.cumsum(np.logaddexp(0, state[depth + 4]), axis=1).astype(np.float32)
    return Member(RIDGE, layers, dense, head, upper)


def build(settings: MemberSettings, sessions: int = STRETCH) -> Any:
    """A Keras model from (stretches, sessions, 14) to coefficients (stretches, origins, 4), initially zero.

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
    hidden = keras.layers.Dense(settings.dense, activation="relu", kernel_initializer=kernel)(at_origins)
    hidden = keras.layers.Dropout(settings.dropout, seed=next(seeds))(hidden)
    return keras.Model(inputs, keras.layers.Dense(BASIS_SIZE, kernel_initializer="zeros")(hidden))


def mean_loss(upper: Any, size: Any, mask: Any) -> Any:
    """Mean pinball loss over upper and lower levels; as the shape is symmetric, only the size of a move matters.

    upper: (…, 11, 10) quantiles.  size: (…, 11), |move|.  mask: (…), 1 where an origin counts.
    """
    tf = tensorflow()
    levels = tf.constant(UPPER.astype(np.float32))
    above = size[..., None] - upper
    mirrored = (1 - levels) * (size[..., None] + upper)
    loss = (tf.maximum(levels * above, (levels - 1) * above) + mirrored) / 2
    return tf.reduce_sum(tf.reduce_mean(loss, axis=[-2, -1]) * mask) / tf.reduce_sum(mask)
