"""Access to the two pages: the address they listen on, the host names they accept, and the
password.

Any web page open in a browser can send requests to 127.0.0.1, and can rebind a name of its own to
it. The servers' own settings refuse other origins and, on this machine's own address, other names.
An address that others can reach takes a password, which a foreign page does not have.
"""

import errno
import re
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import AddressValueError, IPv4Address
from typing import Self

import psutil

from stockml.errors import InvalidSetting, StockmlError
from stockml.redaction import excerpt

ADDRESS = "STOCKML_ADDRESS"
HOSTS = "STOCKML_ALLOWED_HOSTS"
PASSWORD = "PREFECT_SERVER_API_AUTH_STRING"
SET_PASSWORD = (
    f"set {PASSWORD} as `stockml up` has it, or PREFECT_API_AUTH_STRING for another's server"
)
MIN_PASSWORD = 12  # letters: MLflow's own bound
EVERYWHERE, LOCAL = "0.0.0.0", ("127.0.0.1", "localhost")
_HOST = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?(:[0-9]{1,5})?")


class PasswordNeeded(StockmlError):
    """The pages would listen on an address that others can reach, without a password."""

    address: str
    text = (
        "expected a password for pages that listen on {address}, found none; "
        "set PREFECT_SERVER_API_AUTH_STRING=user:password, or leave STOCKML_ADDRESS at 127.0.0.1"
    )


class PortTaken(StockmlError):
    name: str
    port: int
    option: str
    text = (
        "expected port {port} to be free for {name}, found another program on it; "
        "stop that program, or choose a port with {option}"
    )


def fault_of_server(error: BaseException | None) -> str | None:
    """What to do about a server that refused, or gave no answer, as httpx reports it; else None."""
    from httpx import HTTPStatusError, TransportError

    if isinstance(error, TransportError):
        found = f"expected an answer of a server, found none ({error})"
        return f"{found}; run the same command again once it is up"
    if not isinstance(error, HTTPStatusError):
        return fault_of_server(error.__cause__) if error else None
    url, code = error.request.url, error.response.status_code
    where = f"the server at {url.host}:{url.port}"
    if code >= 500:
        return f"{where} failed within; `stockml doctor` looks at its database, and for a full disk"
    if code == 401:
        return f"expected the password of {where}, found none or a wrong one; {SET_PASSWORD}"
    found = f"status {code} to {error.request.method} {url.path} ({excerpt(error.response.text)})"
    return f"expected an answer of {where}, found {found}; run the same command again"


@dataclass(frozen=True)
class Access:
    """The address both servers listen on, their further names, and `user:password`, if any."""

    address: str = "127.0.0.1"
    named: tuple[str, ...] = ()
    password: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Self:
        """Read the environment. Raises InvalidSetting, and PasswordNeeded for an open address."""
        address = environ.get(ADDRESS) or "127.0.0.1"
        address = "127.0.0.1" if address == "localhost" else address
        try:
            IPv4Address(address)
        except AddressValueError:
            wanted = "an IPv4 address of this machine, such as 127.0.0.1 or 0.0.0.0"
            raise InvalidSetting(ADDRESS, address, wanted) from None
        access = cls(address, tuple(_names(environ.get(HOSTS, ""))), environ.get(PASSWORD) or None)
        if access.password and not _is_login(access.password):
            bound = f"user:password in ASCII, the password of {MIN_PASSWORD} characters or more"
            raise InvalidSetting(PASSWORD, "…", bound)
        if access.is_open and not access.password:
            raise PasswordNeeded(address)
        return access

    @property
    def is_open(self) -> bool:
        """Whether other machines can reach the address."""
        return not IPv4Address(self.address).is_loopback

    @property
    def hosts(self) -> tuple[str, ...]:
        """The host names that the servers answer to; a password guards an open address instead."""
        named = (name.partition(":")[0] for name in self.named)
        return ("*",) if self.is_open else (*LOCAL, self.address, *named)

    def origins(self, port: int) -> list[str]:
        """The origins of the pages that may use a server on this port."""
        hosts = dict.fromkeys((*LOCAL, self.reached, *self.elsewhere()))
        own = [f"http://{host}:{port}" for host in hosts]
        return own + [f"{scheme}://{name}" for name in self.named for scheme in ("http", "https")]

    def elsewhere(self) -> list[str]:
        """How other machines reach an address that stands for all of this machine's."""
        if self.address != EVERYWHERE:
            return []
        cards = psutil.net_if_addrs().values()
        own = [each.address for card in cards for each in card if each.family == socket.AF_INET]
        return [socket.gethostname(), *(each for each in own if not IPv4Address(each).is_loopback)]

    @property
    def reached(self) -> str:
        """The address as programs on this machine use it."""
        return "127.0.0.1" if self.address == EVERYWHERE else self.address

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

    def url(self, port: int) -> str:
        return f"http://{self.reached}:{port}"


def check_port(name: str, port: int, option: str, address: str = "127.0.0.1") -> None:
    """Raise PortTaken or InvalidSetting unless a server can listen on address:port."""
    with socket.socket() as probe:
        # as servers do: a port with connections in TIME_WAIT only counts as free
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise PortTaken(name, port, option) from error
            if error.errno == errno.EADDRNOTAVAIL:
                wanted = "an IPv4 address of this machine, such as 127.0.0.1"
                raise InvalidSetting(ADDRESS, address, wanted) from error
            wanted = f"a port that can be listened on ({error.strerror})"
            raise InvalidSetting(option, port, wanted) from error


def _is_login(text: str) -> bool:
    user, _, password = text.partition(":")
    return bool(user) and len(password) >= MIN_PASSWORD and text.isascii() and text.isprintable()


def _names(text: str) -> Iterator[str]:
    for name in filter(None, (part.strip().lower() for part in text.split(","))):
        if not _HOST.fullmatch(name):
            wanted = "host names, comma separated, such as stocks.example.org"
            raise InvalidSetting(HOSTS, name, wanted)
        yield name
