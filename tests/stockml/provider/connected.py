"""Clients of loopback servers, and the faults that they meet there."""

import gzip
import pickle
import traceback
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

from stockml.errors import (
    BadKey,
    BadPayload,
    FeedError,
    NoData,
    PremiumOnly,
    QuotaSpent,
    RateLimited,
    UnknownSymbol,
)
from stockml.provider.client import AlphaVantage
from stockml.storage.locks import FileNotes
from tests.support import PAYLOADS, loopback
from tests.support.loopback import Answer, Loopback

DAILY = (PAYLOADS / "daily_compact.json").read_bytes()
SERIES = loopback.whole(DAILY)
KEY = "CANARY0SECRET0KEY"
NOW = datetime(2026, 11, 21, 4, tzinfo=UTC)


class Clock:
    """A clock that only sleeping moves; `slept` holds each sleep in seconds."""

    def __init__(self) -> None:
        self.now, self.slept = NOW, list[float]()

    def __call__(self) -> datetime:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += timedelta(seconds=seconds)


class Connected(ExitStack):
    """Makes clients of loopback servers; they are closed when the test ends."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        super().__init__()
        self.folder, self.clock = folder, clock

    def __call__(
        self, server: Loopback | str, key: str | None = KEY, plan: str = "free", **limits: float
    ) -> AlphaVantage:
        address = server if isinstance(server, str) else server.address
        environ = {"ALPHAVANTAGE_URL": address, "ALPHAVANTAGE_PLAN": plan}
        client = AlphaVantage(
            environ, FileNotes(self.folder), key=key, clock=self.clock, sleep=self.clock.sleep
        )
        for name, value in {**limits, "jitter": lambda: 0.5}.items():
            setattr(client, name, value)
        return self.enter_context(client)


def gzipped(content: bytes) -> Answer:
    return lambda exchange: exchange.send(gzip.compress(content), **{"Content-Encoding": "gzip"})


def refusing(name: str) -> Answer:
    return loopback.whole((PAYLOADS / name).read_bytes())


NO_ANSWERS: dict[str, Answer] = {
    "reset": loopback.reset,
    "short read": loopback.short(DAILY),
    "cut off inside the JSON": loopback.whole(DAILY[:-100]),
    "503 page": loopback.whole(b"<!DOCTYPE html>", 503),
    "series under 500": loopback.whole(DAILY, 500),
    "redirect": loopback.redirect,
    "proxy's page": loopback.page,
    "no answer": loopback.silent,
    "trickling body": loopback.trickling,
    "trickling header": loopback.trickling_header,
    "bad header": loopback.bad_header(b"{}"),
    "endless body": loopback.endless,
    "broken compression": lambda e: e.send(b"no gzip", **{"Content-Encoding": "gzip"}),
    "compression bomb": gzipped(b" " * 5_000_000),
}
FAULTS: dict[str, tuple[Answer, type[FeedError], int]] = {
    # what goes wrong: the answer, the error's type, the number of requests with a premium plan
    **{name: (answer, NoData, 3) for name, answer in NO_ANSWERS.items()},
    "burst": (refusing("info_burst_free_1rps.json"), RateLimited, 3),
    "minute": (refusing("info_premium_minute_limit.json"), RateLimited, 3),
    "unknown symbol": (refusing("err_invalid_symbol.json"), UnknownSymbol, 3),
    "day's quota": (loopback.echo, QuotaSpent, 1),
    "demo key": (refusing("info_demo_key.json"), BadKey, 1),
    "invalid key": (refusing("err_apikey_missing.json"), BadKey, 1),
    "premium": (refusing("info_premium_endpoint.json"), PremiumOnly, 1),
    "duplicate date": (loopback.whole(DAILY.replace(b"2026-11-19", b"2026-11-20")), BadPayload, 1),
}


def everything_about(error: BaseException) -> str:
    """All that a log, a UI or a debugger could show of an error: its text, its chain, its traceback
    with variables."""
    shown = [str(error), repr(error), repr(error.args), *traceback.format_exception(error)]
    frames = traceback.TracebackException.from_exception(error, capture_locals=True).stack
    shown += [str(frame.locals) for frame in frames if "stockml" in Path(frame.filename).parts]
    chain: list[BaseException | None] = [error]
    for link in chain:
        if link is not None and len(chain) < 20:
            shown += [repr(link), repr(vars(link)), pickle.dumps(link).decode("latin-1")]
            chain += [link.__cause__, link.__context__]
    return "\n".join(shown)
