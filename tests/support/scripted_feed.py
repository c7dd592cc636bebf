"""A replay feed that goes wrong as it is told: each fault answers a request in place of the real answer, in order."""

import socket
import struct
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from deployments.replay.answers import Answer
from deployments.replay.feed import Feed, Handler


@dataclass(frozen=True)
class Fault(Answer):
    """One answer that goes wrong: another content or status, a reset connection, or half of what was promised."""

    status: int = 200
    content: bytes = b""
    connection: Literal["whole", "reset", "short"] = "whole"

    @classmethod
    def of(cls, content: bytes, status: int = 200) -> Self:
        return cls(status, content)

    @classmethod
    def file(cls, path: Path, status: int = 200) -> Self:
        return cls(status, path.read_bytes())


RESET = Fault(connection="reset")
SHORT_READ = Fault(content=b'{"Meta Data": {"1. Information": "Daily Prices', connection="short")


class FaultyHandler(Handler):
    def _send(self, reply: Answer) -> None:
        if not isinstance(reply, Fault) or reply.connection == "whole":
            super()._send(reply)
        elif reply.connection == "short":
            self.send_response(reply.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(2 * len(reply.content)))
            self.end_headers()
            self.wfile.write(reply.content)
        else:
            # lingering for zero seconds makes the closing socket send RST instead of FIN
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            self.close_connection = True


class ScriptedFeed(Feed):
    """A feed with faults; arguments as for any feed."""

    handler = FaultyHandler

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._faults: deque[tuple[str | None, Fault]] = deque()
        self._outage: Fault | None = None

    def script(self, *faults: Fault, symbol: str | None = None) -> None:
        """Answer the next requests (of `symbol` only, when given) with these faults, one each."""
        with self._lock:
            self._faults.extend((symbol, fault) for fault in faults)

    def outage(self, fault: Fault | None) -> None:
        """Answer every request with this fault until it is lifted with None."""
        self._outage = fault

    def answered(self, query: Mapping[str, str]) -> Answer:
        with self._lock:
            for at, (symbol, fault) in enumerate(self._faults):
                if symbol in (None, query.get("symbol")):
                    del self._faults[at]
                    return fault
        return self._outage or super().answered(query)
