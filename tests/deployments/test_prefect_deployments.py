"""Prefect's deployments follow tickers.yaml, with forms that take what a run takes, and are never
un-paused."""

from dataclasses import replace
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import DeploymentFilter
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
from deployments.registration.tickers_file import TickersFile, digest_time, read_tickers


def listed(*entries: Any, **defaults: Any) -> TickersFile:
    return TickersFile.model_validate({"defaults": defaults, "tickers": list(entries)})


def test_a_tickers_settings_become_the_forms_parameters() -> None:
    file = listed(
        "IBM",
        {"ticker": "MSFT", "settings": {"training.steps": 8}, "tags": ["mine"]},
        profile="nightly",
    )
    assert file.tickers[1].parameters() == {
        "ticker": "MSFT",
        "profile": "nightly",
        "settings": {"training": {"steps": 8}},
    }


def test_missing_forecasts_are_reported_at_the_chosen_time_by_each_tickers_calendar() -> None:
    entries = listed("IBM", {"ticker": "VOD", "calendar": "XLON"}).tickers
    usual, early = (
        next(
            each
            for each in other_deployments(entries, digest_time(environ))
            if each.flow.startswith("notices")
        )
        for environ in ({}, {"STOCKML_DIGEST_AT": "05:30"})
    )
    assert (usual.cron, usual.timezone, early.cron) == (
        "0 7 * * 2-6",
        "America/New_York",
        "30 5 * * 2-6",
    )
    assert usual.parameters == {"tickers": ["IBM", "VOD"], "calendars": {"VOD": "XLON"}}


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


def forms() -> dict[str, dict[str, Any]]:
    return {
        each.name: asked_form(each)
        for each in (*ticker_deployments(TICKERS), *other_deployments(TICKERS))
    }


def test_a_form_asks_for_few_things_and_its_ticker_is_fixed() -> None:
    assert {name: list(form["properties"]) for name, form in forms().items()} == ASKED
    form = forms()["IBM"]
    assert is_valid({"ticker": "IBM", "session": "2013-03-01", "late_retries": 2}, form)
    assert not is_valid({"ticker": "FB"}, form)
    assert not is_valid({"ticker": "IBM", "sesion": "2013-03-01"}, form)
    assert not is_valid({"ticker": "IBM", "profile": "nightly"}, forms()["tutorial"])


def test_every_form_takes_what_its_deployment_gives_and_a_form_of_a_day_says_how_it_is_written() -> (
    None
):
    for each in (*ticker_deployments(TICKERS), *other_deployments(TICKERS)):
        given = each.parameters | ({"ticker": "KO"} if "ticker" in each.asks else {})
        given |= {"first": "2013-03-01", "last": "2013-03-01"} if "learn" in each.asks else {}
        assert is_valid(given, asked_form(each)), each.name
    days = {"session", "first", "last", "through"}
    fields = [
        field
        for form in forms().values()
        for name, field in form["properties"].items()
        if name in days
    ]
    assert len(fields) == 10
    assert all("YYYY-MM-DD" in field["description"] and "pattern" not in field for field in fields)


def test_every_number_in_a_form_says_its_bounds() -> None:
    fields = [
        field
        for form in forms().values()
        for field in form["properties"].values()
        if "minimum" in field
    ]
    assert len(fields) == 4
    assert [
        field
        for field in fields
        if f"{field['minimum']:,} to {field['maximum']:,}" not in field["description"]
    ] == []


@pytest.mark.slow
def test_deployments_follow_the_file_and_paused_ones_stay_paused(prefect_server: None) -> None:
    first = register(
        ticker_deployments(listed("AAA", "BBB", "CCC", "FFF").tickers), delete_others=True
    )
    assert first == RegistrationResult(
        created=("AAA", "BBB", "CCC", "FFF"), updated=(), unchanged=(), deleted=first.deleted
    )
    with get_client(sync_client=True) as client:
        paused = client.read_deployment_by_name("nightly/BBB")
        client.update_deployment_schedule(paused.id, paused.schedules[0].id, active=False)
        client.create_deployment(paused.flow_id, "by hand", tags=["mine"])
        client.pause_deployment(whole := client.read_deployment_by_name("nightly/FFF").id)

    other = {"settings": {"training.steps": 3}}
    changed = listed("AAA", {"ticker": "BBB", **other}, "DDD", {"ticker": "FFF", **other})
    second = register(ticker_deployments(changed.tickers), delete_others=True)
    assert second == RegistrationResult(
        created=("DDD",), updated=("BBB", "FFF"), unchanged=("AAA",), deleted=("CCC",)
    )
    third = register(ticker_deployments(listed("EEE").tickers), delete_others=False)
    assert (third.created, third.deleted) == (("EEE",), ())
    with get_client(sync_client=True) as client:
        assert (
            client.count_flow_runs(
                deployment_filter=DeploymentFilter.model_validate({"id": {"any_": [whole]}})
            )
            == 0
        )
        kept = {each.name: each for each in client.read_deployments()}
        assert {"AAA", "BBB", "DDD", "EEE", "by hand"} <= set(kept)
        assert "CCC" not in kept
        assert [kept[name].schedules[0].active for name in ("AAA", "BBB", "DDD")] == [
            True,
            False,
            True,
        ]
        assert kept["BBB"].parameters["settings"] == {"training": {"steps": 3}}
        assert (kept["AAA"].global_concurrency_limit.limit, kept["AAA"].work_pool_name) == (
            1,
            "stockml",
        )
        assert {MANAGED, NIGHTS} <= {*kept["AAA"].tags}


@pytest.mark.slow
def test_a_schedule_that_a_person_added_in_the_page_stays_and_is_named(
    prefect_server: None,
) -> None:
    nights = ticker_deployments(listed("OWN").tickers)
    by_hand = [
        replace(each, name="by day")
        for each in other_deployments(listed("OWN").tickers)
        if each.flow.startswith("universe")
    ]
    register([*nights, *by_hand], delete_others=False)
    mine = {
        "schedule": {"cron": "0 12 * * 6", "timezone": "Europe/Berlin"},
        "parameters": {"force": True},
    }
    with get_client(sync_client=True) as client:
        for name, slug in (("nightly/OWN", "mine"), ("universe/by day", None)):
            place = {"id": client.read_deployment_by_name(name).id}
            client.request(
                "POST",
                "/deployments/{id}/schedules",
                path_params=place,
                json=[{**mine, "slug": slug}],
            )
        again = register([*nights, *by_hand], delete_others=False)
        changed = register(
            ticker_deployments(listed({"ticker": "OWN", "at": "23:30"}).tickers),
            delete_others=False,
        )
        found = client.read_deployment_by_name("nightly/OWN").schedules
    assert set(again.unchanged) == set(again.own_schedules) == {"OWN", "by day"}
    assert (changed.updated, changed.own_schedules) == (("OWN",), ("OWN",))
    assert str(changed) == "1 updated; schedules of your own stay: OWN"
    crons = {each.slug: (each.schedule.cron, each.parameters) for each in found}
    assert crons == {"nightly": ("30 23 * * 1-5", {}), "mine": ("0 12 * * 6", {"force": True})}


@pytest.mark.slow
def test_the_other_flows_have_deployments_too_at_most_twelve_in_all_for_a_newcomer(
    prefect_server: None,
) -> None:
    others = other_deployments(listed("IBM", "MSFT").tickers)
    register(others, delete_others=True)
    assert len(register(others, delete_others=True).unchanged) == len(others)
    with get_client(sync_client=True) as client:
        weekly = client.read_deployment_by_name("maintenance/weekly clean-up")
        universe = client.read_deployment_by_name("universe/all tickers, one night")
        client.create_deployment(
            client.create_flow_from_name("compare policies"), "compare retraining", tags=[MANAGED]
        )
        waits = client.create_flow_run_from_deployment(
            client.create_deployment(weekly.flow_id, "gone", tags=[MANAGED])
        )
        again = register(others, delete_others=True)
        assert client.read_flow_run(waits.id).state_name == "Cancelled"
    assert again.deleted == ("compare retraining", "gone")
    assert len([*ticker_deployments(read_tickers().tickers), *others]) + 1 <= 12, (
        "including that of the notices"
    )
    assert (weekly.schedules[0].schedule.cron, weekly.entrypoint) == (
        "30 9 * * 0",
        "flows.maintenance.maintenance",
    )
    assert (universe.parameters["tickers"], universe.schedules) == (["IBM", "MSFT"], [])


@pytest.mark.slow
def test_more_deployments_than_prefect_lists_at_once_are_registered_once(
    prefect_server: None,
) -> None:
    dozen = listed(*(f"N{number}" for number in range(12))).tickers
    with temporary_settings({PREFECT_SERVER_API_DEFAULT_LIMIT: 5}):
        assert len(register(ticker_deployments(dozen), delete_others=True).created) == 12
        again = register(ticker_deployments(dozen), delete_others=True)
        assert (len(again.unchanged), again.deleted) == (12, ())
        assert len(register(ticker_deployments(dozen[:1]), delete_others=True).deleted) == 11
