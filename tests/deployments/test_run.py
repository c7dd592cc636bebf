"""`make run`, the first nights with one's own key, and a night that is asked for again, end to end.

A repeated night is answered from what it left, without starting anything, as long as all of that is
unchanged.
"""

import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from deployments.cli.options import NO_PROXY
from flows.form import chosen
from stockml.home import HomePaths
from stockml.home import current_home as home_of
from stockml.nights.finished_nights import FILE, finished_night
from stockml.nights.record import Night
from stockml.nights.status import rows
from stockml.prices.store import BarStore
from stockml.provider.price_source import replay_home
from tests.support.commands import here, make_run, stockml
from tests.support.scripted_feed import ScriptedFeed

SESSION, USUAL = date(2013, 3, 1), chosen("nightly", "auto", None)
NOTHING_NEW = "nothing has changed since that night ran"


@pytest.fixture(scope="module")
def server(prefect_server):
    """A shared server, for commands whose own is not under test: starting one takes half of their
    time."""
    from prefect.settings import PREFECT_API_URL

    return {"PREFECT_API_URL": str(PREFECT_API_URL.value())}


@dataclass(frozen=True)
class TwoRuns:
    """`make run MSFT` twice in a home without a key: the nights' home, and what the runs printed.

    At the first, a proxy is configured that is not up: the command's own servers are asked without
    it.
    """

    place: HomePaths
    ran: "tuple[subprocess.CompletedProcess[str], ...]"


@pytest.fixture(scope="module")
def twice(tmp_path_factory, server):
    with pytest.MonkeyPatch.context() as patch, ScriptedFeed() as feed:
        patch.setenv("STOCKML_HOME", str(tmp_path_factory.mktemp("twice")))
        for name in (
            "ALPHAVANTAGE_API_KEY",
            "STOCKML_STORE",
            "MLFLOW_TRACKING_URI",
            "PREFECT_API_URL",
            *NO_PROXY,
        ):
            patch.delenv(name, raising=False)
        refused = here(
            "nightly", "MSFT", **server, ALPHAVANTAGE_API_KEY="invalid", ALPHAVANTAGE_URL=feed.url
        )
        assert (refused, home_of().in_use) == (1, False), "a failed night does not stamp the home"
        why = rows(home_of(), ["MSFT"], datetime.now(UTC))[0].state
        assert why.startswith("failed: "), why
        yield TwoRuns(
            replay_home(os.environ),
            (make_run("MSFT", http_proxy="http://127.0.0.1:9"), make_run("MSFT")),
        )


@pytest.mark.slow
def test_make_run_goes_from_nothing_to_a_forecast_and_repeats_it_from_what_it_left(twice, capsys):
    first, second = twice.ran
    assert first.returncode == 0
    assert re.match("MSFT closed at .* on Friday 1 March 2013, the newest close", first.stdout)
    assert second.stdout == first.stdout
    assert NOTHING_NEW in second.stderr
    assert "warning" not in (first.stderr + second.stderr).lower()

    assert here("forecast", "MSFT", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert here("forecast", "MSFT", "--past", "--json") == 0
    kept = json.loads(capsys.readouterr().out)
    assert (shown["origin"], len(shown["path"])) == ("2013-03-01", 50)
    assert (len(kept["entries"]), kept["forecasts"]) == (1, 1)


@pytest.mark.slow
def test_a_night_is_run_again_if_anything_that_it_left_has_changed(twice):
    place = twice.place
    asked = place, "MSFT", SESSION, USUAL, None
    night = finished_night(*asked)
    assert isinstance(night, Night)
    assert finished_night(place, "MSFT", date(2013, 2, 28), USUAL, None) is None
    assert finished_night(place, "MSFT", SESSION, chosen("nightly", "keep", None), None) is None
    assert finished_night(place, "MSFT", SESSION, USUAL, "XLON") is None
    kept = place.nights / "MSFT" / FILE
    for path in map(Path, (*json.loads(kept.read_bytes())["files"], kept)):
        file = min(path.rglob("[!._]*.*")) if path.is_dir() else path
        content = file.read_bytes()
        file.write_bytes(bytes([content[0] ^ 1]) + content[1:])
        assert finished_night(*asked) is None, path
        file.write_bytes(content)
    assert finished_night(*asked) == night
    copied = shutil.copytree(place.root, place.root.with_name("copied"))
    elsewhere = home_of({"STOCKML_HOME": str(copied)})
    assert finished_night(elsewhere, *asked[1:]) is None, "what it left is elsewhere"


@pytest.mark.slow
def test_a_repeated_night_is_answered_at_once_and_starts_nothing(twice, server, capfd):
    other = ("nightly", "MSFT", "--json", "--set", "evaluation.direction_step=20")
    asked = twice.place, "MSFT", SESSION
    usual = finished_night(*asked, USUAL, None)
    assert here(*other, **server, STOCKML_HOME=str(twice.place.root)) == 0
    changed = capfd.readouterr()
    assert NOTHING_NEW not in changed.err, "the newest night has other settings"
    again = stockml(*other, PYTHONPROFILEIMPORTTIME="1")
    assert again.returncode == 0
    # in the record, the duration lacks the last steps
    first, second = ({**json.loads(text), "seconds": 0} for text in (changed.out, again.stdout))
    assert first == second
    assert NOTHING_NEW in again.stderr
    assert " | prefect" not in again.stderr.replace("|   ", "| ")
    assert usual
    assert first["config_hash"] != usual.config_hash
    assert finished_night(*asked, USUAL, None) is None, "another night has finished since"
    settings = chosen("nightly", "auto", {"evaluation": {"direction_step": 20}})
    assert finished_night(*asked, settings, None)
    now = {"recorded_at": datetime.now(UTC), "source": "a test"}
    BarStore.of(twice.place).judge("MSFT", date(2013, 2, 27), accepted=False, **now)
    assert finished_night(*asked, settings, None) is None, "its bars have changed"


@pytest.mark.slow
def test_a_free_key_keeps_its_hundred_sessions_and_says_how_to_add_more(
    with_tables,
    feed,
    server,
    monkeypatch,
    capfd,
):
    feed.set_clock(date(2013, 3, 1))
    monkeypatch.setenv("ALPHAVANTAGE_API_KEY", "freekey12345")
    monkeypatch.setenv("ALPHAVANTAGE_URL", feed.url)
    monkeypatch.setenv("STOCKML_CLOCK", feed.now.isoformat())
    ran = make_run("IBM")
    assert (ran.returncode, "after 50 sessions" in ran.stdout) == (0, True), ran.stderr
    sizes = [asked.outputsize for asked in feed.asked]
    assert sizes == ["compact"], "what a free key never gets is not requested"
    assert "freekey12345" not in ran.stdout + ran.stderr
    assert len(BarStore.of(with_tables).read("IBM")) == 100
    assert here("import", "IBM", **server) == 1
    assert "TIINGO_API_KEY" in capfd.readouterr().err.splitlines()[-1]
