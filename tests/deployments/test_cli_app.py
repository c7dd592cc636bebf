"""The command line: quick, one line for each error, truthful exit codes, JSON and nothing else."""

import json
import re
import resource
import subprocess
import sys

import httpx
import pytest

from deployments.cli.app import reported, run
from tests.support.commands import stockml, store_of

HEAVY = ("tensorflow", "keras", "mlflow", "prefect", "pandas", "numpy", "matplotlib", "rich")
TEST = "2012-03-01"


@pytest.mark.slow
def test_help_is_quick_and_loads_nothing_heavy():
    loaded = f"import sys; print(set({HEAVY}) & set(sys.modules))"
    asked = f"from deployments.cli.app import run; run([]); {loaded}"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    shown = subprocess.check_output([sys.executable, "-c", asked], text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert shown.startswith("Usage: stockml")
    assert shown.endswith("set()\n")
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1.0


def test_the_version_short_help_and_completion_work(capsys):
    assert run(["--version"]) == 0
    digest = "(?!e3b0c442)[0-9a-f]{8}"  # not that of no sources
    assert re.match(rf"stockml \S+ \(code {digest}", capsys.readouterr().out)
    commands = stockml("--help", COLUMNS="80").stdout.partition("Commands:")[2]
    assert "..." not in commands, "each description fits on its line"
    assert run(["import", "-h"]) == 0
    assert "{TICKER|FOLDER} [FILE]" in capsys.readouterr().out
    completed = stockml(
        _STOCKML_COMPLETE="complete_bash", COMP_WORDS="stockml back", COMP_CWORD="1"
    )
    assert completed.stdout.split() == ["backfill", "backtest", "backup"]


def test_a_night_on_a_day_without_a_session_ends_at_once(home, capsys):
    assert run(["nightly", "IBM", "--session", "2013-03-02"]) == 0
    assert "the next is 2013-03-04" in capsys.readouterr().out
    assert run(["nightly", "IBM", "--session", "2013-03-02", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["status"], shown["session"]) == ("skipped", "2013-03-02")
    assert not home.root.exists(), "no server was started"


WRONG_USAGE = [
    ("nightly", "TICKER"),
    ("nightly KO PEP", "`stockml universe`"),
    ("nightly ../etc/passwd", "'../etc/passwd'"),
    ("nightly IBM --session 2013-02-30", "YYYY-MM-DD, found '2013-02-30'"),
    ("nightly IBM --mode fast", "'fast' is not one of"),
    ("nightly IBM --set epochs=3", "found 'epochs=3'"),
    ("nightly IBM --set training.seed=2026-02-30", "found '2026-02-30'"),
    ("nightly IBM --set training.epochs=0", "between 1 and 1000, found 0"),
    ("nightly IBM --calendar XMARS", "XMARS"),
    ("tutorial hpq.us.txt --set policy.scale_drift=3", "network.units"),
    (f"backtest --prices={__file__}", "expected a folder, found '" + __file__),
    ("backtest --prices=", "expected a folder, found ''"),
    ("backtest", "--prices FOLDER"),
    (f"backtest IBM --from={TEST}", f"found --from {TEST} and --to missing"),
    (f"backtest IBM --from=2012-01-03 --to={TEST}", "at least 20 nights, found 9"),
    ("tune hpq.us.txt --calendar XNYS", "--calendar"),
    ("maintenance --keep models", "found 'models'"),
    ("maintenance --keep x=1", "keep.x"),
    ("import IBM --dry-run", "expected a file"),
    ("bars IBM --as-of noon", "found 'noon'"),
    ("bars IBM --as-of 9999-12-31", "found '9999-12-31'"),
    ("bars IBM --csv --json", "--csv or --json"),
    ("bars IBM --accept=2013-03-01 --reject=2013-03-01", "found both"),
    ("bars IBM --restated --csv", "found two"),
    ("dance", "'dance'"),
    ("tickers rename IBM IBM", "another symbol than IBM"),
    ("tickers rename IBM MSFT", "outside the list, found MSFT"),
    ("tickers rename IBN META", "found IBN"),
]
IMPOSSIBLE = [
    ("bars IBM", "stockml import"),
    ("forecast IBM", "`stockml nightly IBM`"),
    ("forecast IBM --past", "no history of IBM"),
    ("backtest IBM --from=2012-03-05 --to=2012-03-30 --every=1", "no history of IBM"),
    ("rollback IBM", "nothing to roll back to"),
    ("import IBM nowhere.csv", "nowhere.csv"),
    ("backup nowhere/home.zip", "nowhere/home.zip"),
    ("backfill IBM 2013-03-01 2013-02-01", "exchange the two"),
    ("nightly IBM --session 2013-03-04", "2013-03-01 23:00 EST"),
    ("nightly HPQ", "recorded tickers AAPL, FB, GOOG, IBM, MSFT, found HPQ"),
    ("up --address 0.0.0.0", "set PREFECT_SERVER_API_AUTH_STRING=user:password"),
]


@pytest.mark.parametrize(
    ("command", "says", "code"),
    [(*each, 2) for each in WRONG_USAGE] + [(*each, 1) for each in IMPOSSIBLE],
)
def test_wrong_usage_and_an_impossible_request_are_one_line_and_an_exit_code(
    command, says, code, home, capsys
):
    assert run(command.split()) == code
    assert not list(home.root.rglob("models")), "a mistyped name leaves nothing behind"
    shown = capsys.readouterr()
    assert says in shown.err
    assert "--help" in shown.err or code == 1
    assert (len(shown.err.splitlines()), shown.out) == (1, "")


@pytest.mark.parametrize(
    ("status", "says"), [(500, "doctor"), (401, "AUTH_STRING"), (403, "of a proxy")]
)
def test_a_servers_error_names_the_server_and_says_what_to_do(status, says, capsys):
    request = httpx.Request("GET", "http://me:secret@127.0.0.1:4200/api/flows")

    def asked():
        httpx.Response(status, text="of a proxy", request=request).raise_for_status()
        return 0

    assert reported(asked) == 1
    told = capsys.readouterr().err
    assert "the server at 127.0.0.1:4200" in told
    assert says in told
    assert "secret" not in told


def test_an_unexpected_error_is_one_line_and_its_traceback_is_in_the_home(home, capsys):
    assert reported(lambda: 1 // 0) == 1
    assert "unexpected ZeroDivisionError" in capsys.readouterr().err
    report = (home.root / "last-error.txt").read_text()
    assert re.match(r"(?s)stockml \S+ \(code .*Traceback", report)


@pytest.mark.slow
@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("PREFECT_SERVER_API_PORT", "secret", "ServerAPISettings.port"),
        ("PREFECT_PROFILES_PATH", __file__, "after a key"),
    ],
)
def test_what_prefect_refuses_of_the_environment_is_told_without_its_secrets(variable, value, told):
    failed = stockml("nightly", "IBM", **{variable: value})
    said = failed.stderr.splitlines()[-1]  # above it, Prefect may say the same at length
    assert (failed.returncode, told in said) == (1, True), said
    assert not re.search("secret|report it", said)


def test_a_home_that_cannot_be_written_is_reported(home, monkeypatch, capsys):
    home.root.write_text("in the way")
    for place in (home.root, "/proc/nope"):
        monkeypatch.setenv("STOCKML_HOME", str(place))
        assert run(["nightly", "IBM"]) == 1
        assert "expected a home that can be written" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.slow
def test_a_reader_that_stops_early_causes_no_error(home):
    store_of(home, sessions=3000)
    command = f"set -o pipefail; {sys.executable} -m deployments.cli bars IBM --csv | head -1"
    pipes = {"stderr": subprocess.STDOUT, "text": True}
    shown = subprocess.check_output(["bash", "-c", command], **pipes)
    assert shown == "session,open,high,low,close,volume\n"
