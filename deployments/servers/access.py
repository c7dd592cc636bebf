"""Access to the two pages: the address they listen on, the host names they accept, and the password.

Any web page open in a browser can send requests to 127.0.0.1, and can rebind a name of its own to it. A guard in front
of both servers therefore accepts only their own host names, and no request from a page of another origin. An IP address
cannot be rebound: servers that other machines reach, which takes a password, answer to any.
"""

import base64
import errno
import hmac
import re
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from traceback import walk_tb
from typing import Any, Self
from urllib.parse import urlsplit

import psutil
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deployments.errors import PasswordNeeded, PortTaken
from stockml.errors import InvalidSetting
from stockml.home import LOOPBACK
from stockml.redaction import excerpt

ADDRESS = "STOCKML_ADDRESS"
HOSTS = "STOCKML_ALLOWED_HOSTS"
PASSWORD = "PREFECT_SERVER_API_AUTH_STRING"
SET_PASSWORD = f"set {PASSWORD} as `stockml up` has it, or PREFECT_API_AUTH_STRING for another's server"
HEADERS = {
    "x-frame-options": "SAMEORIGIN",  # no framing by pages of other origins (clickjacking)
    "x-content-type-options": "nosniff",
    # our pages send nothing to other servers, and run no scripts of theirs
    "content-security-policy": "connect-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",
}
PROXY = "whether a program between refuses or changes what is asked"
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}
_DESCRIPTION = re.compile(r"(/api)?/(docs|redoc|openapi\.json)(/.*)?")  # FastAPI's, with scripts from elsewhere
_HOST = re.compile(r"([a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")


def fault_of_server(error: BaseException) -> str | None:
    """What to do about a server that refused, failed within, or gave no answer that can be read; else None."""
    from httpx import TransportError

    response: Any = getattr(error, "response", None)
    code = getattr(response, "status_code", 0)
    source = vars(error).get("_request") or _unparsed_response(error)
    url = urlsplit(str(getattr(source, "url", "")))
    where = url.netloc.rpartition("@")[2]
    to = f"to {getattr(getattr(source, 'request', source), 'method', '')} {url.path}"
    if code >= 500:
        return f"the server at {where} failed within; `stockml doctor` looks at its database, and for a full disk"
    if code == 401:
        return f"expected the password of the server at {where}, found none or a wrong one; {SET_PASSWORD}"
    if code == 429 or isinstance(error, TransportError):
        found = "that it is asked too often" if code else f"none ({error})"
        return f"expected an answer of the server at {where}, found {found}; run the same command again once it is up"
    if source is not None:
        found = f"status {code} {to} ({excerpt(response.text)})" if code else f"one {to} that is not as Prefect's"
        return f"expected an answer of the server at {where}, found {found}; run the same command again, or see {PROXY}"
    return fault_of_server(error.__cause__) if error.__cause__ else None


def _unparsed_response(error: BaseException) -> Any:
    """The answer that a Prefect client failed to parse; None for any other error."""
    from httpx import RequestError, Response

    may_be_parsing, clients = isinstance(error, ValueError | TypeError | KeyError | RequestError), ("httpx", "prefect")
    frames = [
        each for each, _ in walk_tb(error.__traceback__) if str(each.f_globals.get("__name__")).startswith(clients)
    ]
    values = [each for frame in frames for each in frame.f_locals.values() if may_be_parsing]
    return next((each for each in reversed(values) if isinstance(each, Response)), None)


@dataclass(frozen=True)
class Access:
    """The address both servers listen on, their further names (`name` or `name:port`), and `user:password`, if any."""

    address: str = "127.0.0.1"
    named: tuple[str, ...] = ()
    password: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Self:
        """Read the environment. Raises InvalidSetting, and PasswordNeeded for open pages that others can reach."""
        address = environ.get(ADDRESS) or "127.0.0.1"
        address = "127.0.0.1" if address == "localhost" else address
        if not _is_ip(address):
            raise InvalidSetting(ADDRESS, address, "an IP address of this machine, such as 127.0.0.1")
        password = environ.get(PASSWORD) or None
        if password and not (all(password.partition(":")) and password.isascii() and password.isprintable()):
            raise InvalidSetting(PASSWORD, "…", "user:password, of letters, digits and signs in ASCII")
        access = cls(address, tuple(_names(environ.get(HOSTS, ""))), password)
        if access.is_open and not password:
            raise PasswordNeeded(address)
        return access

    @property
    def is_open(self) -> bool:
        """Whether other machines can reach the address."""
        return not ip_address(self.address).is_loopback

    @property
    def reached(self) -> str:
        """The address as used in URLs by programs on this machine."""
        return _in_url(_EVERYWHERE.get(self.address, self.address))

    def as_client(self) -> dict[str, str]:
        """The environment variables that give the worker and its runs access."""
        if not self.password:
            return {}
        user, _, password = self.password.partition(":")
        return {
            "PREFECT_API_AUTH_STRING": self.password,
            "MLFLOW_TRACKING_USERNAME": user,
            "MLFLOW_TRACKING_PASSWORD": password,
        }

    def elsewhere(self) -> list[str]:
        """How other machines reach an address that stands for all of this machine's: by its name or addresses."""
        if self.address not in _EVERYWHERE:
            return []
        family = socket.AF_INET6 if ":" in self.address else socket.AF_INET
        addresses = (each.address for card in psutil.net_if_addrs().values() for each in card if each.family == family)
        outside = (each for each in addresses if "%" not in each and not ip_address(each).is_loopback)
        return [socket.gethostname(), *map(_in_url, outside)]

    def url(self, port: int) -> str:
        return f"http://{self.reached}:{port}"

    def is_own_name(self, host: str) -> bool:
        """Whether a Host header names this server, with any port, since a tunnel or a container may map it."""
        if not _HOST.fullmatch(requested := host.lower()):
            return False
        name = _without_port(requested)
        is_machine = self.is_open and (name == socket.gethostname().lower() or _is_ip(name.strip("[]")))
        return is_machine or name in (*map(_in_url, LOOPBACK), self.reached, *map(_without_port, self.named))

    def is_own_page(self, origin: str, host: str) -> bool:
        """Whether an Origin header names the requested host, or one of the further names, which a proxy may replace."""
        try:
            parts = urlsplit(origin.lower())
        except ValueError:
            return False
        return parts.scheme in ("http", "https") and parts.netloc in (host.lower(), *self.named)


def check_port(name: str, port: int, option: str, address: str = "127.0.0.1") -> None:
    """Raise PortTaken or InvalidSetting unless a server can listen on address:port."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
        # as servers do: a port with connections in TIME_WAIT only counts as free
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise PortTaken(name, port, option) from error
            if error.errno == errno.EADDRNOTAVAIL:
                raise InvalidSetting(ADDRESS, address, "an IP address of this machine, such as 127.0.0.1") from error
            raise InvalidSetting(option, port, f"a port that can be listened on ({error.strerror})") from error


class Guard:
    """ASGI middleware that enforces `access`.

    Refuses a Host header that is not one of this server's names (403; guards against DNS rebinding), and every request
    and web socket from a page of another origin (403; a preflight 400). Programs send no Origin and pass. The pages
    that describe an API are not served (404).
    password_but_for: require `access.password`, except to GET this path, as health checks do. None: the application
    itself asks for it.
    """

    def __init__(self, application: ASGIApp, access: Access, *, password_but_for: str | None = None) -> None:
        self.application, self.access, self.open_path = application, access, password_but_for
        credentials = access.password if password_but_for else None
        self._expected = b"Basic " + base64.b64encode(credentials.encode()) if credentials else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.application(scope, receive, send)
        elif refusal := self._refusal(scope):
            status, why = refusal
            asks = {"www-authenticate": 'Basic realm="stockml", charset="UTF-8"'} if status == 401 else {}
            await PlainTextResponse(f"{why}\n", status, {"connection": "close", **HEADERS, **asks})(
                scope, receive, send
            )
        else:
            await self.application(scope, receive, _with_headers(send))

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        """The status and the reason of a refusal; None if the request may pass."""
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self.access.is_own_name(hosts[0]):
            return 403, f"this server does not go by that name; allow one more with {HOSTS} where it is started"
        origins = headers.getlist("origin")
        # a foreign page's image or script names no origin, nor does a link to ours, nor a plot on Prefect's page
        is_embedded = headers.get("sec-fetch-dest") != "document" and scope["path"] != "/get-artifact"
        is_foreign = not origins and is_embedded and headers.get("sec-fetch-site") in ("cross-site", "same-site")
        if is_foreign or not all(self.access.is_own_page(origin, hosts[0]) for origin in origins):
            return 400 if scope.get("method") == "OPTIONS" else 403, "pages of another origin may not use this server"
        if self._expected and (scope.get("method"), scope["path"]) != ("GET", self.open_path):
            credentials = "".join(headers.getlist("authorization")).encode("latin-1")
            if not hmac.compare_digest(credentials, self._expected):
                return 401, "user and password, please"
        return (404, "the API is not described here") if _DESCRIPTION.fullmatch(scope["path"]) else None


def _with_headers(send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            for name, value in HEADERS.items():
                MutableHeaders(scope=message).setdefault(name, value)
        await send(message)

    return send_with_headers


def _names(text: str) -> Iterator[str]:
    for name in filter(None, (part.strip().lower() for part in text.split(","))):
        if not _HOST.fullmatch(name):
            raise InvalidSetting(HOSTS, name, "host names, comma separated, such as stocks.example.org")
        yield name


def _without_port(host: str) -> str:
    return re.sub(r":[0-9]+$", "", host)


def _in_url(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _is_ip(text: str) -> bool:
    try:
        return bool(ip_address(text))
    except ValueError:
        return False
