"""Frozen dataclasses as JSON: equal ones give equal bytes; one that is incomplete or invalid is
refused."""

import json
import zlib
from collections.abc import Callable
from dataclasses import asdict
from datetime import date
from functools import cache
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError, with_config

T = TypeVar("T")
CHECK = b',\n "crc32": "'
_reader: Callable[[Any], TypeAdapter[Any]] = cache(TypeAdapter)


def record(kind: type[T]) -> type[T]:
    """Decorate a dataclass that is kept as a record of its own; dataclasses nested in it need no
    decorator."""
    return with_config(extra="forbid", strict=True)(kind)


def read_record(kind: type[T], content: str | bytes) -> T:
    """The record in this JSON. Raises ValueError, which says in one line where the first fault
    is."""
    try:
        parsed: T = _reader(kind).validate_json(content)
        return parsed
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(step) for step in first["loc"])
        raise ValueError(f"{where}: {first['msg']}" if where else first["msg"]) from None


def written_record(value: Any, *, dense: bool = False) -> bytes:
    """A record as JSON; dense: on one line. Raises ValueError for a number that is not finite."""
    layout: dict[str, Any] = {"separators": (",", ":")} if dense else {"indent": 1}
    return json.dumps(
        asdict(value), sort_keys=True, default=as_text, allow_nan=False, **layout
    ).encode()


def as_text(value: object) -> str:
    if isinstance(value, date):  # a datetime is one too
        return value.isoformat()
    raise TypeError(f"cannot keep a {type(value).__name__} in a record")


def sealed(content: bytes) -> bytes:
    """The output of `written_record` with one more field, on the last line: the CRC-32 of
    everything before it."""
    body = content.removesuffix(b"}").rstrip()
    return body + CHECK + _ending(body)


def unsealed(content: bytes) -> bytes:
    """The inverse of `sealed`; content without a seal, of an earlier version, is accepted. Raises
    ValueError."""
    body, check, ending = content.rpartition(CHECK)
    if not check:
        return content
    if ending != _ending(body):
        raise ValueError(
            "damage, or a change by hand: its checksum is not that of the lines before it"
        )
    return body + b"\n}"


def _ending(body: bytes) -> bytes:
    return f'{zlib.crc32(body):08x}"\n}}'.encode()
