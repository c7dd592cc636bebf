"""The client over a real loopback connection: what it asks, how it waits, what a fault ends in, and no key anywhere."""

import gzip
import json
import logging
import pickle
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from deployments.replay.feed import Feed
from stockml.errors import (
    BadKey,
    BadPayload,
    FeedError,
    InvalidSetting,
    InvalidTicker,
    NoData,
    PremiumOnly,
    QuotaSpent,
    RateLimited,
    StoreError,
    UnknownSymbol,
)
from stockml.provider.client import AlphaVantage
from stockml.provider.http import Limits
from stockml.provider.parsing import parse_daily, parse_splits
from stockml.provider.payload_archive import Payload, archive, read_archived
from stockml.provider.quota import FREE, Plan, QuotaLedger
from stockml.redaction import ApiKey, redacted
from stockml.storage.files import sha256_of
from tests.support import PAYLOADS, loopback
from tests.support.loopback import Answer, Loopback

DAILY = (PAYLOADS / "daily_compact.json").read_bytes()
SPLITS = (PAYLOADS / "splits.json").read_bytes()
KEY = "CANARY0SECRET0KEY"
NOW = datetime(2026, 11, 21, 4, 0, tzinfo=UTC)
FAST = Plan(requests_per_minute=1_200, requests_per_day=None)


class Clock:
    """A clock that only sleeping moves; `slept` holds each sleep in seconds."""

    def __init__(self) -> None:
        self.now, self.slept = NOW, list[float]()

    def __call__(self) -> datetime:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


class Connected:
    """Clients of loopback servers that are closed when the test ends."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self.folder, self.clock = folder, clock
        self._open: list[AlphaVantage] = []

    def __call__(
        self, server: Loopback | str, key: str | None = KEY, plan: Plan = FREE, **limits: float
    ) -> AlphaVantage:
        address = server if isinstance(server, str) else server.address
        client = AlphaVantage(
            key,
            quota=QuotaLedger.of(self.folder, key, plan),
            clock=self.clock,
            sleep=self.clock.sleep,
            base_url=address,
            limits=Limits(**limits),  # type: ignore[arg-type]
            jitter=lambda: 0.5,
        )
        self._open.append(client)
        return client

    def close(self) -> None:
        for client in self._open:
            client.close()


@pytest.fixture
def connected(tmp_path: Path, clock: Clock) -> Iterator[Connected]:
    clients = Connected(tmp_path / "quota", clock)
    yield clients
    clients.close()


def test_it_asks_as_the_contract_says_and_hands_back_what_was_answered(connected: Connected) -> None:
    with Loopback(loopback.whole(DAILY), loopback.whole(SPLITS)) as server:
        client = connected(server)
        daily, splits = client.daily("ibm"), client.splits("IBM")
    assert daily == Payload("IBM", "TIME_SERIES_DAILY", DAILY, NOW)
    assert (splits.ticker, splits.function, splits.content) == ("IBM", "SPLITS", SPLITS)
    assert server.asked == [
        {"function": "TIME_SERIES_DAILY", "symbol": "IBM", "outputsize": "compact", "apikey": KEY},
        {"function": "SPLITS", "symbol": "IBM", "apikey": KEY},
    ]


@pytest.mark.parametrize("base", ["", "/", "/query", "/query/"])
def test_the_address_may_be_given_with_or_without_its_query(connected: Connected, base: str) -> None:
    with Loopback(loopback.whole(DAILY)) as server:
        assert connected(server.address + base).daily("IBM").content == DAILY


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("http://www.alphavantage.co", "plain http would show the key"),
        ("ftp://127.0.0.1", "https address"),
        ("file:///etc/passwd", "expected ALPHAVANTAGE_URL to be an https address without a key"),
        ("www.alphavantage.co", "expected ALPHAVANTAGE_URL to be an https address without a key"),
        ("https://me:secret@www.alphavantage.co", "expected ALPHAVANTAGE_URL to be an https address without a key"),
        ("https://www.alphavantage.co?apikey=secret", "expected ALPHAVANTAGE_URL to be an https address without a key"),
    ],
)
def test_an_address_that_would_give_the_key_away_is_refused(connected: Connected, address: str, expected: str) -> None:
    with pytest.raises(InvalidSetting, match=expected) as caught:
        connected(address)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("key", [None, "", "  ", "two words", 'quo"te', "x" * 65])
def test_without_a_usable_key_nothing_is_asked_or_counted(connected: Connected, key: str | None) -> None:
    with Loopback(loopback.whole(DAILY)) as server, pytest.raises(BadKey):
        connected(server, key).daily("IBM")
    assert server.asked == []
    assert not connected.folder.exists()


def test_a_bad_ticker_or_size_is_refused_before_it_is_asked(connected: Connected) -> None:
    with Loopback(loopback.whole(DAILY)) as server:
        with pytest.raises(InvalidTicker):
            connected(server).daily("../IBM")
        with pytest.raises(InvalidSetting, match="outputsize"):
            connected(server).daily("IBM", "Full")  # type: ignore[arg-type]
    assert server.asked == []


def refusing(name: str) -> Answer:
    return loopback.whole((PAYLOADS / name).read_bytes())


FAULTS: dict[str, tuple[Answer, type[FeedError], int]] = {
    # what goes wrong: the answer, the type it ends in, how often it is asked
    "reset": (loopback.reset, NoData, 3),
    "short read": (loopback.short(DAILY), NoData, 3),
    "cut off inside the JSON": (loopback.whole(DAILY[:-100]), NoData, 3),
    "503 page": (loopback.whole((PAYLOADS / "html_503_heroku_2018.html").read_bytes(), 503), NoData, 3),
    "series under 500": (loopback.whole(DAILY, 500), NoData, 3),
    "405": (loopback.whole((PAYLOADS / "detail_405_post.json").read_bytes(), 405), NoData, 3),
    "406": (loopback.whole((PAYLOADS / "detail_406_accept.json").read_bytes(), 406), NoData, 3),
    "redirect": (loopback.redirect, NoData, 3),
    "proxy's page": (loopback.page, NoData, 3),
    "no answer": (loopback.silent, NoData, 3),
    "trickling body": (loopback.trickling, NoData, 3),
    "trickling header": (loopback.trickling_header, NoData, 3),
    "endless body": (loopback.endless, NoData, 3),
    "deep nesting": (loopback.whole(b'{"a":' * 5_000), NoData, 3),
    "broken compression": (lambda e: e.send(b"no gzip", **{"Content-Encoding": "gzip"}), NoData, 3),
    "compression bomb": (
        lambda e: e.send(gzip.compress(b" " * 5_000_000), **{"Content-Encoding": "gzip"}),
        NoData,
        3,
    ),
    "burst": (refusing("info_burst_free_1rps.json"), RateLimited, 3),
    "minute": (refusing("info_premium_minute_limit.json"), RateLimited, 3),
    "unknown symbol": (refusing("err_invalid_symbol.json"), UnknownSymbol, 3),
    "day's quota": (loopback.echo, QuotaSpent, 1),
    "demo key": (refusing("info_demo_key.json"), BadKey, 1),
    "invalid key": (refusing("err_apikey_missing.json"), BadKey, 1),
    "premium": (refusing("info_premium_endpoint.json"), PremiumOnly, 1),
    "duplicate date": (loopback.whole(DAILY.replace(b"2026-11-19", b"2026-11-20")), BadPayload, 1),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_ends_in_its_type_after_as_many_requests_as_make_sense(fault: str, connected: Connected) -> None:
    answer, expected, requests = FAULTS[fault]
    with Loopback(answer) as server, pytest.raises(FeedError) as caught:
        connected(server, read_timeout_s=0.2, total_s=0.2, max_bytes=4_000_000).daily("IBM")
    assert type(caught.value) is expected, caught.value
    assert len(server.asked) == requests
    assert pickle.loads(pickle.dumps(caught.value)).args == caught.value.args


def test_nobody_listening_is_no_data_that_names_the_host(connected: Connected) -> None:
    with Loopback() as server:
        address = server.address
    with pytest.raises(NoData, match=r"127\.0\.0\.1 \(ConnectionError, NewConnectionError\)"):
        connected(address).daily("IBM")


def test_a_body_beyond_the_bound_is_not_read_to_its_end(connected: Connected) -> None:
    with Loopback(loopback.endless) as server, pytest.raises(NoData, match="more than 1000000 bytes"):
        connected(server, max_bytes=1_000_000, total_s=20).daily("IBM")


def test_the_status_is_named_beside_what_came_with_it(connected: Connected) -> None:
    answer, _, _ = FAULTS["503 page"]
    with Loopback(answer) as server, pytest.raises(NoData, match="HTTP 503: <!DOCTYPE html>"):
        connected(server).daily("IBM")


@pytest.mark.parametrize(
    "passing",
    [
        loopback.reset,
        loopback.short(DAILY),
        refusing("err_invalid_symbol.json"),
        refusing("info_burst_free_1rps.json"),
        refusing("empty_object.json"),
        loopback.whole(b"<html>", 503),
    ],
)
def test_a_passing_fault_is_asked_again_twice(passing: Answer, connected: Connected) -> None:
    with Loopback(passing, passing, loopback.whole(DAILY)) as server:
        assert connected(server).daily("IBM").content == DAILY
    assert len(server.asked) == 3


@pytest.mark.parametrize(
    ("name", "waits"),
    [
        ("info_burst_free_1rps.json", [1.75, 1.75]),
        ("info_premium_minute_limit.json", [65.25, 65.25]),
        ("empty_object.json", [2.25, 2.25]),
        ("err_invalid_symbol.json", [2.25, 2.25]),
    ],
)
def test_the_wait_before_asking_again_is_the_errors_own(
    name: str, waits: list[float], connected: Connected, clock: Clock
) -> None:
    with Loopback(refusing(name)) as server, pytest.raises(FeedError):
        connected(server).daily("IBM")
    assert [seconds for seconds in clock.slept if seconds] == waits


def test_a_free_key_asks_at_most_once_a_second_whichever_client_asks(connected: Connected, clock: Clock) -> None:
    with Loopback(loopback.whole(DAILY)) as server:
        for _ in range(3):
            connected(server).daily("IBM")
    assert [seconds for seconds in clock.slept if seconds] == [1.05, 1.05]


def test_every_attempt_counts_and_the_26th_is_not_sent(connected: Connected) -> None:
    with Loopback(*[loopback.reset] * 2, loopback.whole(DAILY)) as server:
        for _ in range(23):
            connected(server).daily("IBM")
        with pytest.raises(QuotaSpent, match="25 of 25"):
            connected(server).daily("IBM")
    assert len(server.asked) == 25


def test_once_the_provider_calls_the_day_spent_nobody_asks_until_the_next(connected: Connected, clock: Clock) -> None:
    with Loopback(loopback.echo, loopback.whole(DAILY)) as server:
        for ticker in ("IBM", "MSFT", "AAPL"):
            with pytest.raises(QuotaSpent, match="25 requests per day"):
                connected(server).daily(ticker)
        assert len(server.asked) == 1
        clock.now += timedelta(days=1)
        assert connected(server).daily("IBM").content == DAILY


def test_a_clock_that_is_set_back_while_waiting_does_not_stop_the_client(connected: Connected, clock: Clock) -> None:
    with Loopback(loopback.whole(DAILY)) as server:
        connected(server).daily("IBM")
        clock.now -= timedelta(hours=2)
        connected(server).daily("IBM")
    assert max(clock.slept) < 2


def test_full_on_a_free_key_says_what_needs_a_premium_one(connected: Connected) -> None:
    answer = refusing("info_outputsize_full_premium.json")
    with Loopback(answer) as server, pytest.raises(PremiumOnly, match="outputsize=full needs a premium key"):
        connected(server).daily("IBM", "full")


def test_the_environment_names_key_plan_and_address(tmp_path: Path, clock: Clock) -> None:
    with Loopback(loopback.whole(DAILY)) as server:
        environ = {
            "ALPHAVANTAGE_API_KEY": KEY,
            "ALPHAVANTAGE_PLAN": "1200/min",
            "ALPHAVANTAGE_URL": server.address,
        }
        with AlphaVantage.from_environment(environ, tmp_path, clock=clock, sleep=clock.sleep) as client:
            client.daily("IBM")
        with AlphaVantage.from_environment(environ, tmp_path, clock=clock, sleep=clock.sleep, key="OTHER") as client:
            client.daily("IBM")
    assert [asked["apikey"] for asked in server.asked] == [KEY, "OTHER"]
    assert QuotaLedger.of(tmp_path, KEY, FAST).remaining(clock()) is None


def test_loopback_is_asked_directly_even_where_a_proxy_is_set(
    connected: Connected, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with Loopback(loopback.whole(DAILY)) as server:
        assert connected(server).daily("IBM").content == DAILY


def test_the_replay_feed_and_the_client_speak_one_contract(feed: Feed, connected: Connected) -> None:
    session = date(2013, 3, 1)
    client = connected(feed.url, plan=FAST)
    compact = parse_daily(client.daily("IBM").content, "IBM", last_final=session, today=session)
    assert (len(compact.bars), compact.newest) == (100, session)
    assert [split.factor for split in parse_splits(client.splits("AAPL").content, "AAPL")][:2] == [2.0, 2.0]
    with pytest.raises(PremiumOnly, match="outputsize=full"):
        client.daily("IBM", "full")
    with pytest.raises(UnknownSymbol):
        client.daily("NOSUCH")
    premium = connected(feed.url, "premium-key", FAST).daily("IBM", "full").content
    assert len(parse_daily(premium, "IBM", last_final=session, today=session).bars) > 3_000


def everything_about(error: BaseException) -> str:
    """All that a log, a UI or a debugger could show of an error: its text, its chain, its traceback with variables."""
    shown = [str(error), repr(error), repr(error.args), *traceback.format_exception(error)]
    frames = traceback.TracebackException.from_exception(error, capture_locals=True).stack
    shown += [f"{frame.line} {frame.locals}" for frame in frames if "stockml" in Path(frame.filename).parts]
    chain: list[BaseException | None] = [error]
    for link in chain:
        if link is not None and len(chain) < 20:
            shown += [str(link), repr(link), repr(link.__dict__), pickle.dumps(link).decode("latin-1")]
            chain += [link.__cause__, link.__context__]
    return "\n".join(shown)


LEAKS = FAULTS | {"bad header": (loopback.bad_header(b"{}"), NoData, 3), "echo": (loopback.echo, QuotaSpent, 1)}


@pytest.mark.parametrize("fault", LEAKS)
def test_the_key_is_in_no_error_no_log_and_no_file(
    fault: str, connected: Connected, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with Loopback(LEAKS[fault][0]) as server, pytest.raises(FeedError) as caught:
        connected(server, read_timeout_s=0.2, total_s=0.2, max_bytes=4_000_000).daily("IBM")
    assert server.asked[0]["apikey"] == KEY
    assert KEY not in everything_about(caught.value)
    assert KEY not in caplog.text
    assert all(KEY not in repr(vars(record)) for record in caplog.records)
    for path in connected.folder.rglob("*"):
        assert KEY not in f"{path}{path.read_text()}"


def test_urllib3s_own_log_lines_show_the_address_without_the_key(
    connected: Connected, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with Loopback(loopback.bad_header(DAILY)) as server:
        connected(server).daily("IBM")
    shown = [record.getMessage() for record in caplog.records if record.name.startswith("urllib3")]
    assert any("Failed to parse headers" in line and "apikey=***" in line for line in shown)
    assert any("GET /query" in line and "apikey=***" in line for line in shown)


def test_the_key_is_not_in_a_refused_connection_either(connected: Connected, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with Loopback() as server:
        address = server.address
    with pytest.raises(NoData) as caught:
        connected(address).daily("IBM")
    assert KEY not in everything_about(caught.value) + caplog.text


def test_a_series_that_echoes_the_key_is_kept_without_it(connected: Connected, tmp_path: Path) -> None:
    echoing = DAILY.replace(b"Daily Prices", f"Prices for {KEY.lower()}".encode())
    with Loopback(loopback.whole(echoing)) as server:
        payload = connected(server).daily("IBM")
    kept = archive(payload, tmp_path / "payloads")
    assert KEY.lower().encode() not in gzip.decompress(Path(kept.path).read_bytes()).lower()
    assert len(
        parse_daily(read_archived(kept.path), "IBM", last_final=date(2026, 11, 20), today=date(2026, 11, 20)).bars
    )


def test_neither_client_nor_key_can_be_pickled_or_printed(connected: Connected) -> None:
    client = connected("https://www.alphavantage.co")
    for secret in (client, ApiKey(KEY)):
        assert KEY not in repr(secret)
        with pytest.raises(TypeError, match="not pickled"):
            pickle.dumps(secret)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("GET /query?symbol=IBM&apikey=ABC123&x=1", "GET /query?symbol=IBM&apikey=***&x=1"),
        ("apikey%3DABC123", "apikey%3D***"),
        ("detected your API key as ABC123 and our", "detected your API key as *** and our"),
        (json.dumps({"apikey": "ABC123"}), '{"apikey": "***"}'),
        ("the parameter apikey is invalid or missing", "the parameter apikey is invalid or missing"),
    ],
)
def test_a_key_is_recognised_by_where_it_stands(text: str, expected: str) -> None:
    assert redacted(text) == expected


def payload(content: bytes = DAILY) -> Payload:
    return Payload("BRK-B", "TIME_SERIES_DAILY", content, NOW)


def test_a_payload_is_kept_once_under_the_hash_of_its_content(tmp_path: Path) -> None:
    kept = archive(payload(), tmp_path)
    before = Path(kept.path).stat()
    assert archive(payload(), tmp_path) == kept
    assert Path(kept.path).stat().st_mtime_ns == before.st_mtime_ns
    assert [path.name for path in (tmp_path / "BRK-B").iterdir()] == [Path(kept.path).name]
    assert (kept.sha256, read_archived(kept.path)) == (sha256_of(kept.path), DAILY)
    time_in_header = Path(kept.path).read_bytes()[4:8]
    assert time_in_header == bytes(4)


@pytest.mark.parametrize(
    "damage", [b"", b"no gzip", gzip.compress(b"another content", mtime=0), gzip.compress(DAILY, mtime=0)[:-20]]
)
def test_a_damaged_payload_is_named_and_written_anew_when_it_comes_again(tmp_path: Path, damage: bytes) -> None:
    kept = archive(payload(), tmp_path)
    Path(kept.path).write_bytes(damage)
    with pytest.raises(StoreError, match="restore it from a backup") as caught:
        read_archived(kept.path)
    assert kept.path in str(caught.value)
    assert archive(payload(), tmp_path) == kept
    assert read_archived(kept.path) == DAILY


def test_a_payload_kept_by_many_threads_at_once_is_kept_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        kept = set(pool.map(lambda _: archive(payload(), tmp_path), range(64)))
    assert len(kept) == 1
    assert len(list((tmp_path / "BRK-B").iterdir())) == 1
    assert read_archived(kept.pop().path) == DAILY


def test_a_payload_of_a_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidTicker):
        archive(Payload("../../etc", "TIME_SERIES_DAILY", DAILY, NOW), tmp_path)
