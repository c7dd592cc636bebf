"""One key's access to a price service over HTTP: asks, waits, counts. The only module that imports
requests.

The key is in the request's parameters or headers and nowhere else: errors are raised without those
of requests, which carry the URL; answers are redacted on arrival, and each is kept once, named by
the hash of its content; and urllib3's log records pass a filter.
"""

import gzip
import hashlib
import ipaddress
import random
import threading
import time
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import ClassVar, Literal, Self, TypeAlias
from urllib.parse import urlsplit

import requests
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError, ProxyError

from stockml.errors import (
    BadKey,
    InvalidSetting,
    NoData,
    QuotaSpent,
    StoreError,
    TransientFeedError,
    UnknownSymbol,
    Unreachable,
)
from stockml.home import checked_address
from stockml.prices.bars import Bars, Split
from stockml.provider.quota import Plan, QuotaLedger
from stockml.redaction import ApiKey, keep_keys_out_of_logs, redacted_bytes
from stockml.storage.files import write_atomically
from stockml.storage.locks import FileNotes
from stockml.tickers import validated_ticker

MAX_BYTES = 8 * 2**20  # a full history of 27 years takes 1.5 MB (2.5 MB adjusted)
WAY_BACK = "delete it and fetch the ticker again"


@dataclass(frozen=True)
class Payload:
    """An answer with the wanted data, as received, the key redacted."""

    ticker: str
    content: bytes = field(repr=False)
    received_at: datetime


def archive(payload: Payload, folder: Path) -> Path:
    """Keep the content, gzipped without a time stamp, unless its file is there intact. Returns the
    file's path."""
    path = (
        folder
        / validated_ticker(payload.ticker)
        / f"{hashlib.sha256(payload.content).hexdigest()}.json.gz"
    )
    try:
        read_archived(path)
    except StoreError:
        write_atomically(path, gzip.compress(payload.content, mtime=0))
    return path


def read_archived(path: str | Path) -> bytes:
    """The content of a kept payload, checked against its name. Raises StoreError."""
    try:
        with gzip.open(path, "rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise StoreError(
            str(path), f"expected a gzipped payload, found {type(error).__name__}; {WAY_BACK}"
        ) from error
    if hashlib.sha256(content).hexdigest() != Path(path).name.partition(".")[0]:
        raise StoreError(
            str(path), f"expected the content that its name stands for, found another; {WAY_BACK}"
        )
    return content


OutputSize = Literal["compact", "full"]
Request: TypeAlias = requests.Request


class PriceProvider(ABC):
    """One key's access to a price service: a context manager. It holds the key, and so cannot be
    pickled.

    `daily` and `splits` return raw answers, to be archived; `daily_of` and `splits_of` parse them.
    A request raises BadKey, QuotaSpent, PremiumOnly, NotOffered, UnknownSymbol, BadPayload, or,
    once retries end, NoData or RateLimited; parsing raises BadPayload or NoData. Each attempt is
    counted in the quota before it is sent, and waits for its slot.
    """

    name: ClassVar[str]  # recorded as the source of bars
    usual_address: ClassVar[str]
    variable: ClassVar[str]  # environment variable that names another address
    key_variable: ClassVar[str]
    plan: ClassVar[Plan | None] = None  # of every key; None: as in ALPHAVANTAGE_PLAN
    counted_in: ClassVar[str] = ""  # prefix of this service's notes in the quota
    bad_key: ClassVar[type[BadKey]] = BadKey

    connect_timeout_s, read_timeout_s = 10.0, 30.0
    total_s = 120.0  # bounds an answer that trickles in, which no read time-out ends
    max_bytes, attempts = MAX_BYTES, 3
    # 0 to 1; half of it is added, in seconds, to a retry's wait
    jitter = staticmethod(random.random)

    def __init__(
        self,
        environ: Mapping[str, str],
        quota: FileNotes,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        sleep: Callable[[float], None] = time.sleep,
        key: str | None = None,
    ) -> None:
        """key: None for that of `key_variable`; the address is that of `variable`.  quota: where
        requests count."""
        key = key or environ.get(self.key_variable)
        self._key, self._address = ApiKey((key or "").strip()), self.address_in(environ)
        self._quota = QuotaLedger.of(
            quota, key, self.plan or Plan.of(environ), within=self.counted_in
        )
        self._clock, self._sleep, self._http = clock, sleep, requests.Session()
        # else a login in ~/.netrc would replace the key, or be sent too
        self._http.auth = lambda request: request
        if _is_loopback(self._address):
            self._http.trust_env = False  # a proxy cannot reach this machine's own loopback
        keep_keys_out_of_logs()

    @classmethod
    def address_in(cls, environ: Mapping[str, str]) -> str:
        """The address in `variable`, or the usual one; http shows the key: to loopback only. Raises
        InvalidSetting."""
        base_url = environ.get(cls.variable) or cls.usual_address
        address = urlsplit(checked_address(cls.variable, base_url))
        if (
            address.username
            or address.password
            or address.query
            or address.fragment
            or not address.hostname
        ):
            bound = "an address that begins with https://, without a key or a query in it"
            raise InvalidSetting(cls.variable, f"{address.scheme}://...", bound)
        if address.scheme != "https" and not (address.scheme == "http" and _is_loopback(base_url)):
            bound = (
                "an https address; plain http would show the key, and is allowed to this machine "
                "(127.0.0.1) only"
            )
            raise InvalidSetting(cls.variable, f"{address.scheme}://{address.hostname}", bound)
        return base_url.rstrip("/")

    @abstractmethod
    def daily(self, ticker: str, outputsize: OutputSize = "compact") -> Payload:
        """The answer with daily bars, raw as traded: about the newest 100 sessions (`compact`), or
        all (`full`)."""

    @abstractmethod
    def splits(self, ticker: str) -> Payload:
        """The answer with all splits; one request."""

    @abstractmethod
    def daily_of(self, payload: Payload, *, last_final: date) -> Bars:
        """The bars in an answer to `daily`, up to `last_final`. Raises NoData if there are none."""

    @abstractmethod
    def splits_of(self, payload: Payload) -> tuple[Split, ...]:
        """The splits in an answer to `splits`, oldest first."""

    @abstractmethod
    def _request(self, ticker: str, parameters: Mapping[str, str]) -> Request:
        """The GET request with these parameters, and with the key as another one or in its
        headers."""

    @abstractmethod
    def _check(
        self, content: bytes, status: int, ticker: str, parameters: Mapping[str, str]
    ) -> None:
        """Raise FeedError unless this is the answer requested."""

    def remaining(self) -> int | None:
        """Requests that the key has left today; None for a plan without a daily cap (premium)."""
        return self._quota.remaining(self._clock())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def _ask(self, ticker: str, **parameters: str) -> Payload:
        ticker = validated_ticker(ticker)
        if self._key.fault:
            raise self.bad_key(ticker, self._key.fault)
        # then the step retries transient errors, a minute later
        is_scarce = self._quota.plan.is_scarce
        retrying = Retrying(
            # "Invalid API call" is also, as a transient fault, the answer for valid symbols.
            retry=retry_if_exception_type(
                UnknownSymbol if is_scarce else (TransientFeedError, UnknownSymbol)
            ),
            stop=stop_after_attempt(2 if is_scarce else self.attempts),
            wait=self._wait_s,
            sleep=self._sleep,
            reraise=True,
        )
        return retrying(self._ask_once, ticker, parameters, self._request(ticker, parameters))

    def _wait_s(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        return float(getattr(error, "wait_s", TransientFeedError.wait_s)) + 0.5 * self.jitter()

    def _ask_once(self, ticker: str, parameters: Mapping[str, str], request: Request) -> Payload:
        now = self._clock()
        # Wait for a duration, not until the clock shows the slot: if it is set back meanwhile, that
        # could take hours.
        self._sleep((self._quota.spend(ticker, now) - now).total_seconds())
        status, content = self._get(ticker, request)
        try:
            self._check(content, status, ticker, parameters)
        except QuotaSpent as refusal:
            if refusal.period != "hour":
                # on the day that the request was counted on
                self._quota.mark_spent(refusal.notice, now)
            raise
        return Payload(ticker, content, self._clock())

    def _get(self, ticker: str, request: Request) -> tuple[int, bytes]:
        """Status and redacted body. A thread, so that `total_s` bounds look-up, handshake, headers.
        Raises NoData."""
        answers: list[tuple[int, bytes, NoData | None]] = []
        thread = threading.Thread(
            target=lambda: answers.append(self._exchange(ticker, request)), daemon=True
        )
        thread.start()
        thread.join(self.total_s)
        late = NoData(ticker, f"no answer after {self.total_s:.0f} s")
        status, content, fault = answers[0] if answers else (0, b"", late)
        if fault:
            raise fault
        return status, redacted_bytes(content, self._key.get_secret_value())

    def _exchange(self, ticker: str, request: Request) -> tuple[int, bytes, NoData | None]:
        """Status, body, and a fault: errors of requests show the URL, so none is raised from
        here."""
        timeouts = (self.connect_timeout_s, self.read_timeout_s)
        try:
            with self._http.get(
                request.url,
                params=request.params,
                headers=request.headers,
                timeout=timeouts,
                stream=True,
                allow_redirects=False,  # another address must not get the key
            ) as response:
                body, fault = self._body(response)
                return response.status_code, body, NoData(ticker, fault) if fault else None
        except Exception as error:  # noqa: BLE001 - a thread's report would show the key
            host = str(urlsplit(self._address).hostname)
            if isinstance(_cause(error), NewConnectionError | ConnectTimeoutError | ProxyError):
                return 0, b"", Unreachable(ticker, host)
            return 0, b"", NoData(ticker, f"no complete answer from {host}")

    def _body(self, response: requests.Response) -> tuple[bytes, str]:
        """The body, and a fault in words if it is too long."""
        body = bytearray()
        while chunk := response.raw.read1(65_536, decode_content=True):
            body += chunk
            if len(body) > self.max_bytes:
                return b"", f"more than {self.max_bytes} bytes"
        return bytes(body), ""


def _cause(error: BaseException) -> BaseException | None:
    """What an error of requests was raised for."""
    return next((getattr(a, "reason", a) for a in error.args if isinstance(a, BaseException)), None)


def _is_loopback(base_url: str) -> bool:
    host = urlsplit(base_url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
