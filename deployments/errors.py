"""Errors of the local servers (Prefect, MLflow, the replay feed) and of the recorded prices."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from stockml.errors import InvalidInput, StockmlError


@contextmanager
def refused_as(error: Callable[[str], Exception]) -> Iterator[None]:
    """Turn an InvalidInput raised within the block into `error`, with the same text."""
    try:
        yield
    except InvalidInput as refused:
        raise error(str(refused)) from refused


class ServerUnavailable(StockmlError):
    name: str
    address: str
    advice: str
    found: str = "no answer"
    text = "expected {name} at {address}, found {found}; {advice}"


class ServerFailed(StockmlError):
    """A server did not start, or ended by itself; `code` is None if it gave no answer in time."""

    name: str
    code: int | None
    log: str
    last_line: str

    def __str__(self) -> str:
        found = "no answer in time" if self.code is None else f"that it ended with code {self.code}"
        if not self.last_line:  # on a full disk the log stays empty
            return (
                f"expected {self.name} to run, found {found}, and {self.log} empty; `stockml "
                "doctor` looks for why"
            )
        return (
            f"expected {self.name} to run, found {found} ({self.last_line[:160]}); see {self.log}"
        )


class WrongVersion(StockmlError):
    """An installed Prefect or MLflow that this project is not made for."""

    name: str
    wanted: str
    found: str
    text = (
        "expected {name} {wanted}, found {found}; install the versions of "
        "requirements.lock (`make run` does)"
    )


class AlreadyUp(StockmlError):
    found: str
    text = (
        "expected no running `stockml up` in this home, found one {found}; use it, or stop it first"
    )


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


class NotRecorded(InvalidInput):
    """The replay feed has no prices of this ticker."""

    ticker: str
    recorded: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"expected one of the recorded tickers {', '.join(self.recorded)}, found "
            f"{self.ticker}; set ALPHAVANTAGE_API_KEY to a key of your own for any other"
        )
