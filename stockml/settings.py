"""The configuration: frozen, validated settings, each defined once with its default, bounds and
description."""

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    InstanceOf,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)

from stockml.errors import InvalidSetting

Cell = Literal["lstm", "gru", "peephole"]
Mode = Literal["auto", "retrain", "fine-tune", "keep"]
Profile = Literal["nightly", "tutorial"]
Optimizer = Literal["adam", "adamw", "rmsprop", "sgd"]
Loss = Literal["mse", "mae", "huber"]
DecayPart = Literal["validation", "test"]
Sampler = Literal["tpe", "random", "grid"]  # of the hyperparameter search
DecimalMark = Literal["comma", "point"]
# when a run over many tickers counts as failed
FailWhen = Literal["all fail", "any fails", "never"]
LSTM = "LSTM"
MAX_LAYERS = 6
PRETRAINED_LAYERS = ("cell", "units", "look_back")
Units = Annotated[int, Field(ge=1, le=1024)]
# JSON has lists
Layers = Annotated[tuple[Units, ...], Field(min_length=1, max_length=MAX_LAYERS, strict=False)]
SessionsTo250 = Annotated[int, Field(ge=1, le=250)]
SessionsFrom50 = Annotated[int, Field(ge=50, le=20_000)]
KINDS = {
    "int_type": "a whole number",
    "float_type": "a number",
    "tuple_type": "a list such as [16]",
}
Rate = Annotated[float, Field(ge=1e-7, le=1.0)]


class FrozenSettings(BaseModel):
    """Frozen settings. Raises InvalidSetting, with the name, for an unknown one or a value of wrong
    type or range."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
    PREFIX: ClassVar[str]

    def __init_subclass__(cls, prefix: str = "") -> None:
        """prefix: put before a setting's name in errors."""
        cls.PREFIX = prefix

    @model_validator(mode="wrap")
    @classmethod
    def _by_name(cls, values: Any, check: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return check(values)
        except ValidationError as error:
            raise cls._refusal(error) from None

    @classmethod
    def _refusal(cls, error: ValidationError) -> InvalidSetting:
        first = error.errors(include_url=False)[0]
        value, kind, location = first["input"], first["type"], first["loc"]
        name, properties = str(location[0]), cls.model_json_schema()["properties"]
        allowed = properties.get(name, {})
        allowed = allowed.get("items", allowed)
        if kind == "is_instance_of":
            return InvalidSetting(name, value, f"a {first['ctx']['class']}")
        name = cls.PREFIX + name
        if kind == "extra_forbidden":
            value, bound = str(location[0]), "one of " + ", ".join(sorted(properties))
        elif kind in ("too_short", "too_long"):
            name, value, bound = f"{name}: layers", len(value), f"between 1 and {MAX_LAYERS}"
        elif choices := allowed.get("enum"):
            bound = "one of " + ", ".join(choices)
        elif kind.endswith("_type") and len(location) == 1:
            bound = KINDS.get(kind, f"a {kind.removesuffix('_type')}")
        else:
            bound = f"between {allowed['minimum']} and {allowed['maximum']}"
        return InvalidSetting(name, value, bound)

    def changed(self, /, **values: Any) -> Self:
        """A copy with other values, checked together, so that two settings that bound each other
        can change at once."""
        return type(self)(**{**dict(self), **values})


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise InvalidSetting(name, value, "one of " + ", ".join(choices))


class NetworkSettings(FrozenSettings, prefix="network."):
    """The network. Nightly, its layers are those of the pretrained one, which `stockml pretrain`
    learns."""

    cell: Cell = Field("lstm", description="Recurrent cell")
    units: Layers = Field((48, 48), description="Units of each recurrent layer, first to last")
    dropout: float = Field(
        0.3, description="Share of outputs dropped while learning", ge=0.0, le=0.9
    )
    look_back: int = Field(
        64,
        description="Sessions a forecast sees; in the tutorial, steps unrolled: one more",
        ge=5,
        le=500,
    )


class TrainingSettings(FrozenSettings, prefix="training."):
    """How a network learns from a ticker.

    Nightly: steps from the pretrained network, on batches of stretches of the ticker and of many
    others.
    """

    forecaster: str = Field(
        LSTM,
        description="LSTM, or an installed package's forecaster as the challenger (nightly "
        "profile only)",
    )
    optimizer: Optimizer = Field("adamw", description="Optimiser")
    # forecasting.md's gentle training, which harmed in no era; higher rates gained in one and lost
    # in two
    learning_rate: Rate = Field(1e-4, description="Learning rate of a full training, at its start")
    batch_size: int = Field(
        64,
        description="Stretches in a batch; in the tutorial, streams side by side",
        ge=1,
        le=65_536,
    )
    steps: int = Field(
        20, description="Steps of a full training (nightly profile only)", ge=1, le=1_000
    )
    own_share: float = Field(
        0.25,
        description="Share of a batch that is the ticker's own (nightly profile only)",
        ge=0.0,
        le=1.0,
    )
    start_share: float = Field(
        0.0,
        description="Weight of the network that training started from (nightly profile only)",
        ge=0.0,
        le=1.0,
    )
    fine_tune_steps: int = Field(
        5, description="Steps when the champion is continued (nightly profile only)", ge=1, le=1_000
    )
    # A night adds one window to thousands: at a full training's rate the weights would drift
    # towards the newest year.
    fine_tune_learning_rate: Rate = Field(
        3e-5, description="Learning rate when the champion is continued"
    )
    loss: Loss = Field("mse", description="Loss of the scaled path (tutorial profile only)")
    epochs: int = Field(
        3, description="Passes over the training part (tutorial profile only)", ge=1, le=1_000
    )
    fine_tune_epochs: int = Field(
        1,
        description="Passes when the champion is continued (tutorial profile only)",
        ge=1,
        le=1_000,
    )
    decay_on: DecayPart = Field(
        "validation",
        description=(
            "Part that lowers the rate (tutorial profile only; test leaks, and no night takes it)"
        ),
    )
    seed: int = Field(7, description="Seed of weights, streams and dropout", ge=0, le=2**31 - 1)


class EvaluationSettings(FrozenSettings, prefix="evaluation."):
    """What is forecast, and on which origins it is measured. All counts are sessions."""

    horizon: SessionsTo250 = Field(50, description="Sessions that are forecast")
    direction_step: SessionsTo250 = Field(30, description="Lead at which the direction is judged")
    test_sessions: SessionsFrom50 = Field(1_500, description="Newest sessions that only measure")
    validation_sessions: SessionsFrom50 = Field(
        1_000, description="Sessions before them that choose and calibrate"
    )
    origin_every: SessionsTo250 = Field(10, description="Sessions between two origins")
    scale_sessions: SessionsFrom50 = Field(
        2_500, description="Sessions whose range scales an error"
    )
    replace_after_sessions: int = Field(
        20,
        description="Sessions after which a champion gives way to a model that is as good",
        ge=1,
        le=10_000,
    )

    @model_validator(mode="after")
    def _direction_within_horizon(self) -> Self:
        if self.direction_step > self.horizon:
            raise InvalidSetting(
                "evaluation.direction_step",
                self.direction_step,
                f"between 1 and the horizon, {self.horizon}",
            )
        return self


class PolicySettings(FrozenSettings, prefix="policy."):
    """When `auto` retrains from scratch rather than fine-tunes."""

    retrain_after_sessions: int = Field(
        20, description="Sessions after which a full training is due", ge=1, le=10_000
    )
    scale_drift: float = Field(
        2.0,
        description=(
            "Half ranges from the last window's middle to the price that call for one (tutorial "
            "profile only)"
        ),
        ge=1.05,
        le=100.0,
    )
    live_skill_floor: float = Field(
        -0.2,
        description="Live skill of the path below which one is due (tutorial profile only)",
        ge=-100.0,
        le=1.0,
    )


class AgeingSettings(FrozenSettings, prefix="ageing."):
    """When something is reported as too old. Counts are sessions; no number depends on them."""

    # A trading week: a bar that is only late comes sooner. By then a tenth of a path of 50 sessions
    # has passed too, and bands around an old price are off by about the width that they have for 5
    # sessions.
    stale_bars: SessionsTo250 = Field(
        5, description="Sessions without a bar after which a feed is stale"
    )
    old_forecast: int = Field(5, description="Age at which a forecast has expired", ge=0, le=250)
    # A champion stays as long as no challenger is as good; after a year it has seen none of the
    # past four seasons.
    old_champion: int = Field(
        250, description="Age at which the state names a champion as old", ge=1, le=10_000
    )


class Settings(FrozenSettings):
    """Everything that decides a night's numbers, apart from the data and the code."""

    profile: Profile = Field("nightly", description="`nightly`, or the published `tutorial` recipe")
    mode: Mode = Field("auto", description="What is trained; `auto` decides")
    network: InstanceOf[NetworkSettings] = NetworkSettings()
    training: InstanceOf[TrainingSettings] = TrainingSettings()
    evaluation: InstanceOf[EvaluationSettings] = EvaluationSettings()
    policy: InstanceOf[PolicySettings] = PolicySettings()
    ageing: InstanceOf[AgeingSettings] = AgeingSettings()

    @model_validator(mode="after")
    def _layers_of_the_pretrained_network(self) -> Self:
        if self.profile == "nightly":
            for name in PRETRAINED_LAYERS:
                value, only = (
                    getattr(self.network, name),
                    NetworkSettings.model_fields[name].default,
                )
                if value != only:
                    why = (
                        f"{only}: a night trains the pretrained network further, whose layers are "
                        "these"
                    )
                    raise InvalidSetting(f"network.{name}", value, why)
        return self

    def flat(self) -> dict[str, Any]:
        """All settings in one level, by dotted name, as MLflow logs them."""
        return _flat(self.model_dump())

    def sha256(self) -> str:
        """The configuration hash of a night's key; without `ageing`, which affects no number."""
        relevant = self.model_dump(exclude={"ageing"})
        return hashlib.sha256(json.dumps(relevant, sort_keys=True).encode()).hexdigest()


PROFILES: dict[str, Settings] = {
    "nightly": Settings(),
    "tutorial": Settings(
        profile="tutorial",
        network=NetworkSettings(units=(200, 200, 150), dropout=0.2, look_back=50),
        training=TrainingSettings(
            optimizer="adam",
            learning_rate=1e-4,
            batch_size=500,
            epochs=30,
            fine_tune_learning_rate=1e-4,
        ),
    ),
}


def settings_for(profile: str = "nightly", overrides: Mapping[str, Any] | None = None) -> Settings:
    """The named profile with dotted overrides, such as `{"training.epochs": 3}`. Raises
    InvalidSetting."""
    check_choice("profile", profile, tuple(PROFILES))
    base_settings = PROFILES[profile]
    changes: dict[str, Any] = {
        name: value for name, value in (overrides or {}).items() if "." not in name
    }
    for section, values in nested(overrides or {}).items():
        part = getattr(base_settings, section, None)
        changes[section] = part.changed(**values) if isinstance(part, FrozenSettings) else values
    return base_settings.changed(**changes)


def nested(dotted: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """`{"training.epochs": 3}` as `{"training": {"epochs": 3}}`; names without a dot are left
    out."""
    sections: dict[str, dict[str, Any]] = {}
    for name, value in dotted.items():
        section, dot, setting = name.partition(".")
        if dot:
            sections.setdefault(section, {})[setting] = value
    return sections


def acts_in(profile: str, name: str) -> bool:
    """Whether the setting of this dotted name has an effect in the profile."""
    return name not in (ONLY_NIGHTLY if profile == "tutorial" else ONLY_TUTORIAL)


ONLY_TUTORIAL = (
    *(f"training.{name}" for name in ("loss", "epochs", "fine_tune_epochs", "decay_on")),
    *("policy.scale_drift", "policy.live_skill_floor"),
)
ONLY_NIGHTLY = tuple(
    f"training.{name}"
    for name in ("forecaster", "steps", "own_share", "start_share", "fine_tune_steps")
)


USED_BY_TUTORIAL = (
    *(f"network.{name}" for name in NetworkSettings.model_fields),
    *(
        f"training.{name}"
        for name in TrainingSettings.model_fields
        if not name.startswith("fine_tune_") and f"training.{name}" not in ONLY_NIGHTLY
    ),
    *(f"evaluation.{name}" for name in ("horizon", "direction_step")),
)


def tutorial_settings(overrides: Mapping[str, Any]) -> Settings:
    """The `tutorial` profile for its own command. Raises InvalidSetting for a setting that would do
    nothing there."""
    for name in overrides:
        check_choice("a setting of the tutorial", name, USED_BY_TUTORIAL)
    return settings_for("tutorial", overrides)


def night_settings(settings: Settings) -> Settings:
    """`settings`, if fit for a night. Raises InvalidSetting for one that would do nothing in its
    profile.

    Also for `training.decay_on=test`: a test part only measures.
    """
    check_choice("training.decay_on of a night", settings.training.decay_on, ("validation",))
    usual = PROFILES[settings.profile].flat()
    for name, value in settings.flat().items():
        if value != usual[name] and not acts_in(settings.profile, name):
            bound = f"left as it is: it does nothing in the {settings.profile} profile"
            raise InvalidSetting(name, value, bound)
    return settings


def settings_from_dict(dump: Mapping[str, Any]) -> Settings:
    """Settings from their `model_dump` (or its JSON). Raises InvalidSetting for an unknown name or
    a bad value."""
    return settings_for(dump["profile"], _flat(dump))


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    sections = {
        name: part if isinstance(part, Mapping) else {"": part} for name, part in settings.items()
    }
    return {
        f"{name}.{key}".rstrip("."): value
        for name, part in sections.items()
        for key, value in part.items()
    }
