"""Frozen dataclasses as JSON: equal ones give equal bytes, and what is read back is whole, or refused."""

import json
from collections.abc import Callable
from dataclasses import asdict
from functools import cache
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError, with_config

from stockml.storage.files import as_text

T = TypeVar("T")

# beside each dataclass that is a record by itself; those within it follow
record: Callable[[type[T]], type[T]] = with_config(extra="forbid", strict=True)


def read_record(kind: type[T], content: str | bytes) -> T:
    """The record that the JSON is of. Raises ValueError, which says in one line where the first fault is."""
    try:
        found: T = _reader(kind).validate_json(content)  # type: ignore[arg-type]  # a class is hashable
        return found
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(step) for step in first["loc"])
        raise ValueError(f"{where}: {first['msg']}" if where else first["msg"]) from None


def written_record(kept: Any) -> bytes:
    """The JSON of a record. Raises ValueError for a number that is not finite."""
    return json.dumps(asdict(kept), indent=1, sort_keys=True, default=as_text, allow_nan=False).encode()


@cache
def _reader(kind: type[Any]) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
