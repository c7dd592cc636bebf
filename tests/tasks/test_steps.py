"""A night's steps: the code of each is what its module imports, so that no other step runs
again."""

from datetime import UTC, datetime

import pytest

from stockml.code_version import sources
from stockml.home import HomePaths
from stockml.prices.store import BarStore
from tasks import steps
from tests.stockml.provider.test_tiingo import sends, tiingo_rows
from tests.support.loopback import Loopback
from tests.support.recordings import recorded

ASKING = {"fetch", "fetch history", "append", "explain jumps"}


@pytest.mark.parametrize(
    ("module", "of"),
    [
        ("nights.evaluate", {"evaluate"}),
        ("training.ticker_training", {"decide", "train", "evaluate", "log run"}),
        ("provider.client", ASKING),
        ("prices.store", {*ASKING, "renormalise", "log run"}),
        ("plots.forecast", {"log run"}),
        ("tracking.runs", {"log run"}),
        ("nights.universe", set()),
    ],
)
def test_a_steps_code_is_what_its_module_imports(module: str, of: set[str]) -> None:
    keys = {
        each.name: key
        for each in vars(steps).values()
        if (key := getattr(each, "cache_key_fn", None))
    }
    assert {name for name, key in keys.items() if module in sources(*key.args)} == of


@pytest.mark.parametrize(
    ("answer", "status", "said", "asked_again"),
    [
        ({"detail": "Invalid token."}, 403, "TIINGO_API_KEY", True),
        (b"", 429, "once this hour is over", True),
        ({"detail": "Ticker 'IBM' not found"}, 404, "Ticker 'IBM' not found", False),
        (tiingo_rows("MSFT"), 200, "expected one lasting ratio", False),
        (tiingo_rows("IBM")[-100:], 200, "was there already", False),
    ],
)
def test_what_the_second_provider_refuses_ends_no_night_and_says_how_to_ask_again(
    home: HomePaths,
    monkeypatch: pytest.MonkeyPatch,
    answer: object,
    status: int,
    said: str,
    asked_again: bool,
) -> None:
    now, newest = datetime(2013, 3, 2, 5, tzinfo=UTC), recorded("IBM").iloc[-100:]
    BarStore.of(home).append(
        "IBM", newest, recorded_at=now, source="a test", session=newest.index[-1].date()
    )
    monkeypatch.setenv("STOCKML_CLOCK", now.isoformat())  # so nothing is waited for
    monkeypatch.setenv("TIINGO_API_KEY", "mine1234567")
    with Loopback(sends(answer, status)) as second:
        monkeypatch.setenv("TIINGO_URL", second.address)
        told = steps.import_history.fn("IBM", None, now)
    assert said in told
    assert ("asks again" in told) == asked_again
