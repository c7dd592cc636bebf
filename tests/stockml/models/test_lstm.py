"""Every cell builds, starts at "no move", loading the module alone loads no Keras."""

import subprocess
import sys

import numpy as np
import pytest

from stockml.errors import InvalidSetting
from stockml.models import lstm
from stockml.models.tensorflow import tensorflow
from stockml.settings import NetworkSettings, settings_for
from tests.support.walks import SMALL, small

X = np.random.default_rng(0).normal(size=(6, 8, 3)).astype(np.float32)
Y = np.random.default_rng(1).normal(size=(6, 5)).astype(np.float32)


def test_importing_the_model_modules_loads_no_tensorflow() -> None:
    modules = "[m for m in ('tensorflow', 'keras') if m in sys.modules]"
    code = f"import sys, stockml.models.lstm, stockml.training.train\nprint({modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.slow
@pytest.mark.parametrize("cell", ["lstm", "gru", "peephole"])
def test_a_network_starts_at_no_move_and_learns(cell: str) -> None:
    settings = small(network={"cell": cell, "units": (4, 3), "dropout": 0.1})
    network = lstm.Network(settings.network, settings.training, features=3, horizon=5)
    assert (network.predict(X) == 0).all()
    order = np.arange(6).reshape(1, 6)
    losses = [network.fit_epoch(lstm.tensor(X), lstm.tensor(Y), order, 0.03, (1, epoch)) for epoch in range(30)]
    assert losses[-1] < losses[0]
    network.reset()
    assert (network.predict(X) == 0).all()


@pytest.mark.slow
def test_the_peephole_cell_is_what_its_equations_say() -> None:
    tensorflow()
    import keras

    rng = np.random.default_rng(2)
    cell = lstm.peephole_cell()(2)
    hidden, memory, x = (rng.normal(size=(3, width)).astype(np.float32) for width in (2, 2, 4))
    cell.build((3, 4))
    kernel, recurrent, bias, peepholes = (rng.normal(size=w.shape).astype(np.float32) for w in cell.get_weights())
    cell.set_weights([kernel, recurrent, bias, peepholes])
    found, (_, found_memory) = cell(keras.ops.convert_to_tensor(x), [hidden, memory])

    def sigmoid(a: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-a))

    into, forget, candidate, out = np.split(x @ kernel + hidden @ recurrent + bias, 4, axis=1)
    renewed = sigmoid(forget + peepholes[1] * memory) * memory + sigmoid(into + peepholes[0] * memory) * np.tanh(
        candidate
    )
    np.testing.assert_allclose(found_memory.numpy(), renewed, rtol=1e-5)
    np.testing.assert_allclose(found.numpy(), sigmoid(out + peepholes[2] * renewed) * np.tanh(renewed), rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "value", "bound"),
    [
        ("network.cell", "transformer", "one of lstm, gru, peephole"),
        ("network.units", (0,), "between 1 and 1024"),
        ("network.units", (), "between 1 and 6"),
        ("network.dropout", 0.95, "between 0.0 and 0.9"),
        ("network.look_back", 2, "between 5 and 500"),
        ("training.optimizer", "newton", "one of adam"),
        ("training.loss", "hinge", "one of mse"),
        ("training.learning_rate", 0.0, "between"),
        ("training.epochs", 0, "between 1"),
        ("training.batch_size", 0, "between 1"),
    ],
)
def test_bad_values_are_refused_with_the_bound(name: str, value: object, bound: str) -> None:
    with pytest.raises(InvalidSetting, match=name) as refused:
        settings_for(overrides={name: value})
    assert bound in str(refused.value)


def test_the_default_is_a_valid_network() -> None:
    assert settings_for().network == NetworkSettings()
    assert SMALL.network.cell == "lstm"
