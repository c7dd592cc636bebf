"""The run form: one optional field per setting, with the bounds and descriptions of `stockml.settings`."""

from collections.abc import Mapping
from datetime import date
from operator import methodcaller
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, create_model

from stockml.home import current_home
from stockml.settings import (
    PROFILES,
    FrozenSettings,
    Profile,
    Settings,
    Units,
    acts_in,
    night_settings,
    settings_for,
)
from stockml.training.tuned_settings import tuned_settings


class Form(BaseModel):
    """An empty field keeps the profile's own value."""

    # a field's type excludes None, though None is its default: the page would offer "None" as a type

    model_config = ConfigDict(extra="forbid")


# Prefect keeps only default and description of a parameter's Field: what else the page should check is in its type
TickerName = Annotated[str, Field(pattern="^[A-Za-z0-9]{1,10}([.-][A-Za-z0-9]{1,5}){0,2}$")]
Retries = Annotated[int, Field(ge=0, le=12)]
WaitSeconds = Annotated[float, Field(ge=0, le=7200)]
# as text, since the server lets any text pass for a "date", and refuses an empty one
DAY = r"\d{4}-((0[13578]|1[02])-(0[1-9]|[12]\d|3[01])|(0[469]|11)-(0[1-9]|[12]\d|30)|02-(0[1-9]|[12]\d))"
Day = Annotated[
    date | None, BeforeValidator(lambda day: day or None), WithJsonSchema({"type": "string", "pattern": f"^({DAY})?$"})
]
PastDay = Annotated[date, WithJsonSchema({"type": "string", "pattern": f"^{DAY}$"})]
NightlyDecay = Annotated[  # nothing of a night's test part may lower its rate
    Literal["validation"], WithJsonSchema({"type": "string", "enum": ["validation"]})
]
CalendarName = Annotated[str, BeforeValidator(lambda name: name or "")]

# how the page sends an empty field; the field's type reads it
NO_DAY: Any = ""
NO_CHANGES: Any = {}

# what several forms ask for in the same words
TICKER: Any = Field("IBM", description="The symbol as Alpha Vantage writes it: IBM, BRK-B, TSCO.LON")
SESSION: Any = Field(NO_DAY, description="The trading day, YYYY-MM-DD; empty for the newest whose bar is final")
MODE: Any = Field("auto", description="auto decides by stated rules, and says why")
PROFILE: Any = Field("nightly", description="nightly, or the published tutorial recipe")
CALENDAR: Any = Field("", description="Exchange calendar such as XNYS; empty goes by the suffix")
FORCE: Any = Field(False, description="Recompute every step instead of using cached results")
LATE_RETRIES: Any = Field(
    3, description="How often another run asks again for a late bar, or after no answer (0 to 12)"
)
LATE_WAIT_S: Any = Field(1200.0, description="Seconds until it does, at least 60 (0 to 7,200)")
SETTINGS: Any = Field(NO_CHANGES, description="What to change in the profile; empty fields keep its values")


def form_of(settings: FrozenSettings) -> type[Form]:
    """A pydantic model with a field for each setting; `settings` are the values of fields that stay empty."""
    fields: dict[str, Any] = {}
    for name, schema in settings.model_json_schema()["properties"].items():
        kind: Any = list[Units] if "items" in schema else type(settings).model_fields[name].annotation
        word = "usually" if acts_in("nightly", settings.PREFIX + name) else "tutorial"
        field = Field(
            None,
            title=name.replace("_", " ").capitalize(),
            description=_help_text(schema, f"{word} {_as_text(getattr(settings, name))}"),
            json_schema_extra=methodcaller("pop", "default", None),  # the page would fill in None, the server refuse it
            ge=schema.get("minimum"),
            le=schema.get("maximum"),
        )
        fields[name] = (NightlyDecay if name == "decay_on" else kind, field)
    return create_model(type(settings).__name__, __base__=Form, __doc__=settings.__doc__, **fields)


def _help_text(schema: Mapping[str, Any], default: str) -> str:
    """The setting's meaning, bounds and default: `Passes over the training part. 1 to 1,000; tutorial 30`."""
    allowed = schema.get("items", schema)
    bounds = f"{_as_text(allowed['minimum'])} to {_as_text(allowed['maximum'])}; " if "minimum" in allowed else ""
    return f"{schema['description']}. {bounds}{default if bounds else default.capitalize()}"


def _as_text(value: Any) -> str:
    """The value as a person writes it: 1,000; 0.0001; 200 200 150."""
    if isinstance(value, tuple):
        return " ".join(map(_as_text, value))
    if isinstance(value, float) and not value.is_integer():
        return f"{value:.10f}".rstrip("0")
    return f"{value:,.0f}" if isinstance(value, int | float) else str(value)


SECTIONS: Any = {  # settings that affect both profiles have the same value in both
    name: (form := form_of(usual), Field(default_factory=form, title=name.capitalize(), description=form.__doc__))
    for name, usual in PROFILES["tutorial"]
    if isinstance(usual, FrozenSettings)
}
SettingsForm = create_model("SettingsForm", __base__=Form, __doc__=Form.__doc__, **SECTIONS)
Changes = Annotated[SettingsForm, BeforeValidator(lambda changes: changes or {})]


class Choices(Form):
    """A ticker's own choices for its nights, in `tickers.yaml`."""

    profile: Profile = "nightly"
    calendar: CalendarName = ""
    settings: Changes = Field(default_factory=SettingsForm)


def of_ticker(
    choices: Mapping[str, Any], profile: Profile | None, calendar: str | None, settings: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Profile, calendar and settings of a night: as requested, setting by setting, else the ticker's own."""
    own, changes = choices.get("settings") or {}, settings or {}
    return {
        "profile": profile or choices.get("profile", "nightly"),
        "calendar": calendar or choices.get("calendar", ""),
        "settings": {part: {**own.get(part, {}), **changes.get(part, {})} for part in {**own, **changes}},
    }


def chosen(profile: str, mode: str, form: Form | Mapping[str, Any] | None, *, ticker: str | None = None) -> Settings:
    """The profile's settings, overridden by the ticker's tuned ones, and both by the form's changes.

    Raises InvalidSetting, and InvalidFile if the ticker's settings file is damaged.
    """
    tuned = tuned_settings(current_home(), ticker, profile) if ticker else {}
    return night_settings(settings_for(profile, {**tuned, "mode": mode, **dotted(form)}))


def dotted(form: Form | Mapping[str, Any] | None) -> dict[str, Any]:
    """The form's changes by dotted name."""
    sections = form.model_dump(exclude_none=True) if isinstance(form, BaseModel) else dict(form or {})
    return {f"{section}.{name}": value for section, part in sections.items() for name, value in part.items()}
