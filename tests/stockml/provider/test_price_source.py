"""A home holds a replay's prices or the market's: a first answer settles which, and the other kind
is then refused."""

import pytest

from stockml.errors import MixedPrices, RecordUnreadable
from stockml.home import current_home as home_of
from stockml.provider.price_source import (
    FILE,
    check,
    claim,
    kind_here,
    kind_in,
    plays_recorded,
    replay_home,
)


def test_only_a_claim_settles_the_kind_of_prices_and_the_other_kind_is_then_refused(home):
    check(home, "market")
    assert kind_in(home) is None
    claim(home, "replay")
    claim(home, "replay")
    for refusing in (check, claim):
        with pytest.raises(MixedPrices):
            refusing(home, "market")
    assert kind_in(home) == "replay"


def test_what_the_home_holds_goes_before_what_the_environment_names(home):
    clock, key = (
        {"STOCKML_CLOCK": "2013-03-01T23:00:00-05:00"},
        {"ALPHAVANTAGE_API_KEY": "K3Y12345"},
    )
    named = ({}, clock, key, clock | key)
    assert [kind_here(home, each) for each in named] == ["replay", "replay", "market", "replay"]
    assert [plays_recorded(home, each) for each in named] == [True, True, False, False]
    claim(home, "market")
    assert {kind_here(home, each) for each in named} == {"market"}
    assert not any(plays_recorded(home, each) for each in named)


def test_a_replay_has_a_home_of_its_own_within_the_markets_and_is_its_own_once_it_is_one(tmp_path):
    environ = {"STOCKML_HOME": str(tmp_path / "home"), "STOCKML_STORE": "/srv/store"}
    inner = replay_home(environ)
    assert (inner.root, inner.store) == (
        tmp_path / "home" / "replay",
        tmp_path / "home" / "replay" / "store",
    )
    assert replay_home({"STOCKML_HOME": str(inner.root)}).root == inner.root
    (own := home_of({"STOCKML_HOME": str(tmp_path / "own")})).root.mkdir()
    claim(own, "replay")
    assert replay_home({"STOCKML_HOME": str(own.root)}).root == own.root


@pytest.mark.parametrize("content", ["", "[]", '{"prices": "both"}'])
def test_an_unreadable_kind_is_named_with_the_way_back_and_never_claimed_anew(home, content):
    home.root.mkdir()
    (home.root / FILE).write_text(content)
    for ask in (lambda: kind_here(home, {}), lambda: claim(home, "market")):
        with pytest.raises(RecordUnreadable, match=r"prices\.json.*restore it from a backup"):
            ask()
    assert (home.root / FILE).read_text() == content
