"""A night's two networks as one value, and the folder in which it is kept."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from stockml.errors import InvalidFile
from stockml.features.scaling import FeatureScaler
from stockml.features.windows import OriginSplit
from stockml.models.forecaster import Forecaster
from stockml.models.retrain_policy import Decision
from stockml.settings import Settings, settings_from_dict
from stockml.storage.arrays import packed, unpacked
from stockml.storage.files import write_atomically

NETWORKS = ("held_out", "published")


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
    parts: OriginSplit
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
        seconds = _seconds(folder, len(history))
        networks = {name: _forecaster(kept, name, folder) for name in NETWORKS}
    except (OSError, KeyError, ValueError) as error:
        raise InvalidFile(str(folder), f"expected a trained model, found {error!r}") from error
    return TrainedModel(
        settings=settings_from_dict(kept["settings"]),
        decision=Decision(**kept["decision"]),
        parts=OriginSplit(kept["train_end"], range(*kept["validation"]), range(*kept["test"])),
        sessions=kept["sessions"],
        last_session=np.datetime64(kept["last_session"]),
        retrained_at=np.datetime64(kept["retrained_at"]),
        history=tuple(row | {"seconds": s} for row, s in zip(history, seconds, strict=True)),
        **networks,
    )


def _seconds(folder: Path, epochs: int) -> list[float]:
    """What each epoch took; no part of the model, so that 0 where it cannot be read is as good."""
    try:
        found = list(map(float, json.loads((folder / "_timing.json").read_text())["seconds"]))
    except (OSError, KeyError, ValueError, TypeError):
        found = []
    return found if len(found) == epochs else [0.0] * epochs


def _described(model: TrainedModel) -> dict[str, Any]:
    networks = {
        name: {
            "scale": part.scale.asdict(),
            "shrinkage": part.shrinkage,
            "learned_until": str(part.learned_until),
        }
        | ({"departure": part.residual_weight} if isinstance(part, Forecaster) else {})
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
        from stockml.models.tutorial.forecaster import restored

        return restored(part, settings, weights)
    return Forecaster(
        network=settings.network,
        horizon=settings.evaluation.horizon,
        weights=weights,
        scale=FeatureScaler.from_dict(part["scale"]),
        residual_weight=part["departure"],
        shrinkage=part["shrinkage"],
        learned_until=np.datetime64(part["learned_until"]),
    )


def _write_json(path: Path, content: Any) -> None:
    write_atomically(path, (json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n").encode())
