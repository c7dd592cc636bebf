"""The provider refuses: every kind of payload that is no usable series, through the real flow over
real HTTP.

How each night ends and after how many requests, that nothing but the quota's own file is left
behind, and that no key is in what is said, logged, kept or raised. For how every single payload
ends, see the parser's tests.
"""

import logging
import sys
import threading
import time
import traceback
from dataclasses import dataclass, replace
from datetime import date
from statistics import median
from typing import Any

import pytest

from flows.nightly import nightly
from stockml import clock
from stockml.errors import StockmlError
from stockml.forecasts.ledger import Ledger
from tests.support import PAYLOADS, loopback, replaying
from tests.support.loopback import Answer, Loopback
from tests.support.night_process import stored
from tests.support.scripted_feed import Fault, ScriptedFeed
from tests.support.secret_key import KEY, prefect_database, with_key

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]

ECHOED_KEY = "ABCDEF0123456789"  # in info_daily_limit_key.json
THURSDAY = date(2013, 2, 28)
ASKED: dict[str, Any] = {
    "ticker": "IBM",
    "session": THURSDAY,
    "settings": replaying.SMALL,
    "late_retries": 0,
}
GOOD = (PAYLOADS / "daily_compact.json").read_bytes()
TWICE = GOOD.replace(b"2026-11-19", b"2026-11-20")


@dataclass(frozen=True)
class Ending:
    """How a night ends: state and error, after how many requests, and the usual wait between two of
    them."""

    state: str
    requests: int
    wait_s: int = 0


NO_DATA = Ending("Skipped: no answer", 6, 2)
BURST = Ending("Skipped: no answer", 6, 1)
MINUTE = Ending("Skipped: no answer", 6, 65)
UNKNOWN = Ending("Failed: UnknownSymbol", 6, 2)  # whether it is delisted is asked too
QUOTA = Ending("Skipped: quota", 1)
BAD_KEY = Ending("Failed: BadKey", 1)
PREMIUM = Ending("Failed: PremiumOnly", 1)
NOT_ITS_OWN = Ending("Failed: BadPayload", 1)


def answer_of(file):
    return loopback.whole((PAYLOADS / file).read_bytes())


REFUSALS: dict[str, tuple[Answer, Ending, str]] = {
    # what the provider answers: how the night ends, and what its message says
    "too fast": (answer_of("info_burst_free_1rps.json"), BURST, "ask again in 2 s"),
    "too many": (answer_of("info_premium_minute_limit.json"), MINUTE, "ask again in 65 s"),
    "the day's refusal": (answer_of("info_daily_limit_key.json"), QUOTA, "your API key as ***"),
    "premium": (answer_of("info_premium_endpoint.json"), PREMIUM, "DAILY needs a premium key"),
    "unknown": (answer_of("err_invalid_symbol.json"), UNKNOWN, "check the spelling"),
    "another's": (answer_of("daily_with_split_unadjusted.json"), NOT_ITS_OWN, "that of 'SPLT'"),
    "the key echoed with the day's refusal": (loopback.echo, QUOTA, "your API key as ***"),
    "a bad key, which is shown": (loopback.bad_key, BAD_KEY, "ALPHAVANTAGE_API_KEY"),
    "a proxy's page with the address in it": (loopback.page, NO_DATA, "HTTP 502"),
    "half a body": (loopback.short(GOOD), NO_DATA, "no complete answer from 127.0.0.1"),
    "a session that comes twice": (loopback.whole(TWICE), NOT_ITS_OWN, "twice"),
}


@pytest.fixture
def waits(monkeypatch):
    """How long the nights would have waited for the provider. Their thread sleeps for nothing, also
    not between a step's two attempts."""
    waited, slept = list[float](), time.sleep
    main = threading.main_thread()  # in which nights run

    def wait(seconds):
        if threading.current_thread() is not main:
            slept(seconds)
        elif sys._getframe(1).f_globals["__name__"] == clock.__name__:
            waited.append(seconds)

    monkeypatch.setattr(time, "sleep", wait)
    return waited


@pytest.fixture
def ready(ready, monkeypatch, waits):
    monkeypatch.setenv("ALPHAVANTAGE_API_KEY", KEY)
    return ready


def usual(waits):
    """In whole seconds, without waits for a slot."""
    return int(median([wait for wait in waits if wait >= 1] or [0]))


def named(state):
    """A completed state by its name, a failed one by its error as well."""
    if state.is_completed():
        return str(state.name)
    error = state.result(raise_on_failure=False)
    assert isinstance(error, StockmlError), error
    return f"{state.name}: {type(error).__name__}"


@pytest.fixture
def said(caplog, capfd):
    """Collects what is said of the nights; in the end no key may be in it, or in anything shown or
    logged."""
    told: list[str] = []
    with caplog.at_level(logging.DEBUG):
        yield told
    shown = capfd.readouterr()
    everything = "".join([*told, caplog.text, shown.out, shown.err]).upper()
    assert [key for key in (KEY, ECHOED_KEY) if key in everything] == []


def test_every_kind_of_refusal_ends_as_it_should_and_the_next_good_answer_completes_the_night(
    ready, waits, said, monkeypatch
):
    before = stored(ready)
    for number, (name, (answer, ending, words)) in enumerate(REFUSALS.items()):
        waits.clear()
        with Loopback(answer) as provider, monkeypatch.context() as asked:
            asked.setenv("ALPHAVANTAGE_URL", provider.address)
            # each key has a day's quota of its own
            asked.setenv("ALPHAVANTAGE_API_KEY", f"{KEY}-{number}")
            state = nightly(**ASKED, return_state=True)
        assert Ending(named(state), len(provider.asked), usual(waits)) == ending, name
        assert words in state.message, name
        result = state.result(raise_on_failure=False)
        said += [str(state), repr(result)]
        said += traceback.format_exception(result) if isinstance(result, BaseException) else []
        assert stored(ready) == before, name
    assert not ready.payloads.exists()

    night = nightly(**ASKED, return_state=True).result()
    assert (night.status, night.rows_added) == ("completed", 6)
    assert list(prefect_database().glob("*.db"))
    for key in (KEY, ECHOED_KEY):
        assert [*with_key(ready.root, key), *with_key(prefect_database(), key)] == []


SPLIT_DAY = date(2005, 2, 28)


def test_when_splits_are_refused_the_bars_are_kept_and_the_next_run_asks_again(
    with_tables, waits, monkeypatch
):
    """Apple's share was split two for one: its night may not go on before the provider has said
    so."""
    asked, store = ASKED | {"ticker": "AAPL", "session": SPLIT_DAY}, replaying.store_of(with_tables)
    replaying.fill(with_tables, ["AAPL"], until=date(2005, 2, 25))

    def refuse_splits(request):
        feed.outage(Fault.file(PAYLOADS / "info_premium_minute_limit.json"))

    with ScriptedFeed(on_request=refuse_splits) as feed:
        feed.set_clock(SPLIT_DAY)
        replaying.use(feed, monkeypatch)
        state = nightly(**asked, return_state=True)
        # the bars' own request is the first
        assert Ending(named(state), feed.requests, usual(waits)) == replace(MINUTE, requests=7)
        assert store.last_session("AAPL") == SPLIT_DAY
        feed.then = lambda request: None
        feed.outage(None)
        assert nightly(**asked, return_state=True).result().status == "completed"
    assert [split.effective for split in store.splits("AAPL")][-1] == SPLIT_DAY


def test_a_bar_that_is_not_believed_publishes_nothing_and_its_restatement_is_an_ordinary_night(
    ready, feed
):
    def tenfold(symbol, row, now):
        prices = {name: getattr(row, name) * 10 for name in ("open", "high", "low", "close")}
        return row._replace(**prices) if row.session == THURSDAY else row

    usual, feed.edit = feed.edit, tenfold
    state = nightly(**ASKED, return_state=True)
    assert (state.name, state.is_completed()) == ("Set aside", True)
    assert replaying.store_of(ready).last_session("IBM") == THURSDAY
    assert Ledger(ready.ledger).last_session("IBM") is None
    feed.edit = usual
    night = nightly(**ASKED, force=True, return_state=True).result()
    assert (night.status, night.rows_restated) == ("completed", 1)


@pytest.mark.parametrize(
    ("faults", "requests"),
    [  # its bars are still there, or its symbol no more
        ([], 2),
        ([Fault.file(PAYLOADS / "err_invalid_symbol.json")] * 3, 4),
    ],
)
def test_a_delisted_share_is_asked_about_once_and_then_rests(ready, feed, faults, requests):
    feed.script(*faults, symbol="IBM")
    feed.delisted = {"IBM": date(2013, 2, 21)}
    for _ in range(2):
        state = nightly(**ASKED, return_state=True)
        assert (state.name, feed.requests) == ("At rest", requests)
    assert "taken off its exchange on 2013-02-21" in str(state.message)
