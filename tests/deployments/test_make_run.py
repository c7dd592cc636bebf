"""`make run` and the first nights with a key of one's own, end to end."""

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import date

import pytest

from stockml.home import Home
from stockml.prices.store import BarStore
from stockml.provider.price_source import kind_in, replay_home
from tests.support.commands import stockml
from tests.support.patience import PATIENCE_S
from tests.support.scripted_feed import ScriptedFeed


def test_make_run_knows_only_recorded_tickers_without_a_key(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ALPHAVANTAGE_API_KEY", raising=False)
    command = [sys.executable, "-m", "deployments.run", "HPQ"]
    failed = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert failed.returncode == 1
    assert "expected one of the recorded tickers AAPL, FB, GOOG, IBM, MSFT, found HPQ" in failed.stderr


@pytest.mark.slow
def test_a_proxy_that_is_set_is_not_asked_for_the_commands_own_servers(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ALPHAVANTAGE_API_KEY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    brought = stockml("history", "IBM", http_proxy="http://127.0.0.1:9")
    assert (brought.returncode, brought.stdout) == (0, "IBM: 3,270 bars added, 0 restated, 0 as before\n"), (
        brought.stderr
    )


@pytest.mark.slow
def test_make_run_goes_from_nothing_to_a_forecast_and_again_from_the_cache(
    home: Home, feed: ScriptedFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ALPHAVANTAGE_API_KEY", raising=False)
    refused = stockml("nightly", "MSFT", ALPHAVANTAGE_API_KEY="invalid", ALPHAVANTAGE_URL=feed.url)
    assert (refused.returncode, home.in_use) == (1, False), "what failed stamps nothing"
    command = [sys.executable, "-m", "deployments.run", "MSFT"]
    first, second = (
        subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False) for _ in range(2)
    )
    assert (first.returncode, first.stdout.splitlines()[0].split(" · ")[:2]) == (0, ["MSFT", "session 2013-03-01"])
    for line in (
        "tonight's network",
        "last close",
        "trend prior",
        "published",
        "network adds",
        "pooled regression",
        "standard average",
        "EMA",
        "drift",
        "forecast",
        "chance of a rise",
        "MLflow run",
    ):
        assert any(shown.startswith(line) for shown in first.stdout.splitlines()), line
    assert second.stdout == first.stdout
    assert shown_nights(replay_home(os.environ)) == [("MSFT", "COMPLETED")] * 2, "before the first `make up`"
    assert "as before" in second.stderr
    assert "warning" not in (first.stderr + second.stderr).lower()

    shown = json.loads(stockml("forecast", "MSFT", "--json").stdout)
    assert (shown["origin"], len(shown["path"])) == ("2013-03-01", 50)
    kept = json.loads(stockml("ledger", "MSFT", "--json").stdout)
    assert (len(kept["entries"]), kept["forecasts"]) == (1, 1)

    # the README's own order: then with a key of one's own, whose bars go beside the replay's
    mine = stockml("nightly", "MSFT", "--json", ALPHAVANTAGE_API_KEY="mine12345", ALPHAVANTAGE_URL=feed.url)
    assert (json.loads(mine.stdout)["status"], "stale" in mine.stdout) == ("skipped", True), mine.stderr
    assert (kind_in(home), kind_in(replay_home(os.environ))) == ("market", "replay")


def shown_nights(home: Home) -> list[tuple[str, str]]:
    """The runs that stand on a deployment's page, as Prefect's database has them: its name, and how they ended."""
    asked = "select d.name, r.state_type from flow_run r join deployment d on d.id = r.deployment_id"
    with closing(sqlite3.connect(home.prefect / "prefect.db")) as database:
        return list(database.execute(asked))


@pytest.mark.slow
def test_a_free_key_keeps_its_hundred_sessions_and_says_how_to_bring_more(
    home: Home, feed: ScriptedFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed.set_clock(date(2013, 3, 1))
    monkeypatch.setenv("ALPHAVANTAGE_API_KEY", "freekey12345")
    monkeypatch.setenv("ALPHAVANTAGE_URL", feed.url)
    monkeypatch.setenv("STOCKML_CLOCK", feed.now.isoformat())
    command = [sys.executable, "-m", "deployments.run", "IBM"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert (ran.returncode, "50 sessions ahead" in ran.stdout) == (0, True), ran.stderr
    assert "tonight brings the newest 100 sessions" in ran.stderr
    assert [asked.outputsize for asked in feed.asked] == ["compact"], "what a free key never gets is not asked for"
    assert shown_nights(home) == [("IBM", "COMPLETED")]
    with closing(sqlite3.connect(home.prefect / "prefect.db")) as database:
        assert database.execute("select name from task_run where state_type <> 'COMPLETED'").fetchall() == []
    shown = " ".join(ran.stdout.split())
    assert "history too short for the volatility of" in shown
    assert "bring history with `stockml import`" in shown
    assert "freekey12345" not in ran.stdout + ran.stderr
    assert len(BarStore.of(home).read("IBM")) == 100
    refused = stockml("history", "IBM")
    assert refused.returncode == 1
    advice = (
        "stockml: IBM: outputsize=full needs a premium key; import a CSV with `stockml import`, or set TIINGO_API_KEY"
    )
    assert refused.stderr.splitlines()[-1] == advice
