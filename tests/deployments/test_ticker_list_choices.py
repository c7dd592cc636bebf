"""What the list says of a ticker (calendar, profile, settings) decides its night, whichever command
runs it."""

import json
from typing import Any

import pytest
from prefect.utilities.schema_tools.validation import is_valid

from deployments.registration.prefect_deployments import asked_form, other_deployments
from deployments.registration.ticker_list import tickers_of
from deployments.registration.tickers_file import parsed
from flows.nightly import nightly
from stockml.forecasts.ledger import Ledger
from stockml.nights.record import kept_nights
from tests.support.commands import here
from tests.support.json_fields import check_fields
from tests.support.replaying import SMALL, THURSDAY, fill, use
from tests.support.scripted_feed import ScriptedFeed

LISTED = {
    "ticker": "VOD",
    "calendar": "NYSE",
    "settings": {f"evaluation.{name}": value for name, value in SMALL["evaluation"].items()}
    | {"evaluation.direction_step": 20},
}
OWN: dict[str, Any] = {
    "calendar": "NYSE",
    "settings": {"evaluation": SMALL["evaluation"] | {"direction_step": 20}},
}
ON = f"--session={THURSDAY}"


@pytest.fixture
def listed(with_tables, monkeypatch, prefect_server):
    """A home whose list chooses a calendar (another name of XNYS) and settings for VOD, which is
    played by IBM."""
    with ScriptedFeed(aliases={"VOD": "IBM", "VOD.LON": "IBM"}) as feed:
        use(feed, monkeypatch)
        feed.set_clock(THURSDAY)
        fill(with_tables, {"VOD": "IBM"})
        with_tables.tickers.write_text(json.dumps({"tickers": [LISTED]}))
        yield with_tables


@pytest.mark.campaign
@pytest.mark.slow
def test_a_universes_night_of_a_listed_ticker_is_its_own_deployments_unless_a_command_says_else(
    listed, capsys
):
    """Setting by setting: the sessions of the parts stay the ticker's own."""

    def chosen():
        names = ("evaluation.direction_step", "evaluation.test_sessions")
        nights = kept_nights(listed.nights, "VOD")
        return sorted((night.calendar, *map(night.settings.get, names)) for night in nights)

    assert here("universe", ON, "--processes=1") == 0
    assert chosen() == [("NYSE", 20, 300)]
    [night], [entry] = kept_nights(listed.nights, "VOD"), tickers_of(listed).tickers
    again = nightly(**entry.parameters(), session=THURSDAY, return_state=True).result()
    assert again.key == night.key
    [_] = Ledger(listed.ledger).entries("VOD")
    capsys.readouterr()
    assert here("nightly", "VOD", ON) == 0
    assert "nothing has changed since that night ran" in capsys.readouterr().err
    days = ["2013-02-27", str(THURSDAY)]
    given = ("--set=evaluation.direction_step=15", "--calendar=XNYS", "--profile=nightly")
    assert here("backfill", "VOD", *days, *given, "--every-night", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    check_fields("backfill", found)
    assert [row["session"] for row in found["nights"]] == days
    assert chosen() == [("NYSE", 20, 300), *[("XNYS", 15, 300)] * 2]


def test_the_page_of_all_tickers_has_the_choices_of_each_and_takes_nothing_else():
    entries = parsed(json.dumps({"tickers": ["IBM", LISTED]}), "").tickers
    [wanted] = (each for each in other_deployments(entries) if each.flow == "universe.universe")
    assert wanted.parameters == {"tickers": ["IBM", "VOD"], "choices": {"VOD": OWN}}
    assert not is_valid(wanted.parameters | {"choice": {}}, asked_form(wanted))
