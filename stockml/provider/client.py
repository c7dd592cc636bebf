"""The Alpha Vantage client: asks, waits, recognises refusals. The only module that imports requests.

The key lives in the request's parameters and nowhere else: an error is raised outside the `except` of requests' own,
which carries the URL, answers are redacted on arrival, and urllib3's log lines pass a filter.
"""

import ipaddress
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, NoReturn, get_args
from urllib.parse import urlsplit

import requests
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt

from stockml.errors import BadKey, InvalidSetting, NoData, QuotaSpent, TransientFeedError, UnknownSymbol
from stockml.provider.listing import LISTING, is_listing
from stockml.provider.parsing import DAILY, MAX_BYTES, SPLITS, check_success, decoded
from stockml.provider.payload_archive import Payload
from stockml.provider.quota import Plan, QuotaLedger
from stockml.redaction import ApiKey, keep_keys_out_of_logs, redacted_bytes
from stockml.settings import check_choice
from stockml.tickers import validated_ticker

BASE_URL = "https://www.alphavantage.co"
OutputSize = Literal["compact", "full"]


@dataclass(frozen=True)
class Limits:
    """What one request may take. `total_s` bounds what trickles in, which no read time-out ends."""

    connect_timeout_s: float = 10.0
    read_timeout_s: float = 30.0
    total_s: float = 120.0
    max_bytes: int = MAX_BYTES
    attempts: int = 3


class AlphaVantage:
    """One key's access. Use as a context manager, or `close()` it; it cannot be pickled, since it holds the key.

    clock returns timezone-aware moments; half of what jitter returns (0 to 1) is added, in seconds, to a retry's wait.
    Each attempt is counted in `quota` before it is sent, and waits for its slot there.
    """

    def __init__(
        self,
        key: str | None,
        *,
        quota: QuotaLedger,
        clock: Callable[[], datetime],
        sleep: Callable[[float], None],
        base_url: str = BASE_URL,
        http: requests.Session | None = None,
        limits: Limits | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._key = ApiKey(key)
        self._address = _checked_address(base_url)
        self._quota, self._clock, self._sleep, self._jitter = quota, clock, sleep, jitter
        self._limits = limits or Limits()
        self._http = http or requests.Session()
        if _is_loopback(base_url):
            self._http.trust_env = False  # a proxy cannot reach this machine's own loopback
        keep_keys_out_of_logs()

    @classmethod
    def from_environment(
        cls,
        environ: Mapping[str, str],
        quota_folder: Path,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        sleep: Callable[[float], None] = time.sleep,
        key: str | None = None,
    ) -> "AlphaVantage":
        """ALPHAVANTAGE_API_KEY (unless `key` is given), ALPHAVANTAGE_PLAN (`free`, `75/min`), ALPHAVANTAGE_URL."""
        key = key or environ.get("ALPHAVANTAGE_API_KEY")
        quota = QuotaLedger.of(quota_folder, key, Plan.parse(environ.get("ALPHAVANTAGE_PLAN") or "free"))
        base_url = environ.get("ALPHAVANTAGE_URL") or BASE_URL
        return cls(key, quota=quota, clock=clock, sleep=sleep, base_url=base_url)

    def daily(self, ticker: str, outputsize: OutputSize = "compact") -> Payload:
        """The daily bars, raw as traded: the newest 100 sessions, or with a premium key (`full`) all since 1999-11-01.

        Raises BadKey, QuotaSpent, PremiumOnly, UnknownSymbol, BadPayload, and NoData or RateLimited once retries end.
        """
        # A misspelled size would silently be answered as compact.
        check_choice("outputsize", outputsize, get_args(OutputSize))
        return self._ask(ticker, DAILY, {"outputsize": outputsize})

    def splits(self, ticker: str) -> Payload:
        """All splits; one request. Raises as `daily`."""
        return self._ask(ticker, SPLITS, {})

    def delisted(self, ticker: str) -> Payload:
        """All symbols that are no longer listed, asked on behalf of `ticker`; one request. Raises as `daily`."""
        return self._ask(ticker, LISTING, {"state": "delisted"})

    def remaining(self) -> int | None:
        """Requests that the key has left today; None means no cap, which is what a premium plan has."""
        return self._quota.remaining(self._clock())

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> "AlphaVantage":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getstate__(self) -> NoReturn:
        raise TypeError("an AlphaVantage client holds the API key and is not pickled; make one where it is used")

    def _ask(self, ticker: str, function: str, parameters: dict[str, str]) -> Payload:
        ticker = validated_ticker(ticker)
        if self._key.fault:
            raise BadKey(ticker, self._key.fault)
        retrying = Retrying(
            # "Invalid API call" is also said of valid symbols, as a passing fault.
            retry=retry_if_exception_type((TransientFeedError, UnknownSymbol)),
            stop=stop_after_attempt(self._limits.attempts),
            wait=self._wait_s,
            sleep=self._sleep,
            reraise=True,
        )
        return retrying(self._ask_once, ticker, function, parameters)

    def _wait_s(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        return float(getattr(error, "wait_s", TransientFeedError.wait_s)) + 0.5 * self._jitter()

    def _ask_once(self, ticker: str, function: str, parameters: dict[str, str]) -> Payload:
        now = self._clock()
        # Not until the clock shows the slot: a clock that is set back meanwhile would make that a wait of hours.
        self._sleep((self._quota.spend(ticker, now) - now).total_seconds())
        status, content = self._get(ticker, {"function": function, "symbol": ticker, **parameters})
        try:
            if not (function == LISTING and is_listing(content)):
                check_success(decoded(content, ticker), content, ticker, function)
        except QuotaSpent as spent:
            self._quota.mark_spent(spent.notice, self._clock())
            raise
        except NoData as nothing:
            if status != requests.codes.ok:
                raise NoData(ticker, f"HTTP {status}: {nothing.notice}") from None
            raise
        if status != requests.codes.ok:
            raise NoData(ticker, f"a series, but under HTTP {status}")
        return Payload(ticker, function, content, self._clock())

    def _get(self, ticker: str, parameters: dict[str, str]) -> tuple[int, bytes]:
        """Status and body, the key taken out of it. Raises NoData, without a trace of requests' own error.

        Asked in a thread: whatever trickles in, a name, a handshake or a header, `total_s` ends the wait for all of it.
        """
        answers: list[tuple[int, bytes, str]] = []
        asking = threading.Thread(target=lambda: answers.append(self._exchanged(parameters)), daemon=True)
        asking.start()
        asking.join(self._limits.total_s)
        status, content, fault = answers[0] if answers else (0, b"", f"no answer after {self._limits.total_s:.0f} s")
        if fault:
            raise NoData(ticker, fault)
        return status, redacted_bytes(content, self._key.reveal())

    def _exchanged(self, parameters: dict[str, str]) -> tuple[int, bytes, str]:
        """Status, body, and what went wrong in words: an error of requests names the URL, and none leaves from here."""
        timeouts = (self._limits.connect_timeout_s, self._limits.read_timeout_s)
        try:
            with self._http.get(
                self._address,
                params={**parameters, "apikey": self._key.reveal()},
                timeout=timeouts,
                stream=True,
                allow_redirects=False,  # another address must not be handed the key
            ) as response:
                return response.status_code, *self._body(response)
        except Exception as error:  # noqa: BLE001 - a thread's own report of an error would show the key
            return 0, b"", f"no complete answer from {urlsplit(self._address).hostname} ({_kind(error)})"

    def _body(self, response: requests.Response) -> tuple[bytes, str]:
        """The body as it arrives, and what is wrong with it: too long, or too slow."""
        started, body = time.monotonic(), bytearray()
        while piece := response.raw.read1(65_536, decode_content=True):
            body += piece
            if len(body) > self._limits.max_bytes:
                return b"", f"more than {self._limits.max_bytes} bytes"
            if time.monotonic() - started > self._limits.total_s:
                return b"", f"a body that was not complete after {self._limits.total_s:.0f} s"
        return bytes(body), ""


def _kind(error: BaseException) -> str:
    """The error's class and those of its causes, such as `ConnectionError, NameResolutionError`. Never its text."""
    reason = next((getattr(a, "reason", a) for a in error.args if isinstance(a, BaseException)), None)
    return ", ".join(type(e).__name__ for e in (error, reason) if e is not None)


def _checked_address(base_url: str) -> str:
    """The address to query, `base_url` with or without its `/query`: https, or http to loopback, as http shows the key.

    Raises InvalidSetting.
    """
    address = urlsplit(base_url)
    if address.username or address.password or address.query or address.fragment or not address.hostname:
        raise InvalidSetting("the price API's address", f"{address.scheme}://...", "like https://www.alphavantage.co")
    if address.scheme != "https" and not (address.scheme == "http" and _is_loopback(base_url)):
        bound = "an https address; plain http would show the key, and is allowed to this machine (127.0.0.1) only"
        raise InvalidSetting("the price API's address", f"{address.scheme}://{address.hostname}", bound)
    return base_url.rstrip("/").removesuffix("/query") + "/query"


def _is_loopback(base_url: str) -> bool:
    host = urlsplit(base_url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
