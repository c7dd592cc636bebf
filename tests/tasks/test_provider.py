"""Who is asked for prices, and whose turn it is: by the environment, the home and the key's
plan."""

from contextlib import ExitStack
from datetime import date

import pytest
from prefect.blocks.system import Secret
from prefect.settings import PREFECT_API_URL, temporary_settings

from deployments.replay import REPLAY
from stockml import clock
from stockml.errors import BadKey, MixedPrices, PremiumOnly
from stockml.prices.calendar import sessions_for
from stockml.provider.price_source import claim
from stockml.provider.quota import noted_turns
from stockml.storage.locks import FileNotes
from tasks.provider import (
    _key_from_block,
    history_is_elsewhere,
    join_turns,
    plan_gives_history,
    provider,
    turn_of,
)

TONIGHT, BEFORE, LONG_AGO = date(2013, 3, 1), date(2013, 2, 28), date(2013, 2, 1)
NEW_YORK = sessions_for("IBM")


@pytest.fixture(autouse=True)
def _keyed(home, monkeypatch):
    """A market's home and a free key, of which nothing is asked."""
    for name in ("STOCKML_CLOCK", "ALPHAVANTAGE_PLAN", "TIINGO_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ALPHAVANTAGE_API_KEY", "K3Y12345")
    monkeypatch.setenv("ALPHAVANTAGE_URL", "http://127.0.0.1:9")


def test_the_market_is_not_asked_for_a_replays_home(home):
    with provider() as asked:
        assert asked.remaining() == 25
    claim(home, "replay")
    with pytest.raises(MixedPrices):
        provider()


def test_history_comes_from_the_second_provider_only_with_its_key_on_a_free_plan_and_in_no_replay(
    home, monkeypatch
):
    assert (history_is_elsewhere(), plan_gives_history()) == (False, False)
    monkeypatch.setenv("TIINGO_API_KEY", "K3Y12345")
    assert history_is_elsewhere()
    monkeypatch.setenv("ALPHAVANTAGE_PLAN", "75/min")
    assert (history_is_elsewhere(), plan_gives_history()) == (False, True)
    monkeypatch.delenv("ALPHAVANTAGE_PLAN")
    claim(home, "replay")
    assert not history_is_elsewhere()


def test_turns_are_noted_for_a_capped_key_alone(home, monkeypatch):
    with monkeypatch.context() as premium:
        premium.setenv("ALPHAVANTAGE_PLAN", "75/min")
        assert join_turns({"IBM": BEFORE}) == {"IBM": BEFORE}
        assert turn_of("IBM", TONIGHT, NEW_YORK) is None
        assert not home.quota.exists()
    join_turns({f"T{n:02}": LONG_AGO for n in range(25)} | {"IBM": BEFORE, "KO": TONIGHT})
    assert noted_turns(FileNotes(home.quota), clock.now())["IBM"] == BEFORE
    assert turn_of("T00", TONIGHT, NEW_YORK) is None
    assert turn_of("KO", TONIGHT, NEW_YORK) is None, "it has its bar, and asks for none"
    assert turn_of("IBM", TONIGHT, NEW_YORK) is not None


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
def test_without_a_key_in_the_environment_it_is_that_of_the_servers_secret_block(feed, monkeypatch):
    """Told apart by the full series, which the feed gives to a premium key alone; asked again while
    the server restarts."""
    monkeypatch.setenv("ALPHAVANTAGE_URL", feed.address)
    monkeypatch.setenv("ALPHAVANTAGE_PLAN", "1200/min")

    def ask():
        with provider() as asked:
            asked.daily("IBM", "full")

    with pytest.raises(PremiumOnly):
        ask()
    monkeypatch.delenv("ALPHAVANTAGE_API_KEY")
    with pytest.raises(BadKey, match="found none"):
        ask()
    Secret(value=REPLAY["ALPHAVANTAGE_API_KEY"]).save("alphavantage-api-key", _sync=True)
    with ExitStack() as restart:
        restart.enter_context(temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}))
        monkeypatch.setattr(_key_from_block.retry, "sleep", lambda _: restart.close())  # type: ignore[attr-defined]
        ask()
    Secret.delete("alphavantage-api-key", _sync=True)
