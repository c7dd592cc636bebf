"""One key's access over a real loopback connection: how it waits, what a fault becomes; and that the
key is in no error, log, answer or pickle."""

import logging
import pickle
from datetime import date, timedelta

import pytest
from requests.adapters import HTTPAdapter

from stockml.errors import (
    BadKey,
    FeedError,
    InvalidSetting,
    InvalidTicker,
    NoData,
    QuotaSpent,
    UnknownSymbol,
    Unreachable,
)
from stockml.provider.client import AlphaVantage
from stockml.provider.parsing import parse_daily
from stockml.provider.tiingo import Tiingo
from stockml.redaction import ApiKey
from stockml.storage.locks import FileNotes
from tests.stockml.provider.connected import (
    DAILY,
    FAULTS,
    KEY,
    SERIES,
    everything_about,
    gzipped,
    refusing,
)
from tests.support import loopback
from tests.support.loopback import Loopback
from tests.support.patience import PATIENCE_S

SAID = {
    "503 page": "HTTP 503: <!DOCTYPE html>",
    "endless body": "more than 4000000 bytes",
    "compression bomb": "more than 4000000 bytes",
}
LASTING = ("no answer", "trickling body", "trickling header")


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("http://www.alphavantage.co", "plain http would show the key"),
        ("ftp://127.0.0.1", "https address"),
        ("https://me:secret@www.alphavantage.co:44E", "ALPHAVANTAGE_URL to be .* whose port"),
        ("www.alphavantage.co", "ALPHAVANTAGE_URL to be an address that begins with"),
        ("https://me:secret@www.alphavantage.co", "an address that begins with"),
        ("https://www.alphavantage.co?apikey=secret", "an address that begins with"),
    ],
)
def test_an_address_that_would_give_the_key_away_is_refused(connected, address, expected):
    with pytest.raises(InvalidSetting, match=expected) as caught:
        connected(address)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("key", [None, "  ", "two words", "x" * 65, "YOUR_KEY"])
def test_without_a_usable_key_nothing_is_asked_or_counted(connected, key):
    with Loopback(SERIES) as server, pytest.raises(BadKey):
        connected(server, key).daily("IBM")
    assert server.asked == []
    assert not connected.folder.exists()


def test_a_bad_ticker_or_size_is_refused_before_any_request(connected):
    with Loopback(SERIES) as server:
        with pytest.raises(InvalidTicker):
            connected(server).daily("../IBM")
        with pytest.raises(InvalidSetting, match="outputsize"):
            connected(server).daily("IBM", "Full")
    assert server.asked == []


@pytest.mark.parametrize("plan", ["free", "75/min"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_raises_its_type_after_as_many_requests_as_the_plan_can_afford_and_shows_no_key(
    fault, plan, connected, caplog
):
    caplog.set_level(logging.DEBUG)
    answer, expected, requests = FAULTS[fault]
    limit_s = 0.2 if fault in LASTING else PATIENCE_S
    with Loopback(answer) as server, pytest.raises(FeedError) as caught:
        connected(
            server, plan=plan, read_timeout_s=limit_s, total_s=limit_s, max_bytes=4_000_000
        ).daily("IBM")
    assert type(caught.value) is expected, caught.value
    assert SAID.get(fault, "") in str(caught.value)
    few = 2 if expected is UnknownSymbol else 1
    assert len(server.asked) == (requests if plan != "free" else few)
    assert pickle.loads(pickle.dumps(caught.value)).args == caught.value.args
    assert server.asked[0]["apikey"] == KEY
    assert KEY not in everything_about(caught.value) + caplog.text
    assert all(KEY not in repr(vars(record)) for record in caplog.records)
    assert all(KEY not in f"{path}{path.read_text()}" for path in connected.folder.rglob("*"))


def test_a_passing_fault_is_retried_twice_and_a_compressed_answer_is_read(connected):
    with Loopback(loopback.reset, loopback.short(DAILY), gzipped(DAILY)) as server:
        assert connected(server, plan="75/min").daily("IBM").content == DAILY


@pytest.mark.parametrize(
    ("name", "wait_s"),
    [
        ("info_burst_free_1rps.json", 1.75),
        ("info_demo_key_2rps.json", 1.75),
        ("info_premium_burst.json", 1.75),
        ("info_premium_minute_limit.json", 65.25),
        ("note_5_per_min_500_per_day_2018_2023.json", 65.25),
        ("empty_object.json", 2.25),
        ("err_invalid_symbol.json", 2.25),
    ],
)
def test_the_wait_before_a_retry_is_the_errors_own(name, wait_s, connected, clock):
    with Loopback(refusing(name)) as server, pytest.raises(FeedError):
        connected(server, plan="75/min").daily("IBM")
    assert [seconds for seconds in clock.slept if seconds] == [wait_s, wait_s]


def test_every_attempt_counts_and_the_26th_is_not_sent(connected):
    with Loopback(refusing("err_invalid_symbol.json"), SERIES) as server:
        for _ in range(24):
            connected(server).daily("IBM")
        with pytest.raises(QuotaSpent, match="25 of 25"):
            connected(server).daily("IBM")
    assert len(server.asked) == 25


def test_a_clock_set_back_between_requests_does_not_stop_the_client(connected, clock):
    with Loopback(SERIES) as server:
        connected(server).daily("IBM")
        clock.now -= timedelta(hours=2)
        connected(server).daily("IBM")
    assert max(clock.slept) < 2


def test_a_proxy_that_is_set_is_asked_but_for_loopback(connected, monkeypatch):
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with Loopback(SERIES) as server:
        assert connected(server).daily("IBM").content == DAILY
    with pytest.raises(Unreachable, match=r"prices\.example"):
        connected("https://prices.example").daily("IBM")


def test_urllib3s_own_log_lines_show_the_address_without_the_key(connected, caplog):
    caplog.set_level(logging.DEBUG)
    with Loopback(loopback.bad_header(DAILY)) as server:
        connected(server).daily("IBM")
    shown = [record.getMessage() for record in caplog.records if record.name.startswith("urllib3")]
    assert any("Failed to parse headers" in line and "apikey=***" in line for line in shown)
    assert any("GET /query" in line and "apikey=***" in line for line in shown)


def test_a_refused_connection_names_the_host_not_the_key(connected, caplog):
    caplog.set_level(logging.DEBUG)
    with pytest.raises(Unreachable, match=r"IBM: .*127\.0\.0\.1") as caught:
        connected("http://127.0.0.1:9").daily("IBM")
    assert KEY not in everything_about(caught.value) + caplog.text


def test_a_series_that_echoes_the_key_is_kept_without_it(connected):
    echoing = DAILY.replace(b"Daily Prices", f"Prices for {KEY.lower()}".encode())
    with Loopback(loopback.whole(echoing)) as server:
        content = connected(server).daily("IBM").content
    assert KEY.lower().encode() not in content.lower()
    assert len(parse_daily(content, "IBM", last_final=date(2026, 11, 20)))


class Unsent(HTTPAdapter):
    """Keeps the last request that it is given, and sends none."""

    def send(self, request, *_, **__):
        self.request = request
        raise ConnectionError


@pytest.mark.parametrize("kind", [AlphaVantage, Tiingo])
def test_a_login_in_netrc_neither_replaces_the_key_nor_is_sent_beside_it(
    kind, tmp_path, monkeypatch
):
    (tmp_path / "netrc").write_text("default login me password mine")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    unsent = Unsent()
    with kind({kind.key_variable: KEY}, FileNotes(tmp_path), sleep=lambda _: None) as client:
        client._http.mount("https://", unsent)
        with pytest.raises(NoData):
            client.daily("IBM")
    assert KEY in f"{unsent.request.url}{unsent.request.headers}"
    assert unsent.request.headers.get("Authorization") in (None, f"Token {KEY}")


def test_neither_client_nor_key_can_be_pickled_or_printed(connected):
    client = connected("https://www.alphavantage.co")
    for secret in (client, ApiKey(KEY)):
        assert KEY not in repr(secret)
        with pytest.raises(TypeError, match="not pickled"):
            pickle.dumps(secret)
