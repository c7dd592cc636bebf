"""Prefect's deployments follow tickers.yaml, with forms that take what a run takes, and are never
un-paused."""

from dataclasses import replace

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import DeploymentFilter
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import PREFECT_SERVER_API_DEFAULT_LIMIT, temporary_settings
from prefect.utilities.schema_tools.validation import is_valid

from deployments.registration import MANAGED, NIGHTS
from deployments.registration.prefect_deployments import (
    RegistrationResult,
    asked_form,
    other_deployments,
    register,
    ticker_deployments,
)
from deployments.registration.tickers_file import TickersFile, digest_time


def listed(*entries, **defaults):
    return TickersFile.model_validate({"defaults": defaults, "tickers": list(entries)})


def test_missing_forecasts_are_reported_at_the_chosen_time_by_each_tickers_calendar():
    entries = listed("IBM", {"ticker": "VOD", "calendar": "XLON"}).tickers
    for environ, cron in (({}, "0 7 * * 2-6"), ({"STOCKML_DIGEST_AT": "05:30"}, "30 5 * * 2-6")):
        deployments = other_deployments(entries, digest_time(environ))
        [digest] = (each for each in deployments if each.name == "tell of missing forecasts")
        assert (digest.cron, digest.timezone) == (cron, "America/New_York")
        assert digest.parameters == {"tickers": ["IBM", "VOD"], "calendars": {"VOD": "XLON"}}


TICKERS = listed("IBM", {"ticker": "VOD", "profile": "tutorial"}).tickers
ASKED = {
    "IBM": ["session", "mode", "force"],
    "VOD": ["session", "mode", "force"],
    "any ticker": ["ticker", "session", "mode", "force"],
    "tutorial": ["ticker", "session", "mode", "force", "settings"],
    "all tickers, one night": ["session", "mode", "force", "processes"],
    "catch up a ticker": ["ticker", "first", "last", "learn", "mode", "force"],
    "pretrain a network": ["prices", "through", "seeds"],
    "replay past nights": ["tickers", "prices", "first", "last", "every"],
    "weekly clean-up": ["dry_run", "keep", "mlflow_trash_days"],
    "tell of missing forecasts": [],
}


def forms():
    """Each deployment, and what its form asks, by name."""
    deployments = (*ticker_deployments(TICKERS), *other_deployments(TICKERS))
    return {each.name: (each, asked_form(each)) for each in deployments}


def test_a_form_asks_for_few_things_and_its_ticker_is_fixed():
    assert {name: list(form["properties"]) for name, (_, form) in forms().items()} == ASKED
    _, form = forms()["IBM"]
    assert is_valid({"ticker": "IBM", "session": "2013-03-01", "late_retries": 2}, form)
    assert not is_valid({"ticker": "FB"}, form)
    assert not is_valid({"ticker": "IBM", "sesion": "2013-03-01"}, form)
    assert not is_valid({"ticker": "IBM", "profile": "nightly"}, forms()["tutorial"][1])


def test_every_form_takes_what_its_deployment_gives_and_says_its_bounds_and_how_a_day_is_written():
    days = bounded = 0
    for name, (each, form) in forms().items():
        given = each.parameters | ({"ticker": "KO"} if "ticker" in each.asks else {})
        given |= {"first": "2013-03-01", "last": "2013-03-01"} if "learn" in each.asks else {}
        assert is_valid(given, form), name
        for asked, field in form["properties"].items():
            if asked in ("session", "first", "last", "through"):
                days += 1
                assert "YYYY-MM-DD" in field["description"]
                assert "pattern" not in field
            if "minimum" in field:
                bounded += 1
                assert f"{field['minimum']:,} to {field['maximum']:,}" in field["description"]
    assert (days, bounded) == (10, 4)


@pytest.fixture
def few_at_once():
    """Prefect lists fewer deployments at once than there are."""
    with temporary_settings({PREFECT_SERVER_API_DEFAULT_LIMIT: 2}):
        yield


@pytest.mark.slow
def test_deployments_follow_the_file_and_paused_ones_stay_paused(prefect_server, few_at_once):
    names = ("AAA", "BBB", "CCC", "FFF")
    first = register(ticker_deployments(listed(*names).tickers), delete_others=True)
    assert (first.created, first.updated, first.unchanged) == (names, (), ())
    with get_client(sync_client=True) as client:
        paused = client.read_deployment_by_name("nightly/BBB")
        client.update_deployment_schedule(paused.id, paused.schedules[0].id, active=False)
        client.create_deployment(paused.flow_id, "by hand", tags=["mine"])
        client.pause_deployment(whole := client.read_deployment_by_name("nightly/FFF").id)

    other = {"settings": {"training.steps": 3}}
    bbb = {"ticker": "BBB", "profile": "nightly", **other}
    changed = listed("AAA", bbb, "DDD", {"ticker": "FFF", **other})
    second = register(ticker_deployments(changed.tickers), delete_others=True)
    assert second == RegistrationResult(
        created=("DDD",), updated=("BBB", "FFF"), unchanged=("AAA",), deleted=("CCC",)
    )
    third = register(ticker_deployments(listed("EEE").tickers), delete_others=False)
    assert (third.created, third.deleted) == (("EEE",), ())
    of_whole = DeploymentFilter.model_validate({"id": {"any_": [whole]}})
    with get_client(sync_client=True) as client:
        assert client.count_flow_runs(deployment_filter=of_whole) == 0
        kept = {each.name: each for each in client.read_deployments(limit=200)}
        one = kept["AAA"]
        with pytest.raises(PrefectHTTPStatusError, match="409"):  # also of an earlier version
            client.create_flow_run_from_deployment(one.id, parameters={"choice": {}})
    assert {"AAA", "BBB", "DDD", "EEE", "by hand"} <= set(kept)
    assert "CCC" not in kept
    active = [kept[name].schedules[0].active for name in ("AAA", "BBB", "DDD")]
    assert active == [True, False, True]
    settings = {"training": {"steps": 3}}
    chosen = {"ticker": "BBB", "profile": "nightly", "settings": settings}
    assert kept["BBB"].parameters == chosen
    assert (one.global_concurrency_limit.limit, one.work_pool_name) == (1, "stockml")
    assert {MANAGED, NIGHTS} <= {*one.tags}


@pytest.mark.slow
def test_a_schedule_that_a_person_added_in_the_page_stays_and_is_named(prefect_server):
    own = listed("OWN").tickers
    [universe] = (each for each in other_deployments(own) if each.flow.startswith("universe"))
    both = [*ticker_deployments(own), replace(universe, name="by day")]
    register(both, delete_others=False)
    saturday = {"cron": "0 12 * * 6", "timezone": "Europe/Berlin"}
    with get_client(sync_client=True) as client:
        for name, slug in (("nightly/OWN", "mine"), ("universe/by day", None)):
            deployment = client.read_deployment_by_name(name).id
            mine = {"schedule": saturday, "parameters": {"force": True}, "slug": slug}
            client.request("POST", f"/deployments/{deployment}/schedules", json=[mine])
        again = register(both, delete_others=False)
        later = listed({"ticker": "OWN", "at": "23:30"}).tickers
        changed = register(ticker_deployments(later), delete_others=False)
        found = client.read_deployment_by_name("nightly/OWN").schedules
    assert set(again.unchanged) == set(again.own_schedules) == {"OWN", "by day"}
    assert (changed.updated, changed.own_schedules) == (("OWN",), ("OWN",))
    assert str(changed) == "1 updated; schedules of your own stay: OWN"
    crons = {each.slug: (each.schedule.cron, each.parameters) for each in found}
    assert crons == {"nightly": ("30 23 * * 1-5", {}), "mine": ("0 12 * * 6", {"force": True})}


@pytest.mark.slow
def test_the_other_flows_have_deployments_too_and_runs_of_what_is_deleted_are_cancelled(
    prefect_server,
):
    others = other_deployments(listed("IBM", "MSFT").tickers)
    register(others, delete_others=True)
    assert len(register(others, delete_others=True).unchanged) == len(others)
    with get_client(sync_client=True) as client:
        weekly = client.read_deployment_by_name("maintenance/weekly clean-up")
        universe = client.read_deployment_by_name("universe/all tickers, one night")
        gone = client.create_deployment(weekly.flow_id, "gone", tags=[MANAGED])
        waits = client.create_flow_run_from_deployment(gone)
        assert register(others, delete_others=True).deleted == ("gone",)
        assert client.read_flow_run(waits.id).state_name == "Cancelled"
    assert weekly.schedules[0].schedule.cron == "30 9 * * 0"
    assert weekly.entrypoint == "flows.maintenance.maintenance"
    assert (universe.parameters["tickers"], universe.schedules) == (["IBM", "MSFT"], [])
