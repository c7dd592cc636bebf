"""The command line: quick, one line for what goes wrong, exit codes that tell the truth, JSON and nothing else."""

import json
import os
import resource
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, date, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest

from deployments.cli.app import reported, run
from deployments.cli.many_nights import aligned
from deployments.cli.options import as_settings, as_time
from deployments.replay.feed import Feed
from deployments.replay.recording import recorded_bars
from stockml.home import Home
from stockml.prices.store import BarStore
from stockml.provider.price_source import held, replay_home
from tasks.tables import time_left
from tests.support.patience import PATIENCE_S

HEAVY = ("tensorflow", "keras", "mlflow", "prefect", "pandas", "numpy", "matplotlib", "rich")
Captured = pytest.CaptureFixture[str]


def stockml(*arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
    """The command in a process of its own, in the test's home."""
    command = [sys.executable, "-m", "deployments.cli", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, env=os.environ | more, timeout=PATIENCE_S, check=False
    )


def store_of(home: Home, ticker: str = "IBM", sessions: int = 300) -> BarStore:
    store = BarStore(home.store, home.locks)
    bars = recorded_bars(ticker).tail(sessions)
    now = datetime(2013, 3, 4, tzinfo=UTC)
    store.append(ticker, bars, recorded_at=now, source="recording", session=bars.index[-1].date())
    return store


def test_help_is_quick_and_loads_nothing_heavy() -> None:
    asked = f"from deployments.cli.app import run; run(['--help']); import sys; print(set({HEAVY}) & set(sys.modules))"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    shown = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert shown.stdout.endswith("set()\n")
    assert "nightly" in shown.stdout
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1.0


def test_the_version_and_the_short_help_are_there(capsys: Captured) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"stockml {version('stockml')}\n"
    assert run(["backfill", "-h"]) == 0
    assert "{TICKER} {FIRST} {LAST}" in capsys.readouterr().out
    completed = stockml(_STOCKML_COMPLETE="complete_bash", COMP_WORDS="stockml back", COMP_CWORD="1")
    assert completed.stdout.split() == ["backfill", "backtest", "backup"]


def test_a_day_that_is_known_to_be_no_session_ends_at_once(home: Home, capsys: Captured) -> None:
    assert run(["nightly", "IBM", "--session", "2013-03-02"]) == 0
    assert capsys.readouterr().out == "IBM: no session on 2013-03-02; the next is 2013-03-04\n"
    assert run(["nightly", "IBM", "--session", "2013-03-02", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["status"], shown["session"]) == ("skipped", "2013-03-02")
    assert not home.root.exists(), "no server was asked"


def test_a_table_is_shown_in_columns_and_time_left_as_people_say_it() -> None:
    assert aligned(["| policy | skill |", "|---|--:|", "| retrain | +0.5 |", "| auto | -0.25 |"]) == [
        "policy   skill", "retrain   +0.5", "auto     -0.25"
    ]  # fmt: skip
    assert [time_left(2, 4, 20.0), time_left(4, 4, 9.0)] == ["about 20 s left", "all done"]
    assert [time_left(1, 31, 10.0), time_left(1, 101, 100.0)] == ["about 5 min left", "about 2.8 h left"]


def test_without_a_command_the_list_of_commands_is_shown(capsys: Captured) -> None:
    assert run([]) == 0
    assert capsys.readouterr().out.startswith("Usage: stockml")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nightly"], "Missing argument 'TICKER'"),
        (["nightly", "../etc/passwd"], "expected a ticker like IBM, BRK-B or TSCO.LON, found '../etc/passwd'"),
        (["nightly", "IBM", "--session", "2013-02-30"], "expected a trading day as YYYY-MM-DD, found '2013-02-30'"),
        (["nightly", "IBM", "--mode", "fast"], "'fast' is not one of 'auto', 'retrain', 'fine-tune', 'keep'"),
        (["nightly", "IBM", "--profile", "secret"], "'secret' is not one of 'nightly', 'tutorial'"),
        (
            ["nightly", "IBM", "--set", "epochs=3"],
            "expected a setting as evaluation.direction_step=20, found 'epochs=3'",
        ),
        (["nightly", "IBM", "--set", "training.luck=1"], "expected training.luck to be one of batch_size"),
        (
            ["nightly", "IBM", "--set", "training.epochs=0"],
            "expected training.epochs to be between 1 and 1000, found 0",
        ),
        (
            ["tutorial", "hpq.us.txt", "--set", "policy.scale_drift=3"],
            "expected a setting of the tutorial to be one of network.cell, network.units,",
        ),
        (
            ["tutorial", "hpq.us.txt", "--seed", "2", "--set", "training.seed=3"],
            "expected training.seed once, found it as an option and in --set",
        ),
        (["tune", "../etc/passwd"], "expected a ticker like IBM, BRK-B or TSCO.LON, found '../etc/passwd'"),
        (
            ["tune", "hpq.us.txt", "--profile", "tutorial", "--calendar", "XNYS"],
            "expected no --calendar with --profile tutorial",
        ),
        (["universe", "IBM", "not a ticker"], "expected a ticker like IBM, BRK-B or TSCO.LON, found 'not a ticker'"),
        (["backfill", "IBM", "2013-02-01", "yesterday"], "expected a trading day as YYYY-MM-DD, found 'yesterday'"),
        (["maintenance", "--keep", "models"], "expected NAME=NUMBER such as model_days=30, found 'models'"),
        (["bars", "IBM", "--as-of", "noon"], "expected a time as 2026-11-20T22:45:00-05:00, found 'noon'"),
        (["bars", "IBM", "--upside-down"], "No such option: --upside-down"),
        (["feed", "--port", "70000"], "less than or equal to 65535"),
        (["dance"], "No such command 'dance'"),
        (
            ["backtest", "IBM", "--from", "2012-01-03", "--to", "2012-03-01"],
            "expected a span of at least 20 nights, found 8; take a longer one, or a smaller --every",
        ),
        (["rename", "IBM", "IBM"], "expected another symbol than IBM"),
        (["rename", "IBN", "META"], "home/replay knows, found IBN"),
        (["nightly", "IBM", "--calendar", "XMARS"], "XMARS"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_two(
    arguments: list[str], says: str, home: Home, capsys: Captured
) -> None:
    assert run(arguments) == 2
    assert not list(home.root.rglob("models")), "a name that was mistyped leaves nothing"
    shown = capsys.readouterr()
    assert says in shown.err
    assert "--help" in shown.err
    assert len(shown.err.splitlines()) == 1
    assert shown.out == ""


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ["bars", "IBM"],
            "no bars and no history of IBM; fetch with `stockml nightly`, or bring history with `stockml import`",
        ),
        (["forecast", "IBM"], "home/replay, found none; make one with `stockml nightly IBM`"),
        (["ledger", "IBM"], "no bars and no history of IBM"),
        (["rollback", "IBM"], "no earlier one in "),
        (["import", "IBM", "nowhere.csv"], "nowhere.csv: cannot be read"),
        (["backup", "nowhere/home.zip"], "expected a folder to archive in, found no nowhere; make it"),
        (["backfill", "IBM", "2013-03-01", "2013-02-01"], "exchange the two"),
        (["nightly", "IBM", "--session", "2013-03-04"], "its bar is final at 2013-03-04 22:45 EST"),
        (["deploy", "--file", "nowhere.yaml"], "nowhere.yaml: expected a list of tickers, found no file"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_exit_code_one(
    arguments: list[str], says: str, home: Home, capsys: Captured
) -> None:
    assert run(arguments) == 1
    assert not list(home.root.rglob("models")), "a name that was mistyped leaves nothing"
    shown = capsys.readouterr()
    assert says in shown.err
    assert len(shown.err.splitlines()) == 1
    assert shown.out == ""


def test_a_server_that_fails_within_is_named_with_who_can_say_why(capsys: Captured) -> None:
    request = httpx.Request("GET", "http://me:secret@127.0.0.1:4200/api/flows")

    def asked() -> int:
        httpx.Response(500, request=request).raise_for_status()
        return 0

    assert reported(asked) == 1
    said = capsys.readouterr().err
    assert said.startswith("stockml: the server at 127.0.0.1:4200 failed within; `stockml doctor`")


def test_an_unexpected_error_is_one_line_and_its_traceback_lies_in_the_home(home: Home, capsys: Captured) -> None:
    assert reported(lambda: 1 // 0) == 1
    shown = capsys.readouterr()
    assert len(shown.err.splitlines()) == 1
    assert "unexpected ZeroDivisionError" in shown.err
    assert "Traceback" in (home.root / "last-error.txt").read_text()


def test_a_home_that_cannot_be_written_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    for place in (blocked, Path("/proc/nope")):
        monkeypatch.setenv("STOCKML_HOME", str(place))
        failed = stockml("nightly", "IBM")
        assert failed.returncode == 1
        assert "expected a home that can be written, found" in failed.stderr.splitlines()[-1]


@pytest.mark.parametrize("command", ["backtest KOO --from 2009-01-05 --to 2012-01-05", "tune KOO"])
def test_a_ticker_of_which_nothing_is_stored_is_no_failed_run(home: Home, capsys: Captured, command: str) -> None:
    assert run(command.split()) == 1
    assert "no bars and no history of KOO" in capsys.readouterr().err
    assert not home.root.exists()


def test_a_dry_run_shows_a_file_as_understood_and_keeps_nothing(home: Home, capsys: Captured, tmp_path: Path) -> None:
    file = tmp_path / "IBM.csv"
    file.write_text("Date;Open;High;Low;Close\n03/02/2026;12,34;13;12;12,5\n")
    assert run(["import", "IBM", str(file), "--dry-run"]) == 1
    assert "say which with --dates day-first or month-first" in capsys.readouterr().err
    assert run(["import", "IBM", str(file), "--dates", "day-first", "--dry-run"]) == 0
    first, _, _, row, unknown = capsys.readouterr().out.splitlines()
    assert first == "IBM: 1 sessions as understood from IBM.csv; nothing was imported"
    assert row.split()[:5] == ["2026-02-03", "12.34", "13", "12", "12.5"]
    assert unknown == "volumes unknown: no column volume among Date, Open, High, Low, Close"
    assert not home.root.exists()


def test_a_bar_is_set_aside_shown_and_settled_by_a_command(home: Home, capsys: Captured) -> None:
    store, bars = store_of(home), recorded_bars("IBM").tail(300)
    bars.iloc[100, :4] *= 10
    day, hole = bars.index[100].date(), bars.index[200].date()
    now = datetime(2013, 3, 5, tzinfo=UTC)
    store.append("MSFT", bars.drop(bars.index[200]), recorded_at=now, source="test", session=bars.index[-1].date())
    assert run(["bars", "MSFT", "--holes"]) == 0
    aside, missing = capsys.readouterr().out.splitlines()
    assert aside.startswith(f"{day} set aside: open ")
    assert missing == f"{hole} no bar"
    for option, count in (("--accept", 0), ("--reject", 1)):
        assert run(["bars", "MSFT", option, str(day), "--json"]) == 0
        shown = json.loads(capsys.readouterr().out)
        assert (shown["holes"], len(shown["set_aside"])) == ([str(hole)], count)
    assert run(["bars", "MSFT", "--accept", "2013-03-02"]) == 1
    assert "MSFT has no bar of it" in capsys.readouterr().err


def test_bars_are_shown_as_text_csv_and_json(home: Home, capsys: Captured) -> None:
    store_of(home)
    assert run(["bars", "ibm"]) == 0
    assert capsys.readouterr().out.startswith("IBM: 300 sessions, 2011-12-19 to 2013-03-01, raw as traded\n")
    assert run(["bars", "IBM", "--csv"]) == 0
    shown = pd.read_csv(pd.io.common.StringIO(capsys.readouterr().out), index_col="session", parse_dates=True)
    assert shown.to_numpy().tolist() == recorded_bars("IBM").tail(300).to_numpy().tolist()
    assert run(["bars", "IBM", "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert (found["ticker"], found["sessions"], found["bars"][-1]["session"]) == ("IBM", 300, "2013-03-01")


def test_bars_as_of_a_time_know_nothing_recorded_later(home: Home, capsys: Captured) -> None:
    store_of(home)
    assert run(["bars", "IBM", "--as-of", "2013-03-03"]) == 1
    assert "expected --as-of to be 2013-03-04 00:00 UTC or later" in capsys.readouterr().err
    assert run(["bars", "IBM", "--as-of", "2013-03-04", "--adjusted"]) == 0


def test_import_takes_a_whole_folder_and_names_what_it_refuses(home: Home, tmp_path: Path, capsys: Captured) -> None:
    for symbol in ("IBM", "MSFT"):
        recorded_bars(symbol).head(50).rename_axis("Date").to_csv(tmp_path / f"{symbol.lower()}.us.txt")
    (tmp_path / "broken.csv").write_text("Date,Close\n2000-01-03,nonsense\n")
    assert run(["import", str(tmp_path)]) == 1
    captured = capsys.readouterr()
    assert "IBM: 50 sessions" in captured.out
    assert "MSFT: 50 sessions" in captured.out
    assert "broken.csv" in captured.err


def test_bars_lists_what_was_restated(home: Home, capsys: Captured) -> None:
    bars = recorded_bars("IBM").head(3)
    store = BarStore(home.store, home.locks)
    for hour, volume in ((8, 1.0), (9, 2.0)):
        recorded_at = datetime(2000, 3, 6, hour, tzinfo=UTC)
        store.append(
            "IBM", bars.assign(volume=volume), recorded_at=recorded_at, source="test", session=date(2000, 3, 3)
        )
    assert run(["bars", "IBM", "--restated"]) == 0
    shown = capsys.readouterr().out
    assert "volume" in shown
    assert shown.count("2000-03-0") >= 3


def test_import_brings_a_csv_once(home: Home, tmp_path: Path, capsys: Captured) -> None:
    file = tmp_path / "ibm.us.txt"
    bars = recorded_bars("IBM").head(50).rename(columns=str.capitalize).rename_axis("Date")
    bars.to_csv(file, date_format="%Y-%m-%d")
    assert run(["import", "IBM", str(file)]) == 0
    assert "50 sessions from 2000-03-01 to 2000-05-10 imported" in capsys.readouterr().out
    assert run(["import", "IBM", str(file)]) == 0
    assert "nothing changed" in capsys.readouterr().out
    assert run(["bars", "IBM"]) == 0
    assert capsys.readouterr().out.startswith("IBM: 50 sessions, 2000-03-01 to 2000-05-10, adjusted, as imported\n")
    assert run(["import", "IBM", str(file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["recorded"] is False


def test_an_import_without_a_known_volume_says_so(home: Home, tmp_path: Path, capsys: Captured) -> None:
    file = tmp_path / "ibm.us.txt"
    bars = recorded_bars("IBM").head(50).rename(columns={"volume": "Shares traded"}).rename_axis("date")
    bars.to_csv(file, date_format="%Y-%m-%d")
    assert run(["import", "IBM", str(file)]) == 0
    said = "(volumes unknown: no column volume among date, open, high, low, close, Shares traded)"
    assert said in capsys.readouterr().out


def test_a_reader_that_stops_reading_hears_no_complaint(home: Home) -> None:
    store_of(home, sessions=3000)
    command = f"{sys.executable} -m deployments.cli bars IBM --csv | head -1"
    shown = subprocess.run(command, shell=True, capture_output=True, text=True, env=os.environ, check=False)
    assert (shown.stdout, shown.stderr) == ("session,open,high,low,close,volume\n", "")


def test_a_port_that_is_taken_is_said(feed: Feed, home: Home) -> None:
    port = feed.address.rpartition(":")[2]
    failed = stockml("feed", "--port", port)
    assert failed.returncode == 1
    assert f"expected port {port} to be free for the replay feed" in failed.stderr
    assert "--port" in failed.stderr


def test_settings_and_times_are_read_as_people_write_them() -> None:
    assert as_settings(
        ["training.epochs=3", "training.learning_rate=1e-3", "network.units=[64, 64]", "network.cell=gru"]
    ) == {
        "training": {"epochs": 3, "learning_rate": 0.001},
        "network": {"units": [64, 64], "cell": "gru"},
    }
    assert as_time("2026-11-20T22:45:00-05:00").astimezone(UTC) == datetime(2026, 11, 21, 3, 45, tzinfo=UTC)
    assert as_time("2026-11-20T10:00").tzinfo is UTC
    assert as_time("2026-11-20").time().isoformat() == "23:59:59"


def test_make_run_knows_only_recorded_tickers_without_a_key(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ALPHAVANTAGE_API_KEY", raising=False)
    command = [sys.executable, "-m", "deployments.run", "HPQ"]
    failed = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert failed.returncode == 1
    assert "expected one of the recorded tickers AAPL, FB, GOOG, IBM, MSFT, found HPQ" in failed.stderr


@pytest.mark.slow
def test_make_run_goes_from_nothing_to_a_forecast_and_again_from_the_cache(
    home: Home, feed: Feed, monkeypatch: pytest.MonkeyPatch
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
    assert (held(home), held(replay_home(os.environ))) == ("market", "replay")


def shown_nights(home: Home) -> list[tuple[str, str]]:
    """The runs that stand on a deployment's page, as Prefect's database has them: its name, and how they ended."""
    asked = "select d.name, r.state_type from flow_run r join deployment d on d.id = r.deployment_id"
    with closing(sqlite3.connect(home.prefect / "prefect.db")) as database:
        return list(database.execute(asked))


@pytest.mark.slow
def test_a_free_key_keeps_its_hundred_sessions_and_says_how_to_bring_more(
    home: Home, feed: Feed, monkeypatch: pytest.MonkeyPatch
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
    assert len(BarStore(home.store, home.locks).read("IBM")) == 100
    refused = stockml("history", "IBM")
    assert refused.returncode == 1
    advice = (
        "stockml: IBM: outputsize=full needs a premium key; import a CSV with `stockml import`, or set TIINGO_API_KEY"
    )
    assert refused.stderr.splitlines()[-1] == advice
