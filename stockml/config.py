"""The one configuration: frozen, checked, in sensible units. One `asdict` feeds MLflow, the cache keys and the form."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from typing import Any, Literal, get_args

from stockml.errors import InvalidSetting

Cell = Literal["lstm", "gru", "peephole"]
Mode = Literal["auto", "retrain", "fine-tune", "keep"]
Profile = Literal["nightly", "tutorial"]
Optimizer = Literal["adam", "adamw", "rmsprop", "sgd"]
Loss = Literal["mse", "mae", "huber"]


def check(name: str, value: float, low: float, high: float) -> None:
    """Raise InvalidSetting unless low <= value <= high."""
    if not low <= value <= high:
        raise InvalidSetting(name, value, f"between {low} and {high}")


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise InvalidSetting(name, value, "one of " + ", ".join(choices))


@dataclass(frozen=True)
class NetworkSettings:
    """The network's shape."""

    cell: Cell = "lstm"
    units: tuple[int, ...] = (32, 32)
    dropout: float = 0.0
    look_back: int = 60

    def __post_init__(self) -> None:
        check_choice("network.cell", self.cell, get_args(Cell))
        check("network.units: layers", len(self.units), 1, 6)
        for units in self.units:
            check("network.units", units, 1, 1024)
        check("network.dropout", self.dropout, 0.0, 0.9)
        check("network.look_back", self.look_back, 5, 500)


@dataclass(frozen=True)
class TrainingSettings:
    """How the network learns."""

    optimizer: Optimizer = "adam"
    loss: Loss = "mse"
    learning_rate: float = 1e-3
    batch_size: int = 256
    epochs: int = 5
    fine_tune_epochs: int = 1
    fine_tune_learning_rate: float = 1e-4
    seed: int = 7

    def __post_init__(self) -> None:
        check_choice("training.optimizer", self.optimizer, get_args(Optimizer))
        check_choice("training.loss", self.loss, get_args(Loss))
        check("training.learning_rate", self.learning_rate, 1e-7, 1.0)
        check("training.batch_size", self.batch_size, 1, 65_536)
        check("training.epochs", self.epochs, 1, 1_000)
        check("training.fine_tune_epochs", self.fine_tune_epochs, 1, 1_000)
        check("training.fine_tune_learning_rate", self.fine_tune_learning_rate, 1e-7, 1.0)
        check("training.seed", self.seed, 0, 2**31 - 1)


@dataclass(frozen=True)
class EvaluationSettings:
    """What is forecast, and on which origins it is measured. All counts are sessions."""

    horizon: int = 50
    direction_step: int = 30
    test_sessions: int = 1_500
    validation_sessions: int = 1_000
    origin_every: int = 10
    scale_sessions: int = 2_500

    def __post_init__(self) -> None:
        check("evaluation.horizon", self.horizon, 1, 250)
        check("evaluation.direction_step", self.direction_step, 1, self.horizon)
        check("evaluation.test_sessions", self.test_sessions, 50, 20_000)
        check("evaluation.validation_sessions", self.validation_sessions, 50, 20_000)
        check("evaluation.origin_every", self.origin_every, 1, 250)
        check("evaluation.scale_sessions", self.scale_sessions, 50, 20_000)


@dataclass(frozen=True)
class PolicySettings:
    """When `auto` retrains from scratch rather than fine-tunes."""

    retrain_after_sessions: int = 20
    scale_drift: float = 2.0
    live_skill_floor: float = -0.2

    def __post_init__(self) -> None:
        check("policy.retrain_after_sessions", self.retrain_after_sessions, 1, 10_000)
        check("policy.scale_drift", self.scale_drift, 1.05, 100.0)
        check("policy.live_skill_floor", self.live_skill_floor, -100.0, 1.0)


@dataclass(frozen=True)
class Settings:
    """Everything that decides a night's numbers, apart from the data and the code."""

    profile: Profile = "nightly"
    mode: Mode = "auto"
    network: NetworkSettings = field(default_factory=NetworkSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)
    policy: PolicySettings = field(default_factory=PolicySettings)

    def __post_init__(self) -> None:
        check_choice("profile", self.profile, get_args(Profile))
        check_choice("mode", self.mode, get_args(Mode))

    def asdict(self) -> dict[str, Any]:
        return asdict(self)

    def flat(self) -> dict[str, Any]:
        """One level, dotted names: what MLflow logs as parameters."""
        return dict(_flatten(self.asdict()))

    def sha256(self) -> str:
        """The configuration hash of a night's key."""
        return hashlib.sha256(json.dumps(self.asdict(), sort_keys=True).encode()).hexdigest()


PROFILES: dict[str, Settings] = {
    "nightly": Settings(),
    "tutorial": Settings(
        profile="tutorial",
        network=NetworkSettings(units=(200, 200, 150), dropout=0.2, look_back=50),
        training=TrainingSettings(learning_rate=1e-4, batch_size=500, epochs=30),
    ),
}


def settings_for(profile: str = "nightly", overrides: Mapping[str, Any] | None = None) -> Settings:
    """The named profile with dotted overrides, such as `{"training.epochs": 3, "mode": "retrain"}`.

    Raises InvalidSetting for an unknown profile, an unknown name or a value out of bounds.
    """
    check_choice("profile", profile, tuple(PROFILES))
    settings = PROFILES[profile]
    for name, value in (overrides or {}).items():
        settings = _replaced(settings, name, name.split("."), value)
    return settings


def settings_from_dict(kept: Mapping[str, Any]) -> Settings:
    """The Settings that `asdict` (or its JSON) came from. Raises InvalidSetting for an unknown name or a bad value."""
    return settings_for(kept["profile"], {name: value for name, value in _flatten(kept) if name != "profile"})


def _replaced(part: Any, name: str, path: list[str], value: Any) -> Any:
    names = {f.name for f in fields(part)}
    if path[0] not in names:
        raise InvalidSetting(name, path[0], "one of " + ", ".join(sorted(names)))
    old = getattr(part, path[0])
    if len(path) > 1 and not is_dataclass(old):
        raise InvalidSetting(name, value, "a setting's name")
    new = _replaced(old, name, path[1:], value) if len(path) > 1 else _as_type_of(old, name, value)
    return replace(part, **{path[0]: new})


def _as_type_of(old: object, name: str, value: Any) -> Any:
    if isinstance(old, tuple):
        return tuple(value)
    if is_dataclass(old) or isinstance(value, bool) != isinstance(old, bool):
        raise InvalidSetting(name, value, f"a {type(old).__name__}")
    if isinstance(old, float) and isinstance(value, int):
        return float(value)
    if not isinstance(value, type(old)):
        raise InvalidSetting(name, value, f"a {type(old).__name__}")
    return value


def _flatten(part: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    pairs: list[tuple[str, Any]] = []
    for name, value in part.items():
        if isinstance(value, Mapping):
            pairs.extend(_flatten(value, f"{prefix}{name}."))
        else:
            pairs.append((f"{prefix}{name}", value))
    return pairs
