"""One key's access over a real loopback connection: how it waits, what a fault becomes, and what is
never asked."""

import gzip
import logging
import pickle
from datetime import timedelta

import pytest

from stockml.errors import (
    BadKey,
    FeedError,
    InvalidSetting,
    InvalidTicker,
    NoData,
    QuotaSpent,
    UnknownSymbol,
)
from tests.stockml.provider.connected import (
    DAILY,
    FAULTS,
    KEY,
    Clock,
    Connected,
    everything_about,
    refusing,
)
from tests.support import loopback
from tests.support.loopback import Answer, Loopback
from tests.support.patience import PATIENCE_S

LASTING = ("no answer", "trickling body", "trickling header")


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("http://www.alphavantage.co", "plain http would show the key"),
        ("ftp://127.0.0.1", "https address"),
        (
            "https://me:secret@www.alphavantage.co:44E",
            "expected ALPHAVANTAGE_URL to be an address whose port",
        ),
        ("file:///etc/passwd", "expected ALPHAVANTAGE_URL to be an address that begins with"),
        ("www.alphavantage.co", "expected ALPHAVANTAGE_URL to be an address that begins with"),
        (
            "https://me:secret@www.alphavantage.co",
            "expected ALPHAVANTAGE_URL to be an address that begins with",
        ),
        (
            "https://www.alphavantage.co?apikey=secret",
            "expected ALPHAVANTAGE_URL to be an address that begins with",
        ),
    ],
)
def test_an_address_that_would_give_the_key_away_is_refused(
    connected: Connected, address: str, expected: str
) -> None:
    with pytest.raises(InvalidSetting, match=expected) as caught:
        connected(address)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "key", [None, "", "  ", "two words", 'quo"te', "x" * 65, "YOUR_KEY", "<your key>", "API_KEY"]
)
def test_without_a_usable_key_nothing_is_asked_or_counted(
    connected: Connected, key: str | None
) -> None:
    with Loopback(loopback.whole(DAILY)) as server, pytest.raises(BadKey):
        connected(server, key).daily("IBM")
    assert server.asked == []
    assert not connected.folder.exists()


def test_a_bad_ticker_or_size_is_refused_before_any_request(connected: Connected) -> None:
    with Loopback(loopback.whole(DAILY)) as server:
        with pytest.raises(InvalidTicker):
            connected(server).daily("../IBM")
        with pytest.raises(InvalidSetting, match="outputsize"):
            connected(server).daily("IBM", "Full")  # type: ignore[arg-type]
    assert server.asked == []


@pytest.mark.parametrize("plan", ["free", "75/min"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_raises_its_type_after_as_many_requests_as_the_plan_can_afford_and_shows_no_key(
    fault: str, plan: str, connected: Connected, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    answer, expected, requests = FAULTS[fault]
    limit_s = 0.2 if fault in LASTING else PATIENCE_S
    with Loopback(answer) as server, pytest.raises(FeedError) as caught:
        connected(
            server, plan=plan, read_timeout_s=limit_s, total_s=limit_s, max_bytes=4_000_000
        ).daily("IBM")
    assert type(caught.value) is expected, caught.value
    few = 2 if expected is UnknownSymbol else 1
    assert len(server.asked) == (requests if plan != "free" else few)
    assert pickle.loads(pickle.dumps(caught.value)).args == caught.value.args
    assert server.asked[0]["apikey"] == KEY
    assert KEY not in everything_about(caught.value) + caplog.text
    assert all(KEY not in repr(vars(record)) for record in caplog.records)
    assert all(KEY not in f"{path}{path.read_text()}" for path in connected.folder.rglob("*"))


def test_a_body_over_the_size_limit_is_not_read_to_its_end(connected: Connected) -> None:
    with (
        Loopback(loopback.endless) as server,
        pytest.raises(NoData, match="more than 1000000 bytes"),
    ):
        connected(server, max_bytes=1_000_000, total_s=20).daily("IBM")


def test_a_compressed_answer_is_read_as_what_it_holds(connected: Connected) -> None:
    with Loopback(
        lambda exchange: exchange.send(gzip.compress(DAILY), **{"Content-Encoding": "gzip"})
    ) as server:
        assert connected(server).daily("IBM").content == DAILY


def test_an_error_names_the_status_beside_the_body(connected: Connected) -> None:
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
def test_a_passing_fault_is_retried_twice(passing: Answer, connected: Connected) -> None:
    with Loopback(passing, passing, loopback.whole(DAILY)) as server:
        assert connected(server, plan="75/min").daily("IBM").content == DAILY
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
def test_the_wait_before_a_retry_is_the_errors_own(
    name: str, waits: list[float], connected: Connected, clock: Clock
) -> None:
    with Loopback(refusing(name)) as server, pytest.raises(FeedError):
        connected(server, plan="75/min").daily("IBM")
    assert [seconds for seconds in clock.slept if seconds] == waits


def test_every_attempt_counts_and_the_26th_is_not_sent(connected: Connected) -> None:
    with Loopback(refusing("err_invalid_symbol.json"), loopback.whole(DAILY)) as server:
        for _ in range(24):
            connected(server).daily("IBM")
        with pytest.raises(QuotaSpent, match="25 of 25"):
            connected(server).daily("IBM")
    assert len(server.asked) == 25


def test_a_clock_set_back_between_requests_does_not_stop_the_client(
    connected: Connected, clock: Clock
) -> None:
    with Loopback(loopback.whole(DAILY)) as server:
        connected(server).daily("IBM")
        clock.now -= timedelta(hours=2)
        connected(server).daily("IBM")
    assert max(clock.slept) < 2


def test_a_proxy_that_is_set_is_asked_but_for_loopback(
    connected: Connected, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    with Loopback(loopback.whole(DAILY)) as server:
        assert connected(server).daily("IBM").content == DAILY
    with pytest.raises(
        NoData, match=r"cannot reach the price service \(no network\?\): prices\.example"
    ):
        connected("https://prices.example").daily("IBM")
