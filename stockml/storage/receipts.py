"""Frozen dataclasses as JSON; and those that tasks hand each other: a ticker, a path, and the
SHA-256 of the content there.

Equal ones give equal bytes; one that is incomplete or invalid is refused.
"""

import json
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import date, datetime
from functools import cache
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError, with_config

from stockml.errors import quantity
from stockml.storage.files import sha256_of

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


@dataclass(frozen=True)
class Receipt:
    """Proof that a step was done. `sha256` identifies the content, and goes into the next step's
    cache key."""

    ticker: str
    path: str
    sha256: str

    def is_reusable(self) -> bool:
        """Whether the step need not be done again: the content is still there, unchanged."""
        return sha256_of(self.path) == self.sha256

    def identity(self) -> tuple[str, ...]:
        """The values of this receipt that the steps after it depend on."""
        return (self.ticker, self.sha256)


@dataclass(frozen=True)
class SessionReceipt(Receipt):
    """What was done for a session. One answer, or one file of bars, may serve several."""

    session: date

    def identity(self) -> tuple[str, ...]:
        return (*super().identity(), str(self.session))


@dataclass(frozen=True)
class PayloadReceipt(SessionReceipt):
    """An archived answer of the provider (gzipped), fetched for `session`; `newest` is the newest
    session in it.

    rows_before: how many rows the ticker's file had when the answer came, whatever the clock
    showed.
    """

    newest: date
    received_at: datetime
    rows_before: int

    def is_reusable(self) -> bool:
        """False also for a payload that lacks its session's bar, so that it is fetched again."""
        return self.newest >= self.session and super().is_reusable()


@dataclass(frozen=True)
class StoreReceipt(SessionReceipt):
    """The ticker's Parquet file after an append; how many bars were new, changed, or the same.

    left_out: the answer's days that are yet to come.
    """

    added: int
    restated: int
    unchanged: int
    left_out: tuple[date, ...] = ()

    @property
    def counted(self) -> str:
        return (
            f"{quantity(self.added, 'bar')} added, {self.restated:,} restated, {self.unchanged:,} "
            "as before"
        )


@dataclass(frozen=True)
class DatasetReceipt(SessionReceipt):
    """The adjusted series up to `session`, as the model sees it. `sha256` is the night's data hash.

    adjustment: changes when a split or a join changes the past.  notes: sentences about the data.
    pretrained: hash of what was learned across tickers, here or as shipped.  calendar: None for the
    one of the ticker's suffix.
    """

    sessions: int
    adjustment: str = ""
    notes: tuple[str, ...] = ()
    pretrained: str = ""
    calendar: str | None = None

    def identity(self) -> tuple[str, ...]:
        return (*super().identity(), self.pretrained)


@dataclass(frozen=True)
class DecisionReceipt(Receipt):
    """What tonight's training does and why; the file also names the champion at the time of the
    decision."""

    mode: str
    reason: str


@dataclass(frozen=True)
class ModelReceipt(SessionReceipt):
    """A model's folder. `sha256` covers weights, settings and history, not the time that training
    took."""

    mode: str
    reason: str


@dataclass(frozen=True)
class EvaluationReceipt(SessionReceipt):
    """The folder of tonight's evaluation: metrics, bands, the published path and the gate's
    verdict."""


@dataclass(frozen=True)
class RunReceipt(Receipt):
    """The MLflow run of a night; `path` is the night's local record, which waits while MLflow
    cannot be reached."""

    key: str
    run_id: str | None
    model_version: str | None

    def is_reusable(self) -> bool:
        """False also while MLflow does not have the night, so that it is logged again."""
        return self.run_id is not None and super().is_reusable()

    def identity(self) -> tuple[str, ...]:
        return (self.ticker, self.key, self.run_id or "", self.model_version or "")


@dataclass(frozen=True)
class PromotionReceipt(Receipt):
    """The ticker's append-only promotion history after tonight's verdict."""

    promoted: bool
    reason: str
