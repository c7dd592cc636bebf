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
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from statistics import median
from typing import Any

import pytest
from prefect.states import State

from deployments.replay import Asked, RecordedRow
from flows.nightly import nightly
from stockml import clock
from stockml.errors import StockmlError
from stockml.forecasts.ledger import Ledger
from stockml.home import HomePaths
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
GOOD, HEROKU = (
    (PAYLOADS / name).read_bytes() for name in ("daily_compact.json", "html_503_heroku_2018.html")
)


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

REFUSALS: dict[str, tuple[Ending, str]] = {
    # the file that the provider answers with: how the night ends, and what its message says
    "info_burst_free_1rps.json": (BURST, "asked too fast, ask again in 2 s"),
    "info_premium_minute_limit.json": (MINUTE, "ask again in 65 s"),
    "info_daily_limit_key.json": (QUOTA, "your API key as ***"),
    "info_premium_endpoint.json": (PREMIUM, "TIME_SERIES_DAILY needs a premium key"),
    "err_invalid_symbol.json": (UNKNOWN, "check the spelling"),
    "daily_with_split_unadjusted.json": (NOT_ITS_OWN, "found that of 'SPLT'"),
}
FAULTS: dict[str, tuple[Answer, Ending, str]] = {
    # what goes wrong on the way: how the night ends, and what its message says
    "the key echoed with the day's refusal": (loopback.echo, QUOTA, "your API key as ***"),
    "a bad key, which is shown": (loopback.bad_key, BAD_KEY, "ALPHAVANTAGE_API_KEY"),
    "a proxy's page with the address in it": (loopback.page, NO_DATA, "HTTP 502"),
    "a redirect": (loopback.redirect, NO_DATA, "HTTP 302"),
    "a reset connection": (loopback.reset, NO_DATA, "no complete answer from 127.0.0.1"),
    "half a body": (loopback.short(GOOD), NO_DATA, "no complete answer from 127.0.0.1"),
    "a body without end": (loopback.endless, NO_DATA, "bytes"),
    "a session that comes twice": (
        loopback.whole(GOOD.replace(b"2026-11-19", b"2026-11-20")),
        NOT_ITS_OWN,
        "twice",
    ),
}


def expected() -> dict[str, tuple[Answer, Ending, str]]:
    files = {
        name: (loopback.whole((PAYLOADS / name).read_bytes()), ending, words)
        for name, (ending, words) in REFUSALS.items()
    }
    return files | FAULTS


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the nights would have waited for the provider. Their thread sleeps for nothing, also
    not between a step's two attempts."""
    waited, slept = list[float](), time.sleep
    main = threading.main_thread()  # in which nights run

    def wait(seconds: float) -> None:
        if threading.current_thread() is not main:
            slept(seconds)
        elif sys._getframe(1).f_globals["__name__"] == clock.__name__:
            waited.append(seconds)

    monkeypatch.setattr(time, "sleep", wait)
    return waited


@pytest.fixture
def ready(
    with_tables: HomePaths, feed: ScriptedFeed, monkeypatch: pytest.MonkeyPatch, waits: list[float]
) -> HomePaths:
    """IBM's bars up to a week before Thursday's night, and a feed at it."""
    replaying.use(feed, monkeypatch)
    monkeypatch.setenv("ALPHAVANTAGE_API_KEY", KEY)
    feed.set_clock(THURSDAY)
    replaying.fill(with_tables, ["IBM"])
    return with_tables


def usual(waits: list[float]) -> int:
    """In whole seconds, without waits for a slot."""
    return int(median([wait for wait in waits if wait >= 1] or [0]))


def named(state: State) -> str:
    """A completed state by its name, a failed one by its error as well."""
    if state.is_completed():
        return str(state.name)
    error = state.result(raise_on_failure=False)
    assert isinstance(error, StockmlError), error
    return f"{state.name}: {type(error).__name__}"


@pytest.fixture
def said(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> Iterator[list[str]]:
    """Collects what is said of the nights; in the end no key may be in it, or in anything shown or
    logged."""
    told: list[str] = []
    with caplog.at_level(logging.DEBUG):
        yield told
    shown = capfd.readouterr()
    everything = "".join([*told, caplog.text, shown.out, shown.err]).upper()
    assert [key for key in (KEY, ECHOED_KEY) if key in everything] == []


def test_every_kind_of_refusal_ends_as_it_should_and_the_next_good_answer_completes_the_night(
    ready: HomePaths, waits: list[float], said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before, ended, unsaid = stored(ready), {}, []
    for number, (name, (answer, _, words)) in enumerate(expected().items()):
        waits.clear()
        with Loopback(answer) as provider, monkeypatch.context() as asked:
            asked.setenv("ALPHAVANTAGE_URL", provider.address)
            # each key has a day's quota of its own
            asked.setenv("ALPHAVANTAGE_API_KEY", f"{KEY}-{number}")
            state = nightly(**ASKED, return_state=True)
        ended[name] = Ending(named(state), len(provider.asked), usual(waits))
        unsaid += [] if words in state.message else [(name, state.message)]
        result = state.result(raise_on_failure=False)
        said += [str(state), repr(result)]
        said += traceback.format_exception(result) if isinstance(result, BaseException) else []
        assert stored(ready) == before, name
    assert ended == {name: ending for name, (_, ending, _) in expected().items()}
    assert unsaid == []
    assert not ready.payloads.exists()

    night = nightly(**ASKED, return_state=True).result()
    assert (night.status, night.rows_added) == ("completed", 6)
    assert list(prefect_database().glob("*.db"))
    for key in (KEY, ECHOED_KEY):
        assert [*with_key(ready.root, key), *with_key(prefect_database(), key)] == []


def test_a_day_whose_quota_is_spent_gets_no_more_requests_and_the_next_day_catches_up(
    ready: HomePaths, feed: ScriptedFeed, waits: list[float]
) -> None:
    feed.script(Fault.file(PAYLOADS / "info_daily_limit_2024.json"))
    assert [nightly(**ASKED, return_state=True).name for _ in range(2)] == ["Skipped: quota"] * 2
    assert feed.requests == 1
    for spent in ready.quota.glob("*.json"):
        spent.rename(spent.with_name(spent.name.replace(spent.stem[-10:], "2013-02-27")))
    assert nightly(**ASKED, return_state=True).result().rows_added == 6


SPLIT_DAY = date(2005, 2, 28)
AFTER_THE_BARS: dict[str, Ending] = {
    # what SPLITS is answered with, once the bars are stored; the bars' own request is the first
    "info_daily_limit_key.json": Ending("Skipped: quota", 2),
    "err_invalid_symbol.json": Ending("Failed: UnknownSymbol", 4, 2),
    "info_premium_minute_limit.json": Ending("Skipped: no answer", 7, 65),
}


def test_when_splits_are_refused_the_bars_are_kept_and_the_next_run_asks_again(
    with_tables: HomePaths, waits: list[float], monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    """Apple's share was split two for one: its night may not go on before the provider has said
    so."""
    asked = ASKED | {"ticker": "AAPL", "session": SPLIT_DAY}
    store = replaying.store_of(with_tables)
    replaying.fill(with_tables, ["AAPL"], until=date(2005, 2, 25))
    refusal = {"file": ""}

    def refuse_splits(request: Asked) -> None:
        if request.function == "TIME_SERIES_DAILY" and refusal["file"]:
            feed.outage(Fault.file(PAYLOADS / refusal["file"]))

    with ScriptedFeed(on_request=refuse_splits) as feed:
        feed.set_clock(SPLIT_DAY)
        replaying.use(feed, monkeypatch)
        ended = {}
        for number, name in enumerate(AFTER_THE_BARS):
            monkeypatch.setenv("ALPHAVANTAGE_API_KEY", f"{KEY}-{number}")
            waits.clear()
            feed.outage(None)
            refusal["file"], requests = name, feed.requests
            state = nightly(**asked, force=True, return_state=True)
            ended[name] = Ending(named(state), feed.requests - requests, usual(waits))
            said.append(str(state))
            assert store.last_session("AAPL") == SPLIT_DAY
        assert ended == AFTER_THE_BARS
        refusal["file"] = ""
        feed.outage(None)
        night = nightly(**asked, return_state=True).result()
    assert night.status == "completed"
    assert [split.effective for split in store.splits("AAPL")][-1] == SPLIT_DAY


def test_a_bar_that_is_not_believed_publishes_nothing_and_its_restatement_is_an_ordinary_night(
    ready: HomePaths, feed: ScriptedFeed
) -> None:
    def tenfold(symbol: str, row: RecordedRow, now: datetime) -> RecordedRow:
        if row.session != THURSDAY:
            return row
        prices = {name: getattr(row, name) * 10 for name in ("open", "high", "low", "close")}
        return row._replace(**prices)

    feed.edit = tenfold
    state = nightly(**ASKED, return_state=True)
    assert (state.name, state.is_completed()) == ("Set aside", True)
    assert replaying.store_of(ready).last_session("IBM") == THURSDAY
    assert Ledger(ready.ledger).last_session("IBM") is None
    feed.edit = lambda symbol, row, now: row
    night = nightly(**ASKED, force=True, return_state=True).result()
    assert (night.status, night.rows_restated) == ("completed", 1)


@pytest.mark.parametrize("fault", [None, Fault.file(PAYLOADS / "err_invalid_symbol.json")])
def test_a_delisted_share_is_asked_about_once_and_then_rests(
    ready: HomePaths, feed: ScriptedFeed, fault: Fault | None
) -> None:
    # its bars are still there, or its symbol no more
    feed.script(*[fault] * 3 if fault else [], symbol="IBM")
    feed.delisted = {"IBM": date(2013, 2, 21)}
    for requests in (4, 4) if fault else (2, 2):
        state = nightly(**ASKED, return_state=True)
        assert (state.name, feed.requests) == ("At rest", requests)
    assert "taken off its exchange on 2013-02-21" in str(state.message)
