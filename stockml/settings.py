"""The one configuration: frozen, checked, in sensible units. One `asdict` feeds MLflow, the cache keys and the form.

A setting's bounds and its description stand beside its default, once; the run form is made from them.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from functools import cache
from typing import Any, ClassVar, Literal, get_args, get_origin, get_type_hints

from stockml.errors import InvalidSetting

Cell = Literal["lstm", "gru", "peephole"]
Mode = Literal["auto", "retrain", "fine-tune", "keep"]
Profile = Literal["nightly", "tutorial"]
Optimizer = Literal["adam", "adamw", "rmsprop", "sgd"]
Loss = Literal["mse", "mae", "huber"]
DecayPart = Literal["validation", "test"]


def setting(default: Any, description: str, low: float | None = None, high: float | None = None) -> Any:
    """A field with its default, what it means, and the bounds of its value (of each value, for a tuple)."""
    return field(default=default, metadata={"description": description, "low": low, "high": high})


class Checked:
    """Refuses values out of bounds or of another kind, by name. Subclasses are frozen dataclasses of settings."""

    PREFIX: ClassVar[str] = ""

    def __post_init__(self) -> None:
        for each in fields(self):  # type: ignore[arg-type]
            _check(f"{self.PREFIX}{each.name}", getattr(self, each.name), each, kind_of(type(self), each.name))


def _check(name: str, value: Any, each: "dataclasses.Field[Any]", kind: Any) -> None:
    if choices := choices_of(kind):
        if value not in choices:
            raise InvalidSetting(name, value, "one of " + ", ".join(choices))
        return
    low, high = each.metadata.get("low"), each.metadata.get("high")
    if low is None or high is None:
        return
    if isinstance(value, tuple) and not 1 <= len(value) <= MOST_LAYERS:
        raise InvalidSetting(f"{name}: layers", len(value), f"between 1 and {MOST_LAYERS}")
    for one in value if isinstance(value, tuple) else (value,):
        if isinstance(one, bool) or not isinstance(one, int | float) or not low <= one <= high:
            raise InvalidSetting(name, one, f"between {low} and {high}")


MOST_LAYERS = 6


@cache
def _kinds(settings: type) -> dict[str, Any]:
    return get_type_hints(settings)


def kind_of(settings: type, name: str) -> Any:
    """The declared type of a setting."""
    return _kinds(settings)[name]


def choices_of(kind: Any) -> tuple[str, ...]:
    """The choices of a Literal type; none for any other."""
    return tuple(get_args(kind)) if get_origin(kind) is Literal else ()


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise InvalidSetting(name, value, "one of " + ", ".join(choices))


@dataclass(frozen=True)
class NetworkSettings(Checked):
    """The network's shape."""

    PREFIX: ClassVar[str] = "network."

    cell: Cell = setting("lstm", "Recurrent cell")
    units: tuple[int, ...] = setting((16,), "Units of each recurrent layer, first to last", 1, 1024)
    dropout: float = setting(0.0, "Share of outputs dropped while learning", 0.0, 0.9)
    look_back: int = setting(20, "Sessions that the network sees before an origin", 5, 500)


@dataclass(frozen=True)
class TrainingSettings(Checked):
    """How the network learns."""

    PREFIX: ClassVar[str] = "training."

    optimizer: Optimizer = setting("adam", "Optimiser")
    loss: Loss = setting("mse", "Loss of the scaled path")
    learning_rate: float = setting(1e-3, "Learning rate of a full training", 1e-7, 1.0)
    batch_size: int = setting(256, "Origins in a step", 1, 65_536)
    epochs: int = setting(3, "Passes over the training part", 1, 1_000)
    fine_tune_epochs: int = setting(1, "Passes when the champion is continued", 1, 1_000)
    # A night adds one window to thousands: the larger steps of a full training would walk away towards the newest year.
    fine_tune_learning_rate: float = setting(1e-5, "Learning rate when the champion is continued", 1e-7, 1.0)
    decay_on: DecayPart = setting("validation", "Part that lowers the rate (tutorial profile only; test leaks)")
    seed: int = setting(7, "Seed of weights and shuffles", 0, 2**31 - 1)


@dataclass(frozen=True)
class EvaluationSettings(Checked):
    """What is forecast, and on which origins it is measured. All counts are sessions."""

    PREFIX: ClassVar[str] = "evaluation."

    horizon: int = setting(50, "Sessions that are forecast", 1, 250)
    direction_step: int = setting(30, "Lead at which the direction is judged", 1, 250)
    test_sessions: int = setting(1_500, "Newest sessions that only measure", 50, 20_000)
    validation_sessions: int = setting(1_000, "Sessions before them that choose and calibrate", 50, 20_000)
    origin_every: int = setting(10, "Sessions between two origins", 1, 250)
    scale_sessions: int = setting(2_500, "Sessions whose range scales an error", 50, 20_000)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.direction_step > self.horizon:
            raise InvalidSetting("evaluation.direction_step", self.direction_step, f"between 1 and {self.horizon}")


@dataclass(frozen=True)
class PolicySettings(Checked):
    """When `auto` retrains from scratch rather than fine-tunes."""

    PREFIX: ClassVar[str] = "policy."

    retrain_after_sessions: int = setting(20, "Sessions after which a full training is due", 1, 10_000)
    scale_drift: float = setting(2.0, "Ratio of volatility, now to learned, that calls for one", 1.05, 100.0)
    live_skill_floor: float = setting(-0.2, "Live skill below which one is due", -100.0, 1.0)


@dataclass(frozen=True)
class Settings(Checked):
    """Everything that decides a night's numbers, apart from the data and the code."""

    profile: Profile = setting("nightly", "`nightly`, or the published `tutorial` recipe")
    mode: Mode = setting("auto", "`auto` decides from facts and says why")
    network: NetworkSettings = field(default_factory=NetworkSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)
    policy: PolicySettings = field(default_factory=PolicySettings)

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
        training=TrainingSettings(learning_rate=1e-4, batch_size=500, epochs=30, fine_tune_learning_rate=1e-4),
    ),
}


def settings_for(profile: str = "nightly", overrides: Mapping[str, Any] | None = None) -> Settings:
    """The named profile with dotted overrides, such as `{"training.epochs": 3, "mode": "retrain"}`.

    Raises InvalidSetting for an unknown profile, an unknown name or a value out of bounds.
    """
    check_choice("profile", profile, tuple(PROFILES))
    changed: Settings = _replaced(PROFILES[profile], overrides or {})
    return changed


def settings_from_dict(kept: Mapping[str, Any]) -> Settings:
    """The Settings that `asdict` (or its JSON) came from. Raises InvalidSetting for an unknown name or a bad value."""
    return settings_for(kept["profile"], {name: value for name, value in _flatten(kept) if name != "profile"})


def _replaced(part: Any, overrides: Mapping[str, Any], prefix: str = "") -> Any:
    """The part with all its overrides at once: two settings that bound each other may change together."""
    changes: dict[str, Any] = {}
    for dotted, value in overrides.items():
        name, _, rest = dotted.partition(".")
        if name not in (known := {f.name for f in fields(part)}):
            raise InvalidSetting(prefix + dotted, name, "one of " + ", ".join(sorted(known)))
        old = getattr(part, name)
        if not rest:
            changes[name] = _as_type_of(old, prefix + dotted, value)
        elif not is_dataclass(old):
            raise InvalidSetting(prefix + dotted, value, "a setting's name")
        else:
            changes.setdefault(name, {})[rest] = value
    for name, inner in changes.items():
        if is_dataclass(getattr(part, name)):
            changes[name] = _replaced(getattr(part, name), inner, f"{prefix}{name}.")
    return replace(part, **changes)


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
