"""The doctor finds what would keep tonight's run from working, says what to do, and changes
nothing."""

import json
from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from deployments.cli.app import run
from deployments.doctor import Check, examine, guarded
from deployments.registration.ticker_list import add, remove
from stockml.errors import NoBars
from stockml.home import current_home as home_of
from stockml.provider.client import Delistings
from tests.support.commands import shown, store_of
from tests.support.loopback import Loopback, whole

NOW = datetime(2026, 11, 24, 15, 0, tzinfo=UTC)
KEY, AWAY = "ALPHAVANTAGE_API_KEY", "http://127.0.0.1:9"
K3Y = {KEY: "K3Y12345"}


def found(home, environ=None, now=NOW):
    return {check.name: check for check in examine(home, environ or {}, now)}


def test_an_error_within_a_check_is_a_problem_of_its_name_after_what_it_found():
    whole = Check("home", "ok", "whole")

    def several(error):
        yield whole
        raise error

    first, second = guarded("bars", several(NoBars("/store/IBM.parquet", "no bars of IBM", "…")))
    assert (first, second.name, second.verdict) == (whole, "bars", "problem")
    with pytest.raises(ZeroDivisionError):
        list(guarded("bars", several(ZeroDivisionError())))


def test_an_empty_home_is_healthy_and_stays_empty(home, feed):
    """Checking the price service costs no request."""
    checks = found(home, {"ALPHAVANTAGE_URL": feed.url})
    assert {check.verdict for check in checks.values()} == {"ok"}
    assert (checks["price service"].verdict, feed.requests) == ("ok", 0)
    key = found(home)["key"]
    assert "recorded prices" in key.found
    assert "alphavantage-api-key" in key.advice
    assert not home.root.exists()


@pytest.mark.parametrize(
    ("environ", "name", "verdict", "says"),
    [
        ({KEY: "demo"}, "key", "problem", "alphavantage.co"),
        (K3Y, "key", "ok", "25 requests"),
        (K3Y | {"ALPHAVANTAGE_PLAN": "75/min"}, "key", "ok", "no daily cap"),
        (K3Y | {"ALPHAVANTAGE_PLAN": "much"}, "key", "problem", "ALPHAVANTAGE_PLAN"),
        ({"ALPHAVANTAGE_URL": AWAY}, "price service", "problem", "ALPHAVANTAGE_URL"),
        ({"ALPHAVANTAGE_URL": "127.0.0.1:9"}, "price service", "problem", "https://"),
        ({"PREFECT_API_URL": f"{AWAY}/api"}, "Prefect", "problem", "PREFECT_API_URL"),
        (
            {"MLFLOW_TRACKING_URI": "http://me:secret@127.0.0.1:9"},
            "MLflow",
            "problem",
            "MLFLOW_TRACKING_URI",
        ),
        (
            {"STOCKML_DATABASE_URL": "postgresql://me:secret@127.0.0.1:9"},
            "MLflow",
            "problem",
            "STOCKML_DATABASE_URL",
        ),
        ({"MLFLOW_TRACKING_URI": "databricks"}, "MLflow", "ok", "databricks"),
    ],
)
def test_each_setting_is_checked_without_showing_secrets(home, environ, name, verdict, says):
    environ = {"ALPHAVANTAGE_URL": AWAY, "STOCKML_HOME": str(home.root), **environ}
    check = found(home_of(environ), environ)[name]
    assert check.verdict == verdict
    assert says in str(check)
    assert not any(secret in str(check) for secret in ("K3Y12345", "secret"))


def test_a_tracking_server_that_answers_but_takes_no_night_is_a_problem(home):
    with Loopback(whole(b"user and password, please", 401)) as server:
        address = {"MLFLOW_TRACKING_URI": server.address.replace("//", "//me:secret@")}
        check = found(home_of({"STOCKML_HOME": str(home.root), **address}), address)["MLflow"]
    assert (check.verdict, "401" in check.found) == ("problem", True)
    assert "secret" not in str(check)


def test_a_stale_ticker_and_a_damaged_one_are_named(home):
    for ticker in ("IBM", "MSFT"):
        store_of(home, ticker)
    Path(home.store, "MSFT.parquet").write_bytes(b"not Parquet")
    later = datetime(2013, 3, 20, tzinfo=UTC)
    ibm, msft = (found(home, now=later)[ticker] for ticker in ("IBM", "MSFT"))
    assert (ibm.verdict, ibm.advice) == ("problem", "`stockml nightly IBM`")
    assert "11 sessions behind" in ibm.found
    assert (msft.verdict, "MSFT.parquet" in msft.found) == ("problem", True)
    Delistings(None, {"IBM": date(2013, 3, 4)}).write(home.delistings)
    assert "it is delisted" in found(home, now=later)["IBM"].advice
    add(home, ["IBM", "KO"], {})
    remove(home, ["IBM"])
    check = found(home)["IBM"]
    assert (check.verdict, check.advice, "not followed" in check.found) == ("ok", "", True)


def test_a_disk_without_room_is_a_problem(home, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=10**9))
    check = found(home)["home"]
    assert (check.verdict, "1.0 GB" in check.found) == ("problem", True)


def test_a_problem_ends_the_command_with_one(home, capsys, monkeypatch):
    monkeypatch.delenv(KEY, raising=False)
    assert json.loads(shown(capsys, "doctor", "--json"))["healthy"] is True
    monkeypatch.setenv("PREFECT_API_URL", f"{AWAY}/api")
    assert run(["doctor"]) == 1
    assert "PROBLEM Prefect" in capsys.readouterr().out
