"""The command line: quick, one line for each error, truthful exit codes, JSON and nothing else."""

import json
import re
import resource
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from deployments.cli.app import reported, run
from stockml.home import HomePaths
from tests.support.commands import Captured, stockml, store_of

HEAVY = ("tensorflow", "keras", "mlflow", "prefect", "pandas", "numpy", "matplotlib", "rich")


@pytest.mark.slow
def test_help_is_quick_and_loads_nothing_heavy() -> None:
    asked = (
        f"from deployments.cli.app import run; run(['--help']); import sys; print(set({HEAVY}) & "
        "set(sys.modules))"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    shown = subprocess.run(
        [sys.executable, "-c", asked], capture_output=True, text=True, check=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert shown.stdout.endswith("set()\n")
    assert "nightly" in shown.stdout
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1.0


def test_the_version_short_help_and_completion_work(capsys: Captured) -> None:
    assert run(["--version"]) == 0
    digest = "(?!e3b0c442)[0-9a-f]{8}"  # not that of no sources
    assert re.fullmatch(
        rf"stockml \S+ \(code {digest}(, commit [0-9a-f]{{12}}.*)?\)\n", capsys.readouterr().out
    )
    commands = stockml("--help", COLUMNS="80").stdout.partition("Commands:")[2]
    assert "..." not in commands, "each description fits on its line"
    assert run(["backfill", "-h"]) == 0
    assert "{TICKER} {FIRST} {LAST}" in capsys.readouterr().out
    for command, named in {
        "import": "{TICKER|FOLDER} [FILE]",
        "backup": "{FILE}",
        "tutorial": "{FILE}...",
    }.items():
        assert run([command, "-h"]) == 0
        assert (
            capsys.readouterr().out.splitlines()[0] == f"Usage: stockml {command} [OPTIONS] {named}"
        )
    completed = stockml(
        _STOCKML_COMPLETE="complete_bash", COMP_WORDS="stockml back", COMP_CWORD="1"
    )
    assert completed.stdout.split() == ["backfill", "backtest", "backup"]


def test_a_night_on_a_day_without_a_session_ends_at_once(home: HomePaths, capsys: Captured) -> None:
    assert run(["nightly", "IBM", "--session", "2013-03-02"]) == 0
    assert capsys.readouterr().out == "IBM: no session on 2013-03-02; the next is 2013-03-04\n"
    assert run(["nightly", "IBM", "--session", "2013-03-02", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["status"], shown["session"]) == ("skipped", "2013-03-02")
    assert not home.root.exists(), "no server was started"


def test_without_a_command_the_list_of_commands_is_shown(capsys: Captured) -> None:
    assert run([]) == 0
    assert capsys.readouterr().out.startswith("Usage: stockml")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nightly"], "Missing argument 'TICKER'"),
        (
            ["nightly", "KO", "PEP"],
            "extra argument(s) (PEP); `stockml universe` runs the nights of several; see ",
        ),
        (
            ["nightly", "../etc/passwd"],
            "expected a ticker like IBM, BRK-B or TSCO.LON, found '../etc/passwd'",
        ),
        (
            ["nightly", "IBM", "--session", "2013-02-30"],
            "expected a trading day as YYYY-MM-DD, found '2013-02-30'",
        ),
        (
            ["nightly", "IBM", "--mode", "fast"],
            "'--mode': 'fast' is not one of 'auto', 'retrain', 'fine-tune', 'keep'",
        ),
        (["nightly", "IBM", "--profile", "secret"], "'secret' is not one of 'nightly', 'tutorial'"),
        (
            ["nightly", "IBM", "--set", "epochs=3"],
            "a setting as evaluation.direction_step=20, found 'epochs=3'",
        ),
        (
            ["nightly", "IBM", "--set", "training.seed=2026-02-30"],
            "plain value for training.seed, found '2026-02-30'",
        ),
        (
            ["nightly", "IBM", "--set", "training.luck=1"],
            "expected training.luck to be one of batch_size",
        ),
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
        (["backtest", f"--prices={__file__}"], "expected a folder, found '" + __file__),
        (["backtest", "--prices="], "expected a folder, found ''"),
        (["backtest"], "expected a ticker of the store, or --prices FOLDER"),
        (["backtest", "IBM", "--from=2012-03-01"], "expected --from DATE before --to DATE, found"),
        (
            ["backtest", "IBM", "--from=2012-03-01", "--to=2012-03-01"],
            "--from 2012-03-01 and --to 2012-03-01",
        ),
        (
            ["tune", "IBM", "--profile", "nightly"],
            "the nightly network is the pretrained one, which `stockml pretrain` learns",
        ),
        (["tutorial", "hpq.us.txt", f"--plots={__file__}"], "test_cli_app.py' is a file"),
        (
            ["tune", "../etc/passwd"],
            "expected a ticker like IBM, BRK-B or TSCO.LON, found '../etc/passwd'",
        ),
        (
            ["tune", "hpq.us.txt", "--profile", "tutorial", "--calendar", "XNYS"],
            "expected no --calendar with --profile tutorial",
        ),
        (
            ["universe", "IBM", "not a ticker"],
            "expected a ticker like IBM, BRK-B or TSCO.LON, found 'not a ticker'",
        ),
        (
            ["backfill", "IBM", "2013-02-01", "yesterday"],
            "expected a trading day as YYYY-MM-DD, found 'yesterday'",
        ),
        (
            ["maintenance", "--keep", "models"],
            "expected a setting as model_days=30, found 'models'",
        ),
        (["maintenance", "--keep", "x=1"], "expected keep.x to be one of cache_days, champions,"),
        (
            ["bars", "IBM", "--as-of", "noon"],
            "expected a time as 2026-11-20T22:45:00-05:00, found 'noon'",
        ),
        (
            ["bars", "IBM", "--as-of", "9999-12-31"],
            "expected a time as 2026-11-20T22:45:00-05:00, found '9999-12-31'",
        ),
        (
            ["bars", "IBM", "--as-of", "0001-01-01"],
            "expected a time as 2026-11-20T22:45:00-05:00, found '0001-01-01'",
        ),
        (["import", "IBM", "--dry-run"], "expected a file to read so, found none"),
        (["bars", "IBM", "--csv", "--json"], "expected --csv or --json, found both"),
        (
            ["bars", "IBM", "--accept=2013-03-01", "--reject=2013-03-01"],
            "accepted or rejected, found both",
        ),
        (
            ["bars", "IBM", "--holes", "--as-of=2013-03-01"],
            "for the bars themselves, found it with --holes",
        ),
        (
            ["bars", "IBM", "--restated", "--csv"],
            "expected --csv for the bars themselves, found it with --restated",
        ),
        (["bars", "IBM", "--restated", "--holes"], "expected --restated or --holes, found both"),
        (["bars", "IBM", "--upside-down"], "No such option: --upside-down"),
        (["up", "--prefect-port", "70000"], "less than or equal to 65535"),
        (["dance"], "No such command 'dance'"),
        (
            ["backtest", "IBM", "--from", "2012-01-03", "--to", "2012-03-01"],
            (
                "expected a span of at least 20 nights, found 9 at most; take a longer one, or a "
                "smaller --every"
            ),
        ),
        (["tickers", "rename", "IBM", "IBM"], "expected another symbol than IBM"),
        (["tickers", "rename", "IBM", "MSFT"], "expected a symbol outside the list, found MSFT"),
        (["tickers", "rename", "IBN", "META"], "home/replay knows, found IBN"),
        (["nightly", "IBM", "--calendar", "XMARS"], "XMARS"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_two(
    arguments: list[str], says: str, home: HomePaths, capsys: Captured
) -> None:
    assert run(arguments) == 2
    assert not list(home.root.rglob("models")), "a mistyped name leaves nothing behind"
    shown = capsys.readouterr()
    assert says in shown.err
    assert "--help" in shown.err
    assert len(shown.err.splitlines()) == 1
    assert ("`stockml universe`" in shown.err) == (arguments[-1] == "PEP"), (
        "where several are named for one"
    )
    assert shown.out == ""


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ["bars", "IBM"],
            (
                "no bars and no history of IBM; fetch with `stockml nightly`, or bring history "
                "with `stockml import`"
            ),
        ),
        (["forecast", "IBM"], "home/replay, found none; make one with `stockml nightly IBM`"),
        (["forecast", "IBM", "--past"], "no bars and no history of IBM"),
        (
            ["backtest", "IBM", "--from=2012-03-05", "--to=2012-03-30", "--every=1"],
            "no bars and no history of IBM",
        ),
        (["rollback", "IBM"], "nothing to roll back to in "),
        (
            ["import", "IBM", "nowhere.csv"],
            "nowhere.csv: cannot be read: No such file or directory; see that",
        ),
        (
            ["backup", "nowhere/home.zip"],
            "nowhere/home.zip: expected a new name, in a folder that is there",
        ),
        (["backfill", "IBM", "2013-03-01", "2013-02-01"], "exchange the two"),
        (
            ["nightly", "IBM", "--session", "2013-03-04"],
            "and this replay's clock stands at 2013-03-01 23:00 EST",
        ),
    ],
)
def test_an_impossible_request_is_one_line_and_exit_code_one(
    arguments: list[str], says: str, home: HomePaths, capsys: Captured
) -> None:
    assert run(arguments) == 1
    assert not list(home.root.rglob("models")), "a mistyped name leaves nothing behind"
    shown = capsys.readouterr()
    assert says in shown.err
    assert len(shown.err.splitlines()) == 1
    assert shown.out == ""


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (
            500,
            (
                "stockml: the server at 127.0.0.1:4200 failed within; `stockml doctor` looks at "
                "its database, and"
            ),
        ),
        (
            401,
            (
                "stockml: expected the password of the server at 127.0.0.1:4200, found none or a "
                "wrong one; set"
            ),
        ),
        (
            403,
            (
                "stockml: expected an answer of the server at 127.0.0.1:4200, found status 403 "
                "to GET /api/flows (of a pr"
            ),
        ),
    ],
)
def test_a_servers_error_names_the_server_and_says_what_to_do(
    status: int, says: str, capsys: Captured
) -> None:
    request = httpx.Request("GET", "http://me:secret@127.0.0.1:4200/api/flows")

    def asked() -> int:
        httpx.Response(status, text="of a proxy", request=request).raise_for_status()
        return 0

    assert reported(asked) == 1
    assert capsys.readouterr().err.startswith(says)


def test_an_unexpected_error_is_one_line_and_its_traceback_is_in_the_home(
    home: HomePaths, capsys: Captured
) -> None:
    assert reported(lambda: 1 // 0) == 1
    shown = capsys.readouterr()
    assert len(shown.err.splitlines()) == 1
    assert "unexpected ZeroDivisionError" in shown.err
    assert re.match(
        r"(?s)stockml \S+ \(code .*Traceback", (home.root / "last-error.txt").read_text()
    )


def test_a_home_that_cannot_be_written_is_reported(
    home: HomePaths, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    home.root.write_text("in the way")
    for place in (home.root, Path("/proc/nope")):
        monkeypatch.setenv("STOCKML_HOME", str(place))
        assert run(["nightly", "IBM"]) == 1
        assert (
            "expected a home that can be written, found" in capsys.readouterr().err.splitlines()[-1]
        )


@pytest.mark.slow
def test_a_reader_that_stops_early_causes_no_error(home: HomePaths) -> None:
    store_of(home, sessions=3000)
    command = f"set -o pipefail; {sys.executable} -m deployments.cli bars IBM --csv | head -1"
    shown = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (shown.returncode, shown.stdout, shown.stderr) == (
        0,
        "session,open,high,low,close,volume\n",
        "",
    )
