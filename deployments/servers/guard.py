"""Stands before a server's application and turns away what neither its own pages nor programs send."""

import base64
import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from deployments.servers.access import HOSTS, Access

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]


class Guard:
    """An ASGI application around another.

    Refused are a Host header that is none of this server's names (403: a name may be rebound to this machine), and
    every request and web socket of a page of another origin (403; its preflight 400). Programs send no Origin and pass.
    asks_password: whether the application leaves asking for `access.password` to this; `open_path` is answered
    without, so that a server can be waited for.
    """

    def __init__(
        self, application: Application, access: Access, *, asks_password: bool = False, open_path: str = ""
    ) -> None:
        self.application, self.access, self.open_path = application, access, open_path
        given = access.password if asks_password else None
        self._expected = b"Basic " + base64.b64encode(given.encode()) if given else None

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.application(scope, receive, send)
        elif refusal := self._refusal(scope):
            await (_refuse if scope["type"] == "http" else _close)(send, *refusal)
        else:
            await self.application(scope, receive, _unframed(send))

    def _refusal(self, scope: Message) -> tuple[int, str] | None:
        """The status and what to do about it; None when the request may pass."""
        headers = scope["headers"]
        hosts, origins = _all(headers, b"host"), _all(headers, b"origin")
        if len(hosts) != 1 or not self.access.is_own_name(hosts[0]):
            return 403, f"this server does not go by that name; one more is allowed with {HOSTS}"
        if not all(self.access.is_own_page(origin, hosts[0]) for origin in origins):
            preflight = scope.get("method") == "OPTIONS"
            return 400 if preflight else 403, "pages of another origin may not use this server"
        if self._expected and scope["path"] != self.open_path:
            given = "".join(_all(headers, b"authorization")).encode("latin-1")
            if not hmac.compare_digest(given, self._expected):
                return 401, "user and password, please"
        return None


def _all(headers: list[tuple[bytes, bytes]], name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in headers if key.lower() == name]


async def _refuse(send: Send, status: int, why: str) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
    if status == 401:
        headers.append((b"www-authenticate", b'Basic realm="stockml", charset="UTF-8"'))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": f"{why}\n".encode()})


async def _close(send: Send, status: int, why: str) -> None:
    """Before a web socket is accepted: the server answers 403."""
    await send({"type": "websocket.close", "code": 1008, "reason": f"{status}: {why}"})


def _unframed(send: Send) -> Send:
    """No page of another origin may show this one in a frame and have it clicked unknowingly."""

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = list(message.get("headers", ()))
            if not any(key.lower() == b"x-frame-options" for key, _ in headers):
                headers.append((b"x-frame-options", b"SAMEORIGIN"))
            message = {**message, "headers": headers}
        await send(message)

    return sent
