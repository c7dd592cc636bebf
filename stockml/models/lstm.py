"""The recurrent network that forecasts a path, on Keras; the only importer of Keras for the nightly profile.

Keras and TensorFlow are loaded inside the functions, so importing this module costs nothing.
"""

from collections.abc import Sequence
from functools import cache, lru_cache
from threading import RLock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stockml.models.tensorflow import tensorflow
from stockml.settings import NetworkSettings, TrainingSettings
from stockml.storage.arrays import Floats, Indices

Arrays = list[NDArray[Any]]
GRADIENT_NORM = 1.0
PREDICTED_AT_ONCE = 1024
MODEL_LOCK = RLock()  # compiled networks are shared in a process and hold one set of weights: one thread at a time


def build(settings: NetworkSettings, features: int, horizon: int, seed: int = 0) -> Any:
    """A Keras model from (origins, look_back, features) to (origins, horizon), in daily volatilities.

    Recurrent layers as configured; their state and the origin's own features then weigh three shapes of a path, from
    zero: an untrained network forecasts "no departure".
    """
    tensorflow()
    import keras

    entry = keras.Input((settings.look_back, features), name="window")
    state = entry
    for depth, units in enumerate(settings.units):
        last = depth == len(settings.units) - 1
        state = _recurrent(settings, units, last=last, seed=seed + depth)(state)
        if settings.dropout > 0:
            state = keras.layers.Dropout(settings.dropout, seed=seed + 100 + depth)(state)
    newest = keras.layers.Cropping1D((settings.look_back - 1, 0))(entry)
    known = keras.layers.Concatenate(name="known")([state, keras.layers.Flatten()(newest)])
    weights = keras.layers.Dense(len(shapes(horizon)), kernel_initializer="zeros", name="weights")(known)
    fixed = keras.initializers.Constant(shapes(horizon).tolist())
    path = keras.layers.Dense(horizon, use_bias=False, kernel_initializer=fixed, trainable=False, name="path")(weights)
    return keras.Model(entry, path, name="nightly")


def shapes(horizon: int) -> Floats:
    """(3, horizon): a step at once, an approach over ten sessions, a lasting slope; of similar weight in the loss."""
    leads = np.arange(1, horizon + 1)
    return np.stack([np.ones(horizon), 2 * (1 - np.exp(-leads / 10)), leads / 5])


def _recurrent(settings: NetworkSettings, units: int, *, last: bool, seed: int) -> Any:
    import keras

    start = {
        "kernel_initializer": keras.initializers.GlorotUniform(seed=seed),
        "recurrent_initializer": keras.initializers.Orthogonal(seed=seed),
    }
    layer = {"return_sequences": not last, "name": f"{settings.cell}_{units}_{seed}"}
    if settings.cell == "lstm":
        return keras.layers.LSTM(units, **start, **layer)
    if settings.cell == "gru":
        return keras.layers.GRU(units, **start, **layer)
    return keras.layers.RNN(peephole_cell()(units, **start), **layer)


@cache
def peephole_cell() -> Any:
    """The LSTM cell whose gates also see the cell's memory (Gers and Schmidhuber, 2000), as a Keras layer class."""
    tensorflow()
    import keras

    @keras.saving.register_keras_serializable(package="stockml")
    class PeepholeLSTMCell(keras.layers.LSTMCell):  # type: ignore[misc]
        """Three weights more a unit: memory into the input and forget gates, new memory into the output gate."""

        def build(self, input_shape: Any) -> None:
            super().build(input_shape)
            self.peepholes = self.add_weight(shape=(3, self.units), initializer="zeros", name="peepholes")

        def call(self, inputs: Any, states: Any, training: bool = False) -> tuple[Any, list[Any]]:
            hidden, memory = states
            sums = keras.ops.matmul(inputs, self.kernel) + keras.ops.matmul(hidden, self.recurrent_kernel) + self.bias
            into, forget, candidate, out = keras.ops.split(sums, 4, axis=1)
            into = keras.ops.sigmoid(into + self.peepholes[0] * memory)
            forget = keras.ops.sigmoid(forget + self.peepholes[1] * memory)
            memory = forget * memory + into * keras.ops.tanh(candidate)
            hidden = keras.ops.sigmoid(out + self.peepholes[2] * memory) * keras.ops.tanh(memory)
            return hidden, [hidden, memory]

    return PeepholeLSTMCell


@lru_cache(maxsize=2)
def network(settings: NetworkSettings, training: TrainingSettings, features: int, horizon: int) -> "Network":
    """The network of these settings, compiled once in a process; whoever takes it resets it first."""
    return Network(settings, training, features, horizon)


class Network:
    """A network with its optimiser and its compiled steps; built once, its state set and read as plain arrays."""

    def __init__(self, settings: NetworkSettings, training: TrainingSettings, features: int, horizon: int) -> None:
        self.model = build(settings, features, horizon, training.seed)
        self._initial = self.model.get_weights()
        self._optimizer = _optimizer(training)
        self._optimizer.build(self.model.trainable_variables)
        self._optimizer_initial = [v.numpy() for v in self._optimizer.variables]
        self._error = _loss(training)
        self._spread = np.sqrt(np.arange(1, horizon + 1, dtype=np.float32))
        tf = tensorflow()
        window = tf.TensorSpec((None, settings.look_back, features), tf.float32)
        path = tf.TensorSpec((None, horizon), tf.float32)
        order = tf.TensorSpec((None, None), tf.int64)
        self._epoch = tf.function(self._run_epoch, input_signature=[window, path, order])
        self._forward = tf.function(lambda x: self.model(x, training=False), input_signature=[window], autograph=False)

    def weights(self) -> Arrays:
        return list(self.model.get_weights())

    def state(self) -> Arrays:
        """Weights, then the optimiser's variables: all that a resumed training needs."""
        return self.weights() + [v.numpy() for v in self._optimizer.variables]

    def restore(self, state: Arrays) -> None:
        count = len(self._initial)
        self.model.set_weights(state[:count])
        for variable, value in zip(self._optimizer.variables, state[count:], strict=True):
            variable.assign(value)

    def reset(self, weights: Arrays | None = None) -> None:
        """Start again from the seed's first weights, or from the given ones, with a fresh optimiser."""
        self.restore((weights or self._initial) + self._optimizer_initial)

    def fit_epoch(self, x: Any, y: Any, order: Indices, learning_rate: float, seed: tuple[int, int]) -> float:
        """One pass over the batches; returns the mean loss.

        x: (origins, look_back, features), y: (origins, horizon), tensors; order: (batches, batch_size), their rows.
        `seed` fixes the dropout of this epoch, whatever ran before.
        """
        self._optimizer.learning_rate.assign(learning_rate)
        for layer in self.model.layers:
            if hasattr(layer, "seed_generator"):
                layer.seed_generator.state.assign(np.asarray(seed, dtype=layer.seed_generator.state.dtype))
        return float(self._epoch(x, y, order))

    def _run_epoch(self, x: Any, y: Any, order: Any) -> Any:
        tf = tensorflow()
        total = tf.constant(0.0)
        for rows in order:
            with tf.GradientTape() as tape:
                loss = self._loss(tf.gather(y, rows), self.model(tf.gather(x, rows), training=True))
            gradients = tape.gradient(loss, self.model.trainable_variables)
            gradients, _ = tf.clip_by_global_norm(gradients, GRADIENT_NORM)
            self._optimizer.apply_gradients(zip(gradients, self.model.trainable_variables, strict=True))
            total += loss
        return total / tf.cast(tf.shape(order)[0], tf.float32)

    def _loss(self, real: Any, path: Any) -> Any:
        """Every lead counts the same: a random walk's spread grows with the root of the lead, and is divided out."""
        return self._error(real / self._spread, path / self._spread)

    def loss(self, x: NDArray[np.float32], y: NDArray[np.float32]) -> float:
        """The loss of what is predicted for x against y."""
        return float(self._loss(y, self.predict(x)))

    def predict(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """(origins, horizon) for x (origins, look_back, features)."""
        return _in_pieces(self._forward, x)


class Predictor:
    """A network to forecast with, and nothing else: built once for a shape, its weights set as needed."""

    def __init__(self, settings: NetworkSettings, features: int, horizon: int) -> None:
        self._model = build(settings, features, horizon)
        tf = tensorflow()
        window = tf.TensorSpec((None, settings.look_back, features), tf.float32)
        self._forward = tf.function(lambda x: self._model(x, training=False), input_signature=[window], autograph=False)

    def set_weights(self, weights: Sequence[NDArray[Any]]) -> None:
        self._model.set_weights(list(weights))

    def predict(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """(origins, horizon) for x (origins, look_back, features)."""
        return _in_pieces(self._forward, x)


def _in_pieces(forward: Any, x: NDArray[np.float32]) -> NDArray[np.float32]:
    pieces = [x[i : i + PREDICTED_AT_ONCE] for i in range(0, len(x), PREDICTED_AT_ONCE)]
    return np.concatenate([forward(piece).numpy() for piece in pieces])


def tensor(values: NDArray[np.float32]) -> Any:
    """The values as a TensorFlow constant, so that every epoch shares one copy."""
    return tensorflow().constant(values)


def _optimizer(training: TrainingSettings) -> Any:
    import keras

    classes = {
        "adam": keras.optimizers.Adam,
        "adamw": keras.optimizers.AdamW,
        "rmsprop": keras.optimizers.RMSprop,
        "sgd": keras.optimizers.SGD,
    }
    return classes[training.optimizer](learning_rate=training.learning_rate)


def _loss(training: TrainingSettings) -> Any:
    import keras

    return {"mse": keras.losses.MeanSquaredError, "mae": keras.losses.MeanAbsoluteError, "huber": keras.losses.Huber}[
        training.loss
    ]()
