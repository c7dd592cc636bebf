"""A trained model as a value: frozen weights and everything that leads from bars to a path. Knows no optimiser."""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stockml import lstm
from stockml.config import NetworkSettings, Settings, settings_from_dict
from stockml.errors import InvalidFile
from stockml.normalise import Floats, PriceSeries, Scale, features, usual_path, volatility
from stockml.policy import Decision
from stockml.receipts import write_atomically
from stockml.windows import Parts, inputs

NETWORKS = ("held_out", "published")


@dataclass(frozen=True, eq=False)
class Forecaster:
    """One fitted network: `paths` is causal and vectorised.

    `learned_until` is the last session whose price influenced the weights. Both weights are in 0..1 and chosen on the
    validation part. `departure`: the network's share in the path, the smaller the less it has shown beyond the usual.
    `shrinkage`: the share of that path's move that is kept; at 0 every path is the last value.
    """

    network: NetworkSettings
    horizon: int
    weights: tuple[NDArray[Any], ...]
    scale: Scale
    departure: float
    shrinkage: float
    learned_until: np.datetime64

    def paths(self, series: PriceSeries, origins: NDArray[np.int64] | Sequence[int]) -> Floats:
        """(len(origins), horizon) mid prices: row m, column k - 1 is session origins[m] + k as seen after origins[m].

        Origins must be at least look_back - 1 and below len(series).
        """
        return predict_paths(self, series, np.asarray(origins, dtype=np.int64))


def predict_paths(model: Forecaster, series: PriceSeries, origins: NDArray[np.int64]) -> Floats:
    """What `Forecaster.paths` says, as a pure function of model, series and origins."""
    rows = model.scale.apply(features(series))
    windows = inputs(rows, origins, model.network.look_back)
    with lstm.AT_WORK:
        compiled = _compiled(model.network, rows.shape[1], model.horizon)
        compiled.set_weights(model.weights)
        steps = compiled.predict(windows).astype(np.float64)
    moves = expected_moves(series, origins, model.departure, steps)
    return np.asarray(series.mid[origins, None] * np.exp(model.shrinkage * moves), dtype=np.float64)


def expected_moves(series: PriceSeries, origins: NDArray[np.int64], departure: float, steps: Floats) -> Floats:
    """(origins, horizon) log moves from the last mid price: the usual path, and the network's departure from it.

    steps: the network's output, in units of each origin's daily volatility.
    """
    own = departure * volatility(series)[origins, None] * steps
    return np.asarray(usual_path(series, origins, steps.shape[1]) + own, dtype=np.float64)


@lru_cache(maxsize=4)
def _compiled(network: NetworkSettings, features: int, horizon: int) -> lstm.Predictor:
    return lstm.Predictor(network, features, horizon)


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """Both networks of a night, how they came about, and what they were measured against while learning.

    `held_out` saw nothing of the validation and test parts and is what scores speak of; `published` learned in the
    same way from every session whose outcome is known. `history` has one row an epoch: network, epoch, loss,
    validation_loss (None for `published`), learning_rate, seconds.
    """

    settings: Settings
    decision: Decision
    held_out: Forecaster
    published: Forecaster
    parts: Parts
    sessions: int
    last_session: np.datetime64
    retrained_at: np.datetime64
    history: tuple[dict[str, Any], ...] = field(default=())

    @property
    def shrinkage(self) -> float:
        return self.held_out.shrinkage


def save(model: TrainedModel, folder: Path) -> None:
    """Write the folder: equal models give equal bytes, except `_timing.json`."""
    for name in NETWORKS:
        write_atomically(folder / f"{name}.npz", packed(getattr(model, name).weights))
    history = [{k: v for k, v in row.items() if k != "seconds"} for row in model.history]
    timing = {"seconds": [row["seconds"] for row in model.history]}
    _write_json(folder / "history.json", history)
    _write_json(folder / "_timing.json", timing)
    _write_json(folder / "model.json", _described(model))


def load_model(folder: Path) -> TrainedModel:
    """What `save` wrote. Raises InvalidFile when the folder is not a model's."""
    try:
        kept = json.loads((folder / "model.json").read_text())
        history = json.loads((folder / "history.json").read_text())
        seconds = json.loads((folder / "_timing.json").read_text())["seconds"]
        networks = {name: _forecaster(kept, name, folder) for name in NETWORKS}
    except (OSError, KeyError, ValueError) as error:
        raise InvalidFile(str(folder), f"expected a trained model, found {error!r}") from error
    return TrainedModel(
        settings=settings_from_dict(kept["settings"]),
        decision=Decision(**kept["decision"]),
        parts=Parts(kept["train_end"], range(*kept["validation"]), range(*kept["test"])),
        sessions=kept["sessions"],
        last_session=np.datetime64(kept["last_session"]),
        retrained_at=np.datetime64(kept["retrained_at"]),
        history=tuple(row | {"seconds": s} for row, s in zip(history, seconds, strict=True)),
        **networks,
    )


def packed(arrays: Sequence[NDArray[Any]]) -> bytes:
    """The arrays as .npz bytes, in order; numpy's zip members carry a fixed date, so equal arrays give equal bytes."""
    content = io.BytesIO()
    np.savez(content, **{f"{i:03d}": array for i, array in enumerate(arrays)})  # type: ignore[arg-type]
    return content.getvalue()


def unpacked(content: bytes) -> tuple[NDArray[Any], ...]:
    with np.load(io.BytesIO(content), allow_pickle=False) as kept:
        return tuple(kept[name] for name in sorted(kept.files))


def _described(model: TrainedModel) -> dict[str, Any]:
    networks = {
        name: {
            "scale": part.scale.asdict(),
            "shrinkage": part.shrinkage,
            "learned_until": str(part.learned_until),
        }
        | ({"departure": part.departure} if isinstance(part, Forecaster) else {})
        for name, part in ((name, getattr(model, name)) for name in NETWORKS)
    }
    return {
        "settings": model.settings.asdict(),
        "decision": {"mode": model.decision.mode, "reason": model.decision.reason},
        "train_end": model.parts.train_end,
        "validation": [model.parts.validation.start, model.parts.validation.stop],
        "test": [model.parts.test.start, model.parts.test.stop],
        "sessions": model.sessions,
        "last_session": str(model.last_session),
        "retrained_at": str(model.retrained_at),
        "networks": networks,
    }


def _forecaster(kept: dict[str, Any], name: str, folder: Path) -> Any:
    settings, part = settings_from_dict(kept["settings"]), kept["networks"][name]
    weights = unpacked((folder / f"{name}.npz").read_bytes())
    if settings.profile == "tutorial":
        from stockml.tutorial_model import restored

        return restored(part, settings, weights)
    return Forecaster(
        network=settings.network,
        horizon=settings.evaluation.horizon,
        weights=weights,
        scale=Scale.from_dict(part["scale"]),
        departure=part["departure"],
        shrinkage=part["shrinkage"],
        learned_until=np.datetime64(part["learned_until"]),
    )


def _write_json(path: Path, content: Any) -> None:
    write_atomically(path, (json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n").encode())
