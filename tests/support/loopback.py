"""A loopback HTTP server whose answers are scripted byte by byte, to simulate every way a
connection can break."""

import json
import socket
import struct
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import parse_qs, urlsplit

Answer = Callable[["Exchange"], None]


class Loopback:
    """Answers the n-th request with the n-th of `answers`, repeating the last; records the requests
    in `asked`.

    A connection on which nothing is asked, such as that of a database's client, is kept for 45
    seconds.
    """

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.asked: list[dict[str, str]] = []
        self.connections = 0
        self.over = threading.Event()
        server = ThreadingHTTPServer(("127.0.0.1", 0), Exchange)
        server.daemon_threads = True
        self._server, server.loopback = server, self  # type: ignore[attr-defined]
        self._thread = threading.Thread(target=server.serve_forever, args=(0.01,))

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Exchange(BaseHTTPRequestHandler):
    """One request and its scripted answer."""

    timeout = 45.0

    def setup(self) -> None:
        super().setup()
        self.loopback: Loopback = self.server.loopback  # type: ignore[attr-defined]
        self.loopback.connections += 1

    def do_POST(self) -> None:
        self.posted = self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    do_PATCH = do_DELETE = do_POST  # noqa: N815

    def do_GET(self) -> None:
        self.asked = {
            name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()
        }
        self.loopback.asked.append(self.asked)
        answer = self.loopback.answers[
            min(len(self.loopback.asked), len(self.loopback.answers)) - 1
        ]
        try:
            answer(self)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""

    def send(
        self, content: bytes, status: int = 200, promised: int | None = None, **headers: str
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content) if promised is None else promised))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)
        self.wfile.flush()


def whole(content: bytes, status: int = 200) -> Answer:
    return lambda exchange: exchange.send(content, status)


def notice(text: str, field: str = "Information") -> Answer:
    return whole(json.dumps({field: text}).encode())


def short(content: bytes) -> Answer:
    """Send half of the promised Content-Length, then close."""

    def answer(exchange: Exchange) -> None:
        exchange.send(content[: len(content) // 2], promised=len(content))

    return answer


def reset(exchange: Exchange) -> None:
    """Reset the connection without an answer."""
    exchange.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    exchange.rfile.close()
    exchange.wfile.close()
    exchange.connection.close()


def endless(exchange: Exchange) -> None:
    """Send an endless body without a Content-Length."""
    exchange.send_response(200)
    exchange.end_headers()
    while not exchange.loopback.over.is_set():
        exchange.wfile.write(b" " * 65_536)


def silent(exchange: Exchange) -> None:
    """Send nothing until the test is over."""
    exchange.loopback.over.wait(30)


def trickling(exchange: Exchange) -> None:
    """Send single bytes, each within the read time-out."""
    exchange.send_response(200)
    exchange.end_headers()
    while not exchange.loopback.over.wait(0.01):
        exchange.wfile.write(b" ")
        exchange.wfile.flush()


def trickling_header(exchange: Exchange) -> None:
    """Send a header in single bytes, each within the read time-out."""
    exchange.wfile.write(b"HTTP/1.1 200 OK\r\nSlow: ")
    while not exchange.loopback.over.wait(0.01):
        exchange.wfile.write(b"x")
        exchange.wfile.flush()


def bad_header(content: bytes) -> Answer:
    """Send a header line without a colon, about which urllib3 warns with the whole URL."""

    def answer(exchange: Exchange) -> None:
        head = f"HTTP/1.1 200 OK\r\nno colon here\r\nContent-Length: {len(content)}\r\n\r\n"
        exchange.wfile.write(head.encode() + content)

    return answer


def redirect(exchange: Exchange) -> None:
    """Redirect to the same path, with the key in the new address."""
    exchange.send(b"", 302, Location=exchange.path + "&again=1")


def echo(exchange: Exchange) -> None:
    """Refuse for the day's quota, echoing the key."""
    text = (
        f"We have detected your API key as {exchange.asked['apikey']} and our standard API rate "
        "limit is 25 requests"
    )
    notice(f"{text} per day.")(exchange)


def bad_key(exchange: Exchange) -> None:
    """Refuse a bad key, showing it."""
    text = f"the parameter apikey is invalid or missing. Yours: {exchange.asked['apikey']}"
    notice(text, "Error Message")(exchange)


def page(exchange: Exchange) -> None:
    """Send a proxy's error page that shows the whole address, key included."""
    exchange.send(
        f"<html><a href='{exchange.path}'>{exchange.asked['apikey']}</a></html>".encode(), 502
    )
