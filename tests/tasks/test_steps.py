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


@pytest.mark.parametrize(
    ("module", "of"),
    [
        ("nights.evaluate", {"evaluate"}),
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


AGAIN = "; `stockml import IBM` asks again"


@pytest.mark.parametrize(
    ("answer", "status", "said"),
    [
        (
            {"detail": "Invalid token."},
            403,
            "no history from tiingo: IBM: expected a valid Tiingo key in TIINGO_API_KEY, found "
            f"Invalid token.; find it at tiingo.com/account/api{AGAIN}",
        ),
        (b"", 429, f"no history from tiingo: HTTP 429: no words{AGAIN} once this hour is over"),
        (
            {"detail": "Ticker 'IBM' not found"},
            404,
            "no history from tiingo: Ticker 'IBM' not found",
        ),
        (
            tiingo_rows("MSFT"),
            200,
            "IBM: expected one lasting ratio between imported and stored closes, ",
        ),
        (tiingo_rows("IBM")[-100:], 200, "history from tiingo was there already"),
    ],
)
def test_what_the_second_provider_refuses_ends_no_night_and_says_how_to_ask_again(
    home: HomePaths, monkeypatch: pytest.MonkeyPatch, answer: object, status: int, said: str
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
    assert told.startswith(said)
    assert (AGAIN in told) == (AGAIN in said)
