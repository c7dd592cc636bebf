"""The replay feed: a local service on 127.0.0.1 that speaks Alpha Vantage's contract over recorded
prices.

It answers GET /query as of its own clock, which is advanced to replay nights. Without an API key, a
command runs a feed in its own process and points the night to it through the environment.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from datetime import date, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple, Self
from urllib.parse import parse_qsl, urlsplit

from deployments.process import restored
from deployments.replay.recording import NEW_YORK, Answer, answer, published, symbols
from stockml import clock
from stockml.clock import END_OF_RECORDING
from stockml.home import HomePaths
from stockml.provider.price_source import plays_recorded

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
