"""A night's steps: the code of each is what its module imports, so that no other step runs
again."""

from datetime import UTC, datetime

import pytest

from stockml.code_version import sources
from tasks import steps
from tests.stockml.provider.test_tiingo import sends, tiingo_rows
from tests.support.loopback import Loopback
from tests.support.publishing import record
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
def test_a_steps_code_is_what_its_module_imports(module, of):
    found = (each for each in vars(steps).values() if getattr(each, "cache_key_fn", None))
    assert {each.name for each in found if module in sources(*each.cache_key_fn.args)} == of


@pytest.mark.parametrize(
    ("answer", "status", "said", "asked_again"),
    [
        ({"detail": "Invalid token."}, 403, "TIINGO_API_KEY", True),
        ({"detail": "Ticker 'IBM' not found"}, 404, "Ticker 'IBM' not found", False),
        (tiingo_rows("IBM")[-100:], 200, "was there already", False),
    ],
)
def test_what_the_second_provider_refuses_ends_no_night_and_says_how_to_ask_again(
    home,
    monkeypatch,
    answer,
    status,
    said,
    asked_again,
):
    now = datetime(2013, 3, 2, 5, tzinfo=UTC)
    record(home, recorded("IBM").iloc[-100:], now.date())
    monkeypatch.setenv("STOCKML_CLOCK", now.isoformat())  # so nothing is waited for
    monkeypatch.setenv("TIINGO_API_KEY", "mine1234567")
    with Loopback(sends(answer, status)) as second:
        monkeypatch.setenv("TIINGO_URL", second.address)
        told = steps.import_history.fn("IBM", None, now)
    assert said in told
    assert ("asks again" in told) == asked_again


def test_an_input_without_an_identity_is_refused():
    with pytest.raises(TypeError, match="expected a receipt"):
        steps.identity(object())
