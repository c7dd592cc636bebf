"""A replay feed that records requests, serves further symbols, and fails as scripted: one fault a
request, in order."""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from threading import Lock
from typing import Any, Self

from deployments.replay import (
    LISTING_HEADER,
    Answer,
    Asked,
    Feed,
    RecordedRow,
    answer,
    publication,
    published,
)

# maps a symbol's row at a time to another row, or to None if it is missing
Edit = Callable[[str, RecordedRow, datetime], RecordedRow | None]


@dataclass(frozen=True)
class Fault(Answer):
    """A faulty answer, given in place of the real one."""

    status: int = 200
    content: bytes = b""

    @classmethod
    def of(cls, content: bytes, status: int = 200) -> Self:
        return cls(status, content)

    @classmethod
    def file(cls, path: Path, status: int = 200) -> Self:
        return cls(status, path.read_bytes())


class ScriptedFeed(Feed):
    """A feed with scripted faults; takes Feed's arguments too.

    aliases: further symbols and the recorded ones whose prices they get.  delisted: no bars from
    that day on. edit: changes or drops rows.  then: called with each request before its answer is
    sent, as Feed's `on_request`.
    """

    def __init__(
        self,
        *,
        aliases: Mapping[str, str] | None = None,
        delisted: Mapping[str, date] | None = None,
        edit: Edit = lambda symbol, row, now: row,
        on_request: Callable[[Asked], None] = lambda asked: None,
        **arguments: Any,
    ) -> None:
        super().__init__(on_request=self._record, **arguments)
        self.aliases, self.delisted, self.edit = aliases or {}, delisted or {}, edit
        self.then, self._asked, self._lock = on_request, list[Asked](), Lock()
        self._faults: deque[tuple[str | None, Fault]] = deque()
        self._outage: Fault | None = None

    @property
    def url(self) -> str:
        return f"{self.address}/query"

    def script(self, *faults: Fault, symbol: str | None = None) -> None:
        """Answer the next requests (of `symbol` only, when given) with these faults, one each."""
        with self._lock:
            self._faults.extend((symbol, fault) for fault in faults)

    def outage(self, fault: Fault | None) -> None:
        """Answer every request with this fault, until called with None."""
        self._outage = fault

    def answered(self, query: Mapping[str, str]) -> Answer:
        with self._lock:
            for at, (symbol, fault) in enumerate(self._faults):
                if symbol in (None, query.get("symbol")):
                    del self._faults[at]
                    return fault
        return self._outage or self._played(query)

    def _played(self, query: Mapping[str, str]) -> Answer:
        symbol, now = query.get("symbol", ""), self.now
        recorded = self.aliases.get(symbol, symbol)
        gone = {name: day for name, day in self.delisted.items() if publication(day) <= now}
        if query.get("function") == "LISTING_STATUS":
            rows = [
                f"{name},{name} Inc,NYSE,Stock,1990-01-02,{day},Delisted\r\n"
                for name, day in gone.items()
            ]
            return Answer(200, LISTING_HEADER + "".join(rows).encode())
        if symbol in gone:
            now = publication(gone[symbol]) - timedelta(seconds=1)

        def rows_of(_: str, moment: datetime) -> list[RecordedRow]:
            edited = (self.edit(symbol, row, moment) for row in published(recorded, moment))
            return [row for row in edited if row]

        played = answer({**query, "symbol": recorded}, now, rows=rows_of)
        return Answer(
            played.status, played.content.replace(f'"{recorded}"'.encode(), f'"{symbol}"'.encode())
        )

    @property
    def asked(self) -> tuple[Asked, ...]:
        """Every request so far, oldest first."""
        return tuple(self._asked)

    @property
    def requests(self) -> int:
        return len(self._asked)

    def _record(self, asked: Asked) -> None:
        with self._lock:
            self._asked.append(asked)
        self.then(asked)
