"""What the list says of a ticker (calendar, profile, settings) decides its night, whichever command
runs it."""

import json
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.exceptions import PrefectHTTPStatusError

from deployments.registration.prefect_deployments import other_deployments, register
from deployments.registration.ticker_list import tickers_of
from deployments.registration.tickers_file import parsed
from flows.nightly import nightly
from stockml.forecasts.ledger import Ledger
from stockml.home import HomePaths
from stockml.nights.record import Night, kept_nights
from tests.support.commands import Captured, here
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
def listed(
    with_tables: HomePaths, monkeypatch: pytest.MonkeyPatch, prefect_server: None
) -> HomePaths:
    """A home whose list chooses a calendar (another name of XNYS) and settings for VOD, which is
    played by IBM."""
    with ScriptedFeed(aliases={"VOD": "IBM", "VOD.LON": "IBM"}) as feed:
        use(feed, monkeypatch)
        feed.set_clock(THURSDAY)
        fill(with_tables, {"VOD": "IBM"})
        with_tables.tickers.write_text(json.dumps({"tickers": [LISTED]}))
        yield with_tables


def nights(home: HomePaths) -> list[Night]:
    return kept_nights(home.nights, "VOD")


@pytest.mark.campaign
@pytest.mark.slow
def test_a_universes_night_of_a_listed_ticker_is_its_own_deployments(
    listed: HomePaths, capsys: Captured
) -> None:
    assert here("universe", ON, "--processes=1") == 0
    [night] = nights(listed)
    assert (night.calendar, night.settings["evaluation.direction_step"]) == ("NYSE", 20)
    [entry] = tickers_of(listed).tickers
    again = nightly(**entry.parameters(), session=THURSDAY, return_state=True).result()
    assert again.key == night.key
    [_] = Ledger(listed.ledger).entries("VOD")
    capsys.readouterr()
    assert here("nightly", "VOD", ON) == 0
    assert "nothing has changed since that night ran" in capsys.readouterr().err


@pytest.mark.campaign
@pytest.mark.slow
def test_what_a_command_is_given_goes_before_the_list(listed: HomePaths) -> None:
    """Setting by setting: the sessions of the parts stay the ticker's own."""
    given = ("--set=evaluation.direction_step=15", "--calendar=XNYS", "--profile=nightly")
    days = "2013-02-27", str(THURSDAY)
    assert here("backfill", "VOD", *days) == here("backfill", "VOD", *days, *given) == 0
    found = {
        (night.calendar, night.settings["evaluation.direction_step"]) for night in nights(listed)
    }
    assert found == {("NYSE", 20), ("XNYS", 15)}
    assert {night.settings["evaluation.test_sessions"] for night in nights(listed)} == {300}


def test_the_page_of_all_tickers_has_the_choices_of_each(prefect_server: None) -> None:
    """The server checks what a run is given by the form: also what an earlier version's deployment
    gives."""
    entries = parsed(json.dumps({"tickers": ["IBM", LISTED]}), "").tickers
    [wanted] = (each for each in other_deployments(entries) if each.flow == "universe.universe")
    register([wanted], delete_others=False)
    with get_client(sync_client=True) as client:
        page = client.read_deployment_by_name("universe/all tickers, one night")
        assert page.parameters == {"tickers": ["IBM", "VOD"], "choices": {"VOD": OWN}}
        with pytest.raises(PrefectHTTPStatusError, match="409"):
            client.create_flow_run_from_deployment(page.id, parameters={"choice": {}})
