"""The key is in the request and nowhere else: in no error, log, answer or pickle."""

import gzip
import logging
import pickle
from datetime import date
from pathlib import Path
from typing import NoReturn

import pytest
from requests import PreparedRequest
from requests.adapters import HTTPAdapter

from stockml.errors import NoData
from stockml.provider.client import AlphaVantage
from stockml.provider.http import PriceProvider
from stockml.provider.parsing import parse_daily
from stockml.provider.payload_archive import archive, read_archived
from stockml.provider.tiingo import Tiingo
from stockml.redaction import ApiKey
from stockml.storage.documents import FileNotes
from tests.stockml.provider.connected import DAILY, KEY, Connected, everything_about
from tests.support import loopback
from tests.support.loopback import Loopback


def test_urllib3s_own_log_lines_show_the_address_without_the_key(
    connected: Connected, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with Loopback(loopback.bad_header(DAILY)) as server:
        connected(server).daily("IBM")
    shown = [record.getMessage() for record in caplog.records if record.name.startswith("urllib3")]
    assert any("Failed to parse headers" in line and "apikey=***" in line for line in shown)
    assert any("GET /query" in line and "apikey=***" in line for line in shown)


def test_a_refused_connection_names_the_host_not_the_key(
    connected: Connected, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with Loopback() as server:
        address = server.address
    named = r"IBM: cannot reach the price service \(no network\?\): 127\.0\.0\.1; try later"
    with pytest.raises(NoData, match=named) as caught:
        connected(address).daily("IBM")
    assert KEY not in everything_about(caught.value) + caplog.text


def test_a_series_that_echoes_the_key_is_kept_without_it(
    connected: Connected, tmp_path: Path
) -> None:
    echoing = DAILY.replace(b"Daily Prices", f"Prices for {KEY.lower()}".encode())
    with Loopback(loopback.whole(echoing)) as server:
        payload = connected(server).daily("IBM")
    kept = archive(payload, tmp_path / "payloads")
    assert KEY.lower().encode() not in gzip.decompress(kept.read_bytes()).lower()
    assert len(parse_daily(read_archived(kept), "IBM", last_final=date(2026, 11, 20)))


class Unsent(HTTPAdapter):
    """Keeps the last request that it is given, and sends none."""

    def send(self, request: PreparedRequest, *_: object, **__: object) -> NoReturn:
        self.request = request
        raise ConnectionError


@pytest.mark.parametrize("kind", [AlphaVantage, Tiingo])
def test_a_login_in_netrc_neither_replaces_the_key_nor_is_sent_beside_it(
    kind: type[PriceProvider], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("default login me password mine")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    unsent = Unsent()
    with kind({kind.key_variable: KEY}, FileNotes(tmp_path), sleep=lambda _: None) as client:
        client._http.mount("https://", unsent)
        with pytest.raises(NoData):
            client.daily("IBM")
    assert KEY in f"{unsent.request.url}{unsent.request.headers}"
    assert unsent.request.headers.get("Authorization") in (None, f"Token {KEY}")


def test_neither_client_nor_key_can_be_pickled_or_printed(connected: Connected) -> None:
    client = connected("https://www.alphavantage.co")
    for secret in (client, ApiKey(KEY)):
        assert KEY not in repr(secret)
        with pytest.raises(TypeError, match="not pickled"):
            pickle.dumps(secret)
