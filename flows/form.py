"""What a run's page in Prefect asks in several forms, and a night's settings from what is asked and
chosen."""

from collections.abc import Mapping
from datetime import date
from operator import methodcaller
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, create_model

from stockml.errors import InvalidSession
from stockml.home import current_home
from stockml.settings import (
    PROFILES,
    FrozenSettings,
    Profile,
    Settings,
    acts_in,
    night_settings,
    settings_for,
)
from stockml.training.tuning import tuned_settings


class Form(BaseModel):
    """An empty field keeps its usual value."""

    # a field's type excludes None, though None is its default: the page would offer "None" as a
    # type

    model_config = ConfigDict(extra="forbid")


# Prefect keeps only default and description of a parameter's Field: what else the page should check
# is in its type
Retries = Annotated[int, Field(ge=0, le=12)]
# text that `day` reads: the page would answer a wrong day with a regular expression
Day = Annotated[date | str, WithJsonSchema({"type": "string"})]
CalendarName = Annotated[str, BeforeValidator(lambda name: name or "")]
AtATime = Annotated[int, Field(ge=1, le=64)]
Changes = dict[str, dict[str, Any]]  # values by section and name, as {"training": {"steps": 10}}

# what several forms ask for in the same words
TICKER: Any = Field(description="The symbol as Alpha Vantage writes it: IBM, BRK-B, TSCO.LON")
SESSION: Any = Field(
    "", description="The trading day, YYYY-MM-DD; empty for the newest whose bar is final"
)
NO_CHANGES: Any = {}
MODE: Any = Field(
    "auto",
    description="retrain: from the pretrained network. fine-tune: the champion, a few steps "
    "further. keep: the champion as it is. auto: fine-tune what is new, retrain every 20 sessions",
)
PROFILE: Any = Field("nightly", description="nightly, or the published tutorial recipe")
CALENDAR: Any = Field("", description="Exchange calendar such as XNYS; empty goes by the suffix")
FORCE: Any = Field(False, description="Recompute every step instead of using cached results")
LATE_RETRIES: Any = Field(
    3, description="How often another run asks again for a late bar, or after no answer (0 to 12)"
)
SETTINGS: Any = Field({}, description="What to change in the profile")

# what a universe asks of all its tickers
CALENDAR_OF_ALL: Any = Field(
    "", description="Exchange calendar of all; empty goes by choices, then the suffix"
)
SETTINGS_OF_ALL: Any = Field(
    {}, description="What to change for all; else each ticker's values stay"
)
CHOICES: Any = Field(
    {},
    description="Per ticker: the profile, calendar and settings of its own nights; those above win",
)
PROCESSES: Any = Field(
    2, description="Nights at a time, each in a process of this machine or of Dask (1 to 64)"
)
DASK_ADDRESS: Any = Field(
    "",
    description="A running Dask scheduler, tcp://host:8786; empty for STOCKML_DASK_ADDRESS or "
    "local processes",
)


def day(text: date | str) -> date:
    """Raises InvalidSession for what is no day."""
    if isinstance(text, date):
        return text
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise InvalidSession(text, "no calendar has such a day") from None


def day_or_none(text: date | str) -> date | None:
    return day(text) if text else None


def form_of(settings: FrozenSettings) -> type[Form]:
    """A pydantic model with a field for each setting that acts; `settings` are the values of fields
    that stay empty."""
    fields: dict[str, Any] = {}
    for name, schema in settings.model_json_schema()["properties"].items():
        # no night takes another part
        if name == "decay_on" or not acts_in("tutorial", settings.PREFIX + name):
            continue
        field = Field(
            None,
            title=name.replace("_", " ").capitalize(),
            description=_help_text(schema, f"usually {_as_text(getattr(settings, name))}"),
            # the page would fill in None, the server refuse it
            json_schema_extra=methodcaller("pop", "default", None),
            ge=schema.get("minimum"),
            le=schema.get("maximum"),
        )
        fields[name] = (type(settings).model_fields[name].annotation, field)
    return create_model(type(settings).__name__, __base__=Form, __doc__=settings.__doc__, **fields)


def _help_text(schema: Mapping[str, Any], default: str) -> str:
    """The setting's meaning, bounds and default: `Passes over the training part. 1 to 1,000;
    usually 30`."""
    allowed = schema.get("items", schema)
    bounds = (
        f"{_as_text(allowed['minimum'])} to {_as_text(allowed['maximum'])}; "
        if "minimum" in allowed
        else ""
    )
    return f"{schema['description']}. {bounds}{default if bounds else default.capitalize()}"


def _as_text(value: Any) -> str:
    """The value as a person writes it: 1,000; 0.0001; 200 200 150."""
    if isinstance(value, tuple):
        return " ".join(map(_as_text, value))
    if isinstance(value, float) and not value.is_integer():
        return f"{value:.10f}".rstrip("0")
    return f"{value:,.0f}" if isinstance(value, int | float) else str(value)


SECTIONS: Any = {
    name: (
        form := form_of(usual),
        Field(default_factory=form, title=name.capitalize(), description=form.__doc__),
    )
    for name, usual in PROFILES["tutorial"]
    if isinstance(usual, FrozenSettings)
}
TutorialForm = create_model("TutorialForm", __base__=Form, __doc__=Form.__doc__, **SECTIONS)


def of_ticker(
    choices: Mapping[str, Any],
    profile: Profile | None,
    calendar: str | None,
    settings: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Profile, calendar and settings of a night: as requested, setting by setting, else the
    ticker's own."""
    own, changes = choices.get("settings") or {}, settings or {}
    return {
        "profile": profile or choices.get("profile", "nightly"),
        "calendar": calendar or choices.get("calendar", ""),
        "settings": {
            part: {**own.get(part, {}), **changes.get(part, {})} for part in {**own, **changes}
        },
    }


def chosen(
    profile: str, mode: str, changes: Changes | None, *, ticker: str | None = None
) -> Settings:
    """The profile's settings, overridden by the ticker's tuned ones, and both by the changes.

    Raises InvalidSetting, and InvalidFile if the ticker's settings file is damaged.
    """
    tuned = tuned_settings(current_home(), ticker, profile) if ticker else {}
    return night_settings(settings_for(profile, {**tuned, "mode": mode, **dotted(changes or {})}))


def dotted(changes: Changes) -> dict[str, Any]:
    """The changes by dotted name, without fields that the page leaves empty."""
    return {
        f"{section}.{name}": value
        for section, part in changes.items()
        for name, value in part.items()
        if value is not None
    }
