"""The replay feed: a local service on 127.0.0.1 that speaks Alpha Vantage's contract over recorded
prices; for first runs and for tests.

It answers GET /query as of its own clock, which is advanced to replay nights. Without an API key, a
command runs a feed in its own process and points the night to it through the environment.

Source: the package `bokeh-sampledata`, raw daily bars as traded on the New York exchanges,
2000-03-01 to 2013-03-01, for AAPL, FB, GOOG, IBM and MSFT. Prices are unadjusted: a split is a
jump.
"""

import csv
import gzip
import json
import re
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, time
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qsl, urlsplit
from zoneinfo import ZoneInfo

from deployments.process import restored
from stockml import clock
from stockml.clock import END_OF_RECORDING
from stockml.errors import InvalidInput
from stockml.home import HomePaths
from stockml.provider.price_source import plays_recorded

NEW_YORK = ZoneInfo("America/New_York")
# New York time; the real provider's bars appear between the close and 22:45
PUBLISHED_AT = time(18, 0)
COMPACT_SESSIONS = 100
PRICES = ("open", "high", "low", "close")
PROVISIONAL = 0.985  # fraction of the final volume in the newest bar, until the next is published

BAD_KEY = (
    "the parameter apikey is invalid or missing. Please claim your free API key on "
    "(https://www.alphavantage.co/support/#api-key). It should take less than 20 seconds."
)
DEMO_KEY = (
    "The **demo** API key is for demo purposes only. Please claim your free API key at "
    "(https://www.alphavantage.co/support/#api-key) to explore our full API offerings. It takes "
    "fewer than 20 seconds."
)
FULL_IS_PREMIUM = (
    "Thank you for using Alpha Vantage! The outputsize=full parameter value is a premium feature "
    "for the TIME_SERIES_DAILY endpoint. You may subscribe to any of the premium plans at "
    "https://www.alphavantage.co/premium/ to instantly unlock all premium features"
)
LISTING_HEADER = b"symbol,name,exchange,assetType,ipoDate,delistingDate,status\r\n"


class NotRecorded(InvalidInput):
    """The replay feed has no prices of this ticker."""

    ticker: str
    recorded: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"expected one of the recorded tickers {', '.join(self.recorded)}, found "
            f"{self.ticker}; set ALPHAVANTAGE_API_KEY to a key of your own for any other"
        )


class RecordedRow(NamedTuple):
    """One recorded session: prices in dollars as traded, volume in shares."""

    session: date
    open: float
    high: float
    low: float
    close: float
    volume: int


class RecordedSplit(NamedTuple):
    """`factor` new shares for one old share; `effective` is the first session at the new price."""

    effective: date
    factor: float


_SPLITS = {
    "AAPL": (RecordedSplit(date(2000, 6, 21), 2.0), RecordedSplit(date(2005, 2, 28), 2.0)),
    "MSFT": (RecordedSplit(date(2003, 2, 18), 2.0),),
}


@cache
def _recording() -> dict[str, tuple[RecordedRow, ...]]:
    rows = defaultdict[str, list[RecordedRow]](list)
    compressed = files("bokeh_sampledata").joinpath("_data", "stocks.csv.gz").read_bytes()
    _, *lines = csv.reader(gzip.decompress(compressed).decode().splitlines())
    for symbol, day, *prices, volume, _ in lines:
        open_, high, low, close = map(float, prices)
        rows[symbol].append(
            RecordedRow(date.fromisoformat(day), open_, high, low, close, int(volume))
        )
    return {symbol: tuple(sorted(bars)) for symbol, bars in rows.items()}


def symbols() -> tuple[str, ...]:
    return tuple(sorted(_recording()))


def recorded_rows(symbol: str) -> tuple[RecordedRow, ...]:
    """All recorded sessions of `symbol`, oldest first. Raises NotRecorded."""
    try:
        return _recording()[symbol]
    except KeyError:
        raise NotRecorded(symbol, symbols()) from None


def recorded_splits(symbol: str) -> tuple[RecordedSplit, ...]:
    return _SPLITS.get(symbol, ())


@dataclass(frozen=True)
class Answer:
    status: int
    content: bytes


def published(symbol: str, now: datetime) -> tuple[RecordedRow, ...]:
    """The rows of `symbol` published by `now`, oldest first; none for a symbol that was not
    recorded."""
    return tuple(
        row for row in _recording().get(symbol.upper(), ()) if publication(row.session) <= now
    )


def publication(session: date) -> datetime:
    return datetime.combine(session, PUBLISHED_AT, NEW_YORK)


Rows = Callable[[str, datetime], Sequence[RecordedRow]]  # of a symbol, published by a time


def answer(query: Mapping[str, str], now: datetime, *, rows: Rows = published) -> Answer:
    """Answer a GET of /query at `now` (aware). Keys that start with "premium" may request the full
    series."""
    if refusal := _key_refusal(query.get("apikey", "")):
        return refusal
    function, symbol = query.get("function", "").upper(), query.get("symbol", "")
    if function == "LISTING_STATUS":
        return Answer(200, LISTING_HEADER)
    if function == "TIME_SERIES_DAILY":
        return _daily(query, rows(symbol, now), query["apikey"].startswith("premium"))
    if function == "SPLITS":
        return _splits(symbol, now)
    return _json({"Error Message": f"This API function ({function}) does not exist."})


def _key_refusal(key: str) -> Answer | None:
    if key == "demo":
        return _json({"Information": DEMO_KEY})
    if key == "invalid" or not re.fullmatch(r"[A-Za-z0-9_-]+", key):
        return _json({"Error Message": BAD_KEY})
    return None


def _daily(query: Mapping[str, str], rows: Sequence[RecordedRow], premium: bool) -> Answer:
    symbol, full = query.get("symbol", ""), query.get("outputsize") == "full"
    if full and not premium:
        return _json({"Information": FULL_IS_PREMIUM})
    if not rows:
        return _unknown("TIME_SERIES_DAILY")
    newest = rows[-1].session
    shown = rows if full else rows[-COMPACT_SESSIONS:]
    meta = {
        "1. Information": "Daily Prices (open, high, low, close) and Volumes",
        "2. Symbol": symbol,
        "3. Last Refreshed": newest.isoformat(),
        "4. Output Size": "Full size" if full else "Compact",
        "5. Time Zone": "US/Eastern",
    }
    series = {
        row.session.isoformat(): _bar(row, provisional=row.session == newest)
        for row in reversed(shown)
    }
    return _json({"Meta Data": meta, "Time Series (Daily)": series})


def _bar(row: RecordedRow, *, provisional: bool) -> dict[str, str]:
    prices = {
        f"{at}. {name}": f"{getattr(row, name):.4f}" for at, name in enumerate(PRICES, start=1)
    }
    return {
        **prices,
        "5. volume": str(int(row.volume * PROVISIONAL) if provisional else row.volume),
    }


def _splits(symbol: str, now: datetime) -> Answer:
    if not published(symbol, now):
        return _unknown("SPLITS")
    splits = [
        split for split in recorded_splits(symbol.upper()) if publication(split.effective) <= now
    ]
    rows = [
        {"effective_date": s.effective.isoformat(), "split_factor": f"{s.factor:.4f}"}
        for s in reversed(splits)
    ]
    return _json({"symbol": symbol, "data": rows})


def _unknown(function: str) -> Answer:
    documentation = "https://www.alphavantage.co/documentation/"
    text = (
        f"Invalid API call. Please retry or visit the documentation ({documentation}) for "
        f"{function}."
    )
    return _json({"Error Message": text})


def _json(content: dict[str, Any]) -> Answer:
    return Answer(200, json.dumps(content, indent=4).encode())


# the feed treats this key as a premium one and serves the full series to it
REPLAY = {"ALPHAVANTAGE_API_KEY": "premium-replay", "ALPHAVANTAGE_PLAN": "1200/min"}


class Asked(NamedTuple):
    """A request that came in, without its key."""

    function: str
    symbol: str
    outputsize: str


class Handler(BaseHTTPRequestHandler):
    server: "Feed"
    timeout = 10

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if parts.path != "/query":
            return self._send(Answer(404, b'{"detail": "Not found."}'))
        query = dict(parse_qsl(parts.query))
        reply = self.server.answered(query)
        request = Asked(
            query.get("function", ""), query.get("symbol", ""), query.get("outputsize", "compact")
        )
        self.server.on_request(request)
        return self._send(reply)

    def log_message(self, *args: object) -> None:
        """Log nothing: callers follow requests through `on_request`."""

    def _send(self, reply: Answer) -> None:
        self.send_response(reply.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(reply.content)))
        self.end_headers()
        self.wfile.write(reply.content)


class Feed(ThreadingHTTPServer):
    """A feed; ALPHAVANTAGE_URL takes its `address`. on_request: called with each request before its
    answer is sent."""

    request_queue_size = 64

    def __init__(
        self,
        *,
        now: datetime = END_OF_RECORDING,
        port: int = 0,
        on_request: Callable[[Asked], None] = lambda request: None,
    ) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.now, self.on_request = now, on_request
        self._thread = threading.Thread(
            target=self.serve_forever, args=(0.02,), name="replay-feed", daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def newest(self) -> date:
        """The newest session published for any symbol; `date.min` before the recording."""
        return max(
            (row.session for symbol in symbols() for row in published(symbol, self.now)[-1:]),
            default=date.min,
        )

    @property
    def notice(self) -> str:
        return (
            "no ALPHAVANTAGE_API_KEY: runs are served recorded prices, newest session "
            f"{self.newest}"
        )

    def set_clock(self, now: datetime | date) -> None:
        """Set the clock to an aware time, or to 23:00 New York time of a day."""
        self.now = (
            now
            if isinstance(now, datetime)
            else datetime(now.year, now.month, now.day, 23, tzinfo=NEW_YORK)
        )

    def answered(self, query: Mapping[str, str]) -> Answer:
        return answer(query, self.now)


def replay_environment(feed: Feed) -> dict[str, str]:
    return {**REPLAY, "ALPHAVANTAGE_URL": feed.address, "STOCKML_CLOCK": feed.now.isoformat()}


@contextmanager
def played(home: HomePaths, environ: MutableMapping[str, str]) -> Iterator[Feed | None]:
    """Serve a feed from this process, with `environ` pointing to it, if the home is for recorded
    prices and no key is set; else do nothing and yield None. Its clock is STOCKML_CLOCK, or the
    recording's end. Raises RecordUnreadable.
    """
    if not plays_recorded(home, environ):
        yield None
        return
    now = clock.now(environ) if environ.get("STOCKML_CLOCK") else END_OF_RECORDING
    with Feed(now=now) as feed, restored(environ, replay_environment(feed)):
        environ.update(replay_environment(feed))
        yield feed
