"""The run form: one optional field a setting, with the bounds and descriptions that stand in `stockml.config`."""

import dataclasses
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import date
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, create_model

from stockml.config import Settings, kind_of, settings_for
from stockml.home import home
from stockml.tuned import tuned_settings


def unfilled(schema: dict[str, Any]) -> None:
    """Leave None out of a field's schema: the page would fill it in, and the server refuse it as no number."""
    schema.pop("default", None)


class Form(BaseModel):
    """An empty field keeps the profile's own value.

    A field's kind does not name None, though None is its default: the page would offer "None" as a kind of its own.
    """

    model_config = ConfigDict(extra="forbid")


# Prefect keeps a parameter's default and description only: what else the page should check stands in its kind
TickerName = Annotated[str, Field(pattern="^[A-Za-z0-9]{1,10}([.-][A-Za-z0-9]{1,5}){0,2}$")]
Retries = Annotated[int, Field(ge=0, le=12)]
WaitSeconds = Annotated[float, Field(ge=0, le=7200)]
# as text, since the server lets any text pass for a "date", and refuses an empty one
Day = Annotated[
    date | None,
    BeforeValidator(lambda day: day or None),
    WithJsonSchema({"type": "string", "pattern": r"^(\d{4}-\d{2}-\d{2})?$"}),
]
CalendarName = Annotated[str, BeforeValidator(lambda name: name or "")]


def form_of(settings: type) -> type[Form]:
    """A pydantic model with a field for each setting of a dataclass of settings."""
    found: dict[str, Any] = {}
    for each in fields(settings):
        kind, described = kind_of(settings, each.name), each.metadata
        if is_dataclass(kind):
            continue
        low, high = described.get("low"), described.get("high")
        title = each.name.replace("_", " ").capitalize()
        if kind == tuple[int, ...]:
            kind = list[Annotated[int, Field(ge=low, le=high)]]
            found[each.name] = (
                kind,
                Field(None, title=title, description=_described(each), json_schema_extra=unfilled),
            )
        else:
            bounds = {"ge": low, "le": high} if low is not None else {}
            found[each.name] = (
                kind,
                Field(None, title=title, description=_described(each), json_schema_extra=unfilled, **bounds),
            )
    return create_model(settings.__name__, __base__=Form, __doc__=settings.__doc__, **found)


def _described(each: "dataclasses.Field[Any]") -> str:
    """What the setting means, its bounds, and the nightly profile's value."""
    low, high, usual = each.metadata["low"], each.metadata["high"], each.default
    bounds = "" if low is None else f", {low:g} to {high:g}"
    shown = " ".join(map(str, usual)) if isinstance(usual, tuple) else usual
    return f"{each.metadata['description']}{bounds}; nightly: {shown}"


def _sections() -> dict[str, Any]:
    kinds = {each.name: kind_of(Settings, each.name) for each in fields(Settings)}
    return {
        name: (made := form_of(kind), Field(default_factory=made, title=name.capitalize(), description=kind.__doc__))
        for name, kind in kinds.items()
        if is_dataclass(kind)
    }


SettingsForm: type[Form] = create_model("SettingsForm", __base__=Form, __doc__=Form.__doc__, **_sections())


Changes = Annotated[SettingsForm, BeforeValidator(lambda changes: changes or {})]


def chosen(profile: str, mode: str, form: Form | Mapping[str, Any] | None, *, ticker: str | None = None) -> Settings:
    """The profile's settings with what tuning found for the ticker, and over both what the form changes.

    Raises InvalidSetting, and InvalidFile when the ticker's settings file is damaged.
    """
    filled = form.model_dump(exclude_none=True) if isinstance(form, BaseModel) else dict(form or {})
    dotted = {f"{section}.{name}": value for section, part in filled.items() for name, value in part.items()}
    tuned = tuned_settings(home(), ticker, profile) if ticker else {}
    return settings_for(profile, {**tuned, "mode": mode, **dotted})
