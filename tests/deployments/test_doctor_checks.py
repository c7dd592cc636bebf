"""The doctor finds what would keep tonight's run from working, says what to do, and changes
nothing."""

import json
import subprocess
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from deployments.cli.app import run
from deployments.doctor.check import Check
from deployments.doctor.checks import examine
from stockml.home import HomePaths
from stockml.home import current_home as home_of
from stockml.provider.listing import Delistings
from stockml.provider.quota import TURNS, QuotaLedger
from stockml.storage.documents import FileNotes
from tests.support.commands import Captured, store_of
from tests.support.loopback import Loopback, whole
from tests.support.scripted_feed import ScriptedFeed

NOW = datetime(2026, 11, 24, 15, 0, tzinfo=UTC)
PORTS = {"Prefect": 4200}


def found(
    home: HomePaths, environ: dict[str, str] | None = None, now: datetime = NOW
) -> dict[str, Check]:
    return {check.name: check for check in examine(home, environ or {}, now, PORTS)}


def test_an_empty_home_is_healthy_and_stays_empty(home: HomePaths) -> None:
    checks = found(home)
    assert {check.verdict for check in checks.values()} == {"ok", "note"}
    assert "recorded prices are played" in checks["key"].advice
    assert "newest final session 2026-11-23" in checks["clock"].found
    assert "stockml nightly" in checks["store"].advice
    assert not home.root.exists()


@pytest.mark.parametrize(
    ("environ", "name", "verdict", "says"),
    [
        ({"ALPHAVANTAGE_API_KEY": "demo"}, "key", "problem", "get one of your own"),
        (
            {"ALPHAVANTAGE_API_KEY": "two words"},
            "key",
            "problem",
            "copy ALPHAVANTAGE_API_KEY again",
        ),
        ({"ALPHAVANTAGE_API_KEY": "YOUR_KEY"}, "key", "problem", "copy ALPHAVANTAGE_API_KEY again"),
        (
            {"ALPHAVANTAGE_API_KEY": "K3Y\udcff"},
            "key",
            "problem",
            "copy ALPHAVANTAGE_API_KEY again",
        ),
        ({"ALPHAVANTAGE_API_KEY": "K3Y12345"}, "key", "ok", "plan free"),
        ({"ALPHAVANTAGE_API_KEY": "K3Y12345"}, "quota", "ok", "25 requests left today"),
        (
            {"ALPHAVANTAGE_API_KEY": "K3Y12345", "ALPHAVANTAGE_PLAN": "75/min"},
            "quota",
            "ok",
            "no daily cap",
        ),
        (
            {"ALPHAVANTAGE_API_KEY": "K3Y12345", "ALPHAVANTAGE_PLAN": "much"},
            "quota",
            "problem",
            "ALPHAVANTAGE_PLAN",
        ),
        (
            {"ALPHAVANTAGE_URL": "http://127.0.0.1:9"},
            "price service",
            "problem",
            "check the network",
        ),
        ({"ALPHAVANTAGE_URL": "127.0.0.1:9"}, "price service", "problem", "begins with https://"),
        (
            {"ALPHAVANTAGE_URL": "http://192.0.2.1"},
            "price service",
            "problem",
            "plain http would show the key",
        ),
        (
            {"PREFECT_API_URL": "http://127.0.0.1:9/api"},
            "Prefect",
            "problem",
            "unset PREFECT_API_URL",
        ),
        (
            {"PREFECT_API_URL": "http://me:secret@127.0.0.1:9/api"},
            "Prefect",
            "problem",
            "PREFECT_API_AUTH_STRING takes",
        ),
        (
            {"PREFECT_API_URL": "http://me:secret@[/api"},
            "Prefect",
            "problem",
            "correct the setting",
        ),
        (
            {"MLFLOW_TRACKING_URI": "http://me:secret@127.0.0.1:9"},
            "MLflow",
            "problem",
            "check MLFLOW_TRACKING_URI",
        ),
        (
            {"MLFLOW_TRACKING_URI": "databricks"},
            "MLflow",
            "note",
            "databricks, which only nights ask",
        ),
        (
            {"ALPHAVANTAGE_URL": "http://127.0.0.1:abc"},
            "price service",
            "problem",
            "correct the setting",
        ),
        ({"STOCKML_DIGEST_AT": "7am"}, "digest", "problem", 'such as "07:00"'),
        ({"STOCKML_DIGEST_AT": "06:30"}, "digest", "ok", "reported at 06:30 in New York"),
        ({"STOCKML_ADDRESS": "256.1.1.1"}, "pages", "problem", "an IPv4 address of this machine"),
        ({"STOCKML_ADDRESS": "0.0.0.0"}, "pages", "problem", "set PREFECT_SERVER_API_AUTH_STRING"),
        ({"PREFECT_SERVER_API_AUTH_STRING": "secret"}, "pages", "problem", "user:password"),
        (
            {"PREFECT_SERVER_API_AUTH_STRING": "me:secret-of-many-letters"},
            "pages",
            "ok",
            "on 127.0.0.1, with a password",
        ),
        (
            {
                "STOCKML_ADDRESS": "192.0.2.1",
                "PREFECT_SERVER_API_AUTH_STRING": "me:secret-of-many-letters",
            },
            "port 4200",
            "problem",
            "an IPv4",
        ),
        (
            {"STOCKML_WEBHOOK_URL": "hooks/secret"},
            "webhook",
            "problem",
            "https://hooks.slack.com/services/",
        ),
        (
            {"STOCKML_WEBHOOK_URL": "https://hooks.example/secret"},
            "webhook",
            "ok",
            "the next `stockml up`",
        ),
    ],
)
def test_each_setting_is_checked_without_showing_secrets(
    home: HomePaths, environ: dict[str, str], name: str, verdict: str, says: str
) -> None:
    environ = {"ALPHAVANTAGE_URL": "http://127.0.0.1:9", "STOCKML_HOME": str(home.root), **environ}
    check = found(home_of(environ), environ)[name]
    assert check.verdict == verdict
    assert says in str(check)
    assert not any(secret in str(check) for secret in ("K3Y12345", "secret"))


@pytest.mark.parametrize("damage", ["emptied", "another's", "a folder"])
@pytest.mark.parametrize("of", ["turns", "today", "yesterday"])
def test_a_damaged_file_of_turns_or_counts_is_named_and_the_other_checks_still_run(
    home: HomePaths, of: str, damage: str
) -> None:
    ledger = QuotaLedger.of(FileNotes(home.quota), "K3Y12345")
    path = home.quota / {"turns": TURNS, "today": ledger.name(NOW.date())}.get(
        of, ledger.name(date(2026, 11, 23))
    )
    path.mkdir(parents=True) if damage == "a folder" else home.quota.mkdir(parents=True)
    if damage != "a folder":
        path.write_text({"emptied": "", "another's": '{"IBM": 1}'}[damage])
    checks = found(
        home, {"ALPHAVANTAGE_API_KEY": "K3Y12345", "ALPHAVANTAGE_URL": "http://127.0.0.1:9"}
    )
    assert (checks["quota"].verdict, str(path) in str(checks["quota"])) == ("problem", True)
    assert ("move it away" if damage == "a folder" else "delete it") in str(checks["quota"])
    assert {"clock", "MLflow", "store"} <= set(checks)


def test_a_market_home_without_a_key_is_advised_to_save_it_as_a_secret_block(
    home: HomePaths,
) -> None:
    home.root.mkdir(parents=True)
    (home.root / "prices.json").write_text('{"prices": "market"}')
    checks = found(home, {"ALPHAVANTAGE_URL": "http://127.0.0.1:9"})
    assert checks["prices"].found == "the market's"
    assert "alphavantage-api-key" in checks["key"].advice
    (home.root / "prices.json").write_text("{")
    assert found(home, {"ALPHAVANTAGE_URL": "http://127.0.0.1:9"})["prices"].verdict == "problem"
    (home.root / "prices.json").unlink()
    (home.root / "prices.json").mkdir()
    told = str(found(home, {"ALPHAVANTAGE_URL": "http://127.0.0.1:9"})["prices"])
    assert ("found a folder" in told, "move it away and write" in told) == (True, True)


def test_checking_the_price_service_costs_no_request(home: HomePaths, feed: ScriptedFeed) -> None:
    assert found(home, {"ALPHAVANTAGE_URL": feed.url})["price service"].verdict == "ok"
    assert feed.requests == 0


def test_mlflow_is_looked_for_in_the_database_that_both_servers_share(home: HomePaths) -> None:
    assert found(home)["MLflow"].found == f"sqlite:///{home.root / 'mlflow.db'}"
    on_postgres = {
        "STOCKML_HOME": str(home.root),
        "STOCKML_DATABASE_URL": "postgresql://me:secret@127.0.0.1:9",
    }
    away = found(home_of(on_postgres))["MLflow"]
    assert (away.verdict, "check STOCKML_DATABASE_URL" in away.advice) == ("problem", True)
    assert "secret" not in str(away)


@pytest.mark.parametrize(
    ("status", "content"), [(404, b"<p>no such page</p>"), (401, b"user and password, please")]
)
def test_a_tracking_server_that_answers_but_takes_no_night_is_a_problem(
    home: HomePaths, status: int, content: bytes
) -> None:
    with Loopback(whole(content, status)) as server:
        address = {"MLFLOW_TRACKING_URI": server.address.replace("//", "//me:secret@")}
        check = found(home_of({"STOCKML_HOME": str(home.root), **address}), address)["MLflow"]
    assert (check.verdict, str(status) in check.found, "secret" in str(check)) == (
        "problem",
        True,
        False,
    )
    assert not home.root.exists()


def test_a_stale_ticker_and_a_damaged_one_are_named(home: HomePaths) -> None:
    store_of(home, "IBM")
    store_of(home, "MSFT")
    Path(home.store, "MSFT.parquet").write_bytes(b"not Parquet")
    checks = found(home, now=datetime(2013, 3, 20, tzinfo=UTC))
    assert checks["IBM"].verdict == "note"
    assert "bars 11 sessions behind" in checks["IBM"].found
    assert checks["IBM"].advice == "`stockml nightly IBM`"
    Delistings(None, {"IBM": date(2013, 3, 4)}).write(home.delistings)
    rests = found(home, now=datetime(2013, 3, 20, tzinfo=UTC))["IBM"]
    assert "IBM was taken off its exchange on 2013-03-04, it is delisted" in rests.advice
    assert checks["MSFT"].verdict == "problem"
    assert "MSFT.parquet" in checks["MSFT"].found


def test_a_replay_is_healthy_at_its_own_clock(home: HomePaths) -> None:
    """Its bars were recorded years later, by the machine's clock."""
    store_of(home, "IBM")
    moment = datetime(2013, 3, 2, 4, tzinfo=UTC)
    checks = found(home, {"STOCKML_CLOCK": moment.isoformat()}, moment)
    assert (checks["IBM"].verdict, checks["clock"].verdict) == ("ok", "ok")
    assert "where a replay's clock stands" in checks["clock"].found


def test_what_others_can_read_is_named_with_the_command_that_mends_it(home: HomePaths) -> None:
    store_of(home, "IBM")
    home.root.chmod(0o755)
    check = found(home)["rights"]
    assert (check.verdict, str(home.root) in check.found) == ("problem", True)
    subprocess.run(check.advice.strip("`"), shell=True, check=True)
    assert found(home)["rights"].verdict == "ok"
    assert "PREFECT_SERVER_API_AUTH_STRING" in found(home)["pages"].advice, (
        "others may use the pages"
    )
    assert (
        found(home, {"PREFECT_SERVER_API_AUTH_STRING": "me:word-of-many-letters"})["pages"].advice
        == ""
    )
    assert home.root.stat().st_mode & 0o777 == 0o700


def test_a_server_that_is_gone_and_a_taken_port_are_told_with_what_to_do(
    home: HomePaths, feed: ScriptedFeed
) -> None:
    home.root.mkdir()
    home.servers.write_text(json.dumps({"prefect_api": "http://127.0.0.1:9/api"}))
    port = int(feed.address.rpartition(":")[2])
    checks = {check.name: check for check in examine(home, {}, NOW, {"MLflow": port})}
    assert "start `stockml up`, or what else served it, again" in checks["Prefect"].advice
    assert "choose a port with --mlflow-port" in checks[f"port {port}"].found


def test_a_problem_ends_the_command_with_one(
    home: HomePaths, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ALPHAVANTAGE_API_KEY", raising=False)
    assert run(["doctor", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["healthy"] is True
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    assert run(["doctor"]) == 1
    assert "PROBLEM Prefect" in capsys.readouterr().out
