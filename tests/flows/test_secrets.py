"""The API key appears nowhere: not in what a night leaves behind, not in its logs, not in what it raises."""

import logging
import traceback
from datetime import date
from typing import Any

import pytest

from flows.nightly import nightly
from stockml.errors import StockmlError
from stockml.home import Home
from tests.support import replaying
from tests.support.scripted_feed import RESET, SHORT_READ, Fault, ScriptedFeed
from tests.support.secret_key import KEY, prefect_database, with_key

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]

THURSDAY = date(2013, 2, 28)
ECHO = b'{"Information": "We have detected your API key as %s and our standard API rate limit is 25 requests per day."}'
PAGE = b'<html><a href="/query?function=TIME_SERIES_DAILY&apikey=%s">%s</a></html>'
FAULTS = {
    "an answer that echoes the key": Fault.of(ECHO % KEY.encode()),
    "a proxy's page with the address": Fault.of(PAGE % (KEY.encode(), KEY.encode()), status=502),
    "a reset connection": RESET,
    "half an answer": SHORT_READ,
    "a bad key": Fault.of(b'{"Error Message": "the parameter apikey is invalid or missing. Yours: %s"}' % KEY.encode()),
}


@pytest.fixture
def asked(home: Home, feed: ScriptedFeed, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A night of IBM with a key that would be recognised anywhere."""
    replaying.use(feed, monkeypatch)
    monkeypatch.setenv("ALPHAVANTAGE_API_KEY", KEY)
    feed.set_clock(THURSDAY)
    monkeypatch.setenv("STOCKML_CLOCK", feed.now.isoformat())  # nothing is waited for before a request is tried again
    replaying.fill(home, ["IBM"])
    return {"ticker": "IBM", "session": THURSDAY, "settings": replaying.SMALL, "late_retries": 0}


def test_a_night_leaves_the_key_nowhere(
    asked: dict[str, Any], home: Home, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.DEBUG, logger="urllib3"):
        assert nightly(**asked, return_state=True).is_completed()
    kept = {path.relative_to(home.root).parts[0] for path in home.root.rglob("*") if path.is_file()}
    assert {"artifacts", "ledger", "mlflow.db", "models", "nights", "payloads", "quota", "results", "store"} <= kept
    assert list(with_key(home.root)) == []
    assert list(prefect_database().glob("*.db"))
    assert list(with_key(prefect_database())) == []
    shown = capfd.readouterr()
    assert KEY not in caplog.text + shown.out + shown.err


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_failed_night_does_not_name_the_key(
    fault: Fault,
    asked: dict[str, Any],
    home: Home,
    feed: ScriptedFeed,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("tasks.steps.fetch_daily.retry_delay_seconds", 0)
    feed.outage(fault)
    with caplog.at_level(logging.DEBUG):
        state = nightly(**asked, return_state=True)
    ended = state.result(raise_on_failure=False)
    told = [str(state), repr(ended)]
    if isinstance(ended, BaseException):
        assert isinstance(ended, StockmlError)
        told += traceback.format_exception(ended)
    shown = capfd.readouterr()
    assert KEY not in "".join([*told, caplog.text, shown.out, shown.err]).upper()
    assert list(with_key(home.root)) + list(with_key(prefect_database())) == []
