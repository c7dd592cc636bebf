"""`make run`, the first nights with one's own key, and a night that is asked for again, end to end.

A repeated night is answered from what it left, without starting anything, as long as all of that is
unchanged.
"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
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
from stockml.provider.price_source import kind_in, replay_home
from tests.support.commands import Captured, here, make_run, stockml
from tests.support.scripted_feed import ScriptedFeed

SESSION, USUAL = date(2013, 3, 1), chosen("nightly", "auto", None)
NOTHING_NEW = "nothing has changed since that night ran"


def test_without_a_key_make_run_knows_only_recorded_tickers(
    home: HomePaths, capsys: Captured
) -> None:
    assert here("nightly", "HPQ") == 1
    assert "recorded tickers AAPL, FB, GOOG, IBM, MSFT, found HPQ" in capsys.readouterr().err


@pytest.fixture(scope="module")
def server(prefect_server: None) -> dict[str, str]:
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
def twice(tmp_path_factory: pytest.TempPathFactory, server: dict[str, str]) -> Iterator[TwoRuns]:
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
def test_make_run_goes_from_nothing_to_a_forecast_and_repeats_it_from_what_it_left(
    twice: TwoRuns, capsys: Captured
) -> None:
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


def shown(printed: str) -> dict[str, object]:
    """The printed night without its duration, which in its record lacks the last steps."""
    return {**json.loads(printed), "seconds": None}


def spoil(path: Path) -> Callable[[], object]:
    """Change a byte of a file, or of a folder's first file; return a function that puts it back."""
    file = min(path.rglob("[!._]*.*")) if path.is_dir() else path
    content = file.read_bytes()
    file.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    return lambda: file.write_bytes(content)


@pytest.mark.slow
def test_a_night_is_run_again_if_anything_that_it_left_has_changed(twice: TwoRuns) -> None:
    place = twice.place
    asked = place, "MSFT", SESSION, USUAL, None
    night = finished_night(*asked)
    assert isinstance(night, Night)
    assert finished_night(place, "MSFT", date(2013, 2, 28), USUAL, None) is None
    assert finished_night(place, "MSFT", SESSION, chosen("nightly", "keep", None), None) is None
    assert finished_night(place, "MSFT", SESSION, USUAL, "XLON") is None
    left = json.loads((place.nights / "MSFT" / FILE).read_bytes())["files"]
    for path in map(Path, (*left, str(place.nights / "MSFT" / FILE))):
        put_back = spoil(path)
        assert finished_night(*asked) is None, path
        put_back()
    assert finished_night(*asked) == night
    copied = shutil.copytree(place.root, place.root.with_name("copied"))
    assert finished_night(home_of({"STOCKML_HOME": str(copied)}), *asked[1:]) is None, (
        "what it left is elsewhere"
    )


@pytest.mark.slow
def test_a_repeated_night_is_answered_at_once_and_starts_nothing(
    twice: TwoRuns, server: dict[str, str], capfd: Captured
) -> None:
    other = ("nightly", "MSFT", "--json", "--set", "evaluation.direction_step=20")
    asked = twice.place, "MSFT", SESSION
    usual = finished_night(*asked, USUAL, None)
    assert here(*other, **server, STOCKML_HOME=str(twice.place.root)) == 0
    changed = capfd.readouterr()
    assert NOTHING_NEW not in changed.err, "the newest night has other settings"
    again = stockml(*other, PYTHONPROFILEIMPORTTIME="1")
    assert (again.returncode, shown(again.stdout)) == (0, shown(changed.out))
    assert NOTHING_NEW in again.stderr
    assert " | prefect" not in again.stderr.replace("|   ", "| ")
    assert usual
    assert shown(changed.out)["config_hash"] != usual.config_hash
    assert finished_night(*asked, USUAL, None) is None, "another night has finished since"
    settings = chosen("nightly", "auto", {"evaluation": {"direction_step": 20}})
    assert finished_night(*asked, settings, None)
    store = BarStore.of(twice.place)
    store.judge(
        "MSFT", date(2013, 2, 27), accepted=False, recorded_at=datetime.now(UTC), source="a test"
    )
    assert finished_night(*asked, settings, None) is None, "its bars have changed"


@pytest.mark.slow
def test_with_ones_own_key_the_markets_bars_are_stored_beside_the_replays(
    twice: TwoRuns, feed: ScriptedFeed, server: dict[str, str], capfd: Captured
) -> None:
    """The README's order; the last test to use this home."""
    of_ones_own = server | {"ALPHAVANTAGE_API_KEY": "mine12345", "ALPHAVANTAGE_URL": feed.url}
    here("nightly", "MSFT", "--json", **of_ones_own)
    mine = capfd.readouterr()
    assert (json.loads(mine.out)["status"], "stale" in mine.out) == ("skipped", True), mine.err
    assert (
        here("import", "MSFT", **of_ones_own, TIINGO_API_KEY="mine1234567", TIINGO_URL=feed.url)
        == 0
    )
    more = capfd.readouterr()
    told = "MSFT: 100 bars added, 0 restated, 0 as before; no history from tiingo: "
    assert more.out.startswith(told), more.err
    assert (kind_in(home_of()), kind_in(twice.place)) == ("market", "replay")


@pytest.mark.slow
def test_a_free_key_keeps_its_hundred_sessions_and_says_how_to_add_more(
    with_tables: HomePaths,
    feed: ScriptedFeed,
    server: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capfd: Captured,
) -> None:
    home = with_tables
    feed.set_clock(date(2013, 3, 1))
    monkeypatch.setenv("ALPHAVANTAGE_API_KEY", "freekey12345")
    monkeypatch.setenv("ALPHAVANTAGE_URL", feed.url)
    monkeypatch.setenv("STOCKML_CLOCK", feed.now.isoformat())
    ran = make_run("IBM")
    assert (ran.returncode, "after 50 sessions" in ran.stdout) == (0, True), ran.stderr
    assert [asked.outputsize for asked in feed.asked] == ["compact"], (
        "what a free key never gets is not requested"
    )
    assert "freekey12345" not in ran.stdout + ran.stderr
    assert len(BarStore.of(home).read("IBM")) == 100
    assert here("import", "IBM", **server) == 1
    assert "TIINGO_API_KEY" in capfd.readouterr().err.splitlines()[-1]
