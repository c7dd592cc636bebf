"""What the list says of a ticker (calendar, profile, settings) decides its night, whichever command runs it."""

import json
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.exceptions import PrefectHTTPStatusError

from deployments.registration.prefect_deployments import form_of, other_deployments, register
from deployments.registration.ticker_list import tickers_of
from deployments.registration.tickers_file import parsed
from flows.nightly import nightly
from stockml.forecasts.ledger import Ledger
from stockml.home import HomePaths
from stockml.nights.record import Night, kept_nights
from stockml.provider.price_source import claim
from tests.support.commands import Captured, here
from tests.support.recordings import recorded
from tests.support.replaying import SMALL, THURSDAY, fill, use
from tests.support.scripted_feed import ScriptedFeed

LISTED = {
    "ticker": "VOD",
    "calendar": "NYSE",
    "settings": {f"evaluation.{name}": value for name, value in SMALL["evaluation"].items()}
    | {"evaluation.direction_step": 20},
}
OWN: dict[str, Any] = {"calendar": "NYSE", "settings": {"evaluation": SMALL["evaluation"] | {"direction_step": 20}}}
ON = f"--session={THURSDAY}"


@pytest.fixture
def listed(with_tables: HomePaths, monkeypatch: pytest.MonkeyPatch, prefect_server: None) -> HomePaths:
    """A home whose list chooses a calendar (another name of XNYS) and settings for VOD, which is played by IBM."""
    with ScriptedFeed(aliases={"VOD": "IBM", "VOD.LON": "IBM"}) as feed:
        use(feed, monkeypatch)
        feed.set_clock(THURSDAY)
        fill(with_tables, {"VOD": "IBM"})
        with_tables.tickers.write_text(json.dumps({"tickers": [LISTED]}))
        yield with_tables


def nights(home: HomePaths) -> list[Night]:
    return kept_nights(home.nights, "VOD")


@pytest.mark.slow
def test_a_universes_night_of_a_listed_ticker_is_its_own_deployments(listed: HomePaths, capsys: Captured) -> None:
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


@pytest.mark.slow
def test_what_a_command_is_given_goes_before_the_list(listed: HomePaths) -> None:
    """Setting by setting: the sessions of the parts stay the ticker's own."""
    given = ("--set=evaluation.direction_step=15", "--calendar=XNYS", "--profile=nightly")
    days = "2013-02-27", str(THURSDAY)
    assert here("backfill", "VOD", *days) == here("backfill", "VOD", *days, *given) == 0
    found = {(night.calendar, night.settings["evaluation.direction_step"]) for night in nights(listed)}
    assert found == {("NYSE", 20), ("XNYS", 15)}
    assert {night.settings["evaluation.test_sessions"] for night in nights(listed)} == {300}


@pytest.mark.slow
def test_bars_and_the_doctor_go_by_the_calendar_of_the_nights(
    listed: HomePaths, tmp_path: Path, capsys: Captured
) -> None:
    """By its suffix, London's calendar, half of these bars are of no session, and as many sessions lack one."""
    listed.tickers.write_text(json.dumps({"tickers": [LISTED | {"ticker": "VOD.LON"}]}))
    file = tmp_path / "bars.csv"
    recorded("IBM").to_csv(file, index_label="Date")
    assert here("import", "VOD.LON", str(file)) == 0
    assert here("nightly", "VOD.LON", ON) == 0
    capsys.readouterr()
    assert here("bars", "VOD.LON", "--holes") == 0
    assert "every session has a bar that is believed" in capsys.readouterr().out
    here("doctor", "--json")
    [found] = (each for each in json.loads(capsys.readouterr().out)["checks"] if each["name"] == "VOD.LON")
    assert "without a bar" not in found["found"]


def test_the_page_of_all_tickers_has_the_choices_of_each(prefect_server: None) -> None:
    """The server checks what a run is given by the form: also what an earlier version's deployment gives."""
    entries = parsed(json.dumps({"tickers": ["IBM", LISTED]}), "").tickers
    [wanted] = (each for each in other_deployments(entries) if each.flow == "universe.universe")
    register([wanted], delete_others=False)
    with get_client(sync_client=True) as client:
        page = client.read_deployment_by_name("universe/all tickers, one night")
        assert page.parameters == {"tickers": ["IBM", "VOD"], "choices": {"VOD": OWN}}
        for given in ({}, {"choices": {}}, {"settings": {"evaluation": {"horizon": 40}}}):
            client.create_flow_run_from_deployment(page.id, parameters=given)
        with pytest.raises(PrefectHTTPStatusError, match="409"):
            client.create_flow_run_from_deployment(page.id, parameters={"choice": {}})


def test_a_form_that_is_started_as_it_stands_names_no_ticker_that_is_not_in_the_list() -> None:
    forms = {each.name: each for each in other_deployments(parsed("tickers: [KO, PEP]", "").tickers)}
    assert forms["catch up a ticker"].parameters == {"ticker": "KO"}
    assert form_of(forms["replay past nights"].flow)["properties"]["tickers"]["default"] == []


def test_one_share_is_listed_once_however_its_class_is_spelt(home: HomePaths, capsys: Captured) -> None:
    claim(home, "market")
    assert here("tickers", "add", "BRK.B", "BRK-B", "BF-B") == 0
    assert here("tickers", "add", "BRK-B", "BF.B") == 0
    said = capsys.readouterr().out
    assert "added BRK.B, BF-B; BRK-B (as BRK.B) there already; 5 in " in said
    assert "\nBRK-B (as BRK.B), BF.B (as BF-B) there already; 5 in " in said
    assert [entry.ticker for entry in tickers_of(home).tickers][3:] == ["BRK.B", "BF-B"]


def test_a_symbol_in_yahoos_spelling_is_told_the_providers_when_it_is_listed(home: HomePaths, capsys: Captured) -> None:
    """It was told by its first night, which failed. MKC.V, a share class in New York, looks the same."""
    claim(home, "market")
    assert here("tickers", "add", "SAP.DE", "MKC.V", "KO") == 0
    *_, first, second = capsys.readouterr().out.splitlines()
    assert first == "Yahoo's SAP.DE is Alpha Vantage's SAP.DEX; if it is meant: `stockml rename SAP.DE SAP.DEX`"
    assert second == "Yahoo's MKC.V is Alpha Vantage's MKC.TRV; if it is meant: `stockml rename MKC.V MKC.TRV`"
    assert here("rename", "SAP.DE", "SAP.DEX") == 0
    assert [entry.ticker for entry in tickers_of(home).tickers][3:] == ["SAP.DEX", "MKC.V", "KO"]
