"""The run form: one optional field a setting, with the bounds and descriptions that stand in `stockml.config`."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, create_model

from stockml.config import Settings, kind_of, settings_for


class Form(BaseModel):
    """An empty field keeps the profile's own value."""

    model_config = ConfigDict(extra="forbid")


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
            found[each.name] = (kind | None, Field(None, title=title, description=described["description"]))
        else:
            bounds = {"ge": low, "le": high} if low is not None else {}
            found[each.name] = (
                kind | None,
                Field(None, title=title, description=described["description"], **bounds),
            )
    return create_model(settings.__name__, __base__=Form, __doc__=settings.__doc__, **found)


def _sections() -> dict[str, Any]:
    kinds = {each.name: kind_of(Settings, each.name) for each in fields(Settings)}
    return {
        name: (form_of(kind) | None, Field(None, title=name.capitalize(), description=kind.__doc__))
        for name, kind in kinds.items()
        if is_dataclass(kind)
    }


SettingsForm: type[Form] = create_model("SettingsForm", __base__=Form, __doc__=Form.__doc__, **_sections())


def chosen(profile: str, mode: str, form: Form | Mapping[str, Any] | None) -> Settings:
    """The profile's settings with what the form changes. Raises InvalidSetting."""
    filled = form.model_dump(exclude_none=True) if isinstance(form, BaseModel) else dict(form or {})
    dotted = {f"{section}.{name}": value for section, part in filled.items() for name, value in part.items()}
    return settings_for(profile, {"mode": mode, **dotted})
