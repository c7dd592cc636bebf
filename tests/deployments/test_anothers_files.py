"""What another user left in a home, as `sudo stockml` does, is named, and costs nothing but what needs it."""

import ctypes
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from deployments.registration import own_list
from stockml.errors import InvalidFile, StoreError
from stockml.forecasts.ledger import Ledger
from stockml.home import Home
from stockml.nights.glance import keep_newest
from stockml.nights.record import night_path, write_night
from stockml.provider.price_source import claim
from stockml.storage.sharing import ticker_lock
from tests.support.commands import store_of
from tests.support.forecasts import entry
from tests.support.nights import recorded_night
from tests.support.patience import PATIENCE_S
from tests.support.postgres_server import needs_postgres

CAPBSET_DROP, OVER_ALL_RIGHTS = 24, (1, 2)  # Linux: those by which root reads and writes whatever it likes
REFUSED = "Permission denied; see that it is there, and that you may read and write it"


def test_a_file_in_the_home_that_may_not_be_read_is_named_rather_than_the_home(home: Home) -> None:
    store_of(home)
    closed(home.root / "prices.json", b'{"prices": "market"}')
    told = plainly("tickers", "list")
    assert told.returncode == 1
    assert told.stderr == f"stockml: {home.root / 'prices.json'}: {REFUSED}\n"


def test_nights_that_may_not_be_read_are_no_tickers_without_figures(home: Home) -> None:
    night = recorded_night()
    write_night(night, night_path(home.nights, "IBM", night.key))
    keep_newest(home.nights, night)
    Ledger(home.ledger).publish(entry(3))
    (home.nights / "IBM").chmod(0)
    shown = plainly("status", "--json")
    state = {row["ticker"]: row["state"] for row in json.loads(shown.stdout)["tickers"]}["IBM"]
    found = (
        "expected a readable record, found Permission denied; it was left as it is: see that you may read and write it"
    )
    assert state == f"{home.nights / 'IBM' / 'newest.json'}: {found}"


def test_a_list_that_may_not_be_read_costs_no_night_its_row(home: Home) -> None:
    Ledger(home.ledger).publish(entry(3))
    closed(home.tickers, b"tickers: [KO]\n")
    shown = plainly("status", "--json")
    assert [row["ticker"] for row in json.loads(shown.stdout)["tickers"]] == ["IBM"]
    refused = "expected a list of tickers, found one that cannot be read (Permission denied)"
    assert shown.stderr == f"stockml: without your list: {home.tickers}: {refused}\n"


@pytest.mark.parametrize(
    ("place", "command"), [("ledger/IBM.parquet", "ledger"), ("models/IBM/promotions.jsonl", "rollback")]
)
def test_a_record_that_may_not_be_read_is_not_to_be_moved_away(home: Home, place: str, command: str) -> None:
    store_of(home)
    claim(home, "market")
    closed(home.root / place, b"as it was")
    told = plainly(command, "IBM").stderr
    refused = (
        "expected a readable record, found Permission denied; it was left as it is: see that you may read and write it"
    )
    assert told == f"stockml: {home.root / place}: {refused}\n"


@pytest.mark.parametrize("place", ["locks/IBM.night.lock", "settings", "store/IBM.parquet"])
def test_the_doctor_names_what_may_not_be_read_or_written(home: Home, place: str) -> None:
    store_of(home)
    claim(home, "replay")
    path = home.root / place
    path.parent.mkdir(exist_ok=True)
    path.touch() if path.suffix else path.mkdir()
    home.root.chmod(0o700)
    path.chmod(0)
    [rights] = [line for line in plainly("doctor").stdout.splitlines() if " rights: " in line]
    assert rights.startswith(f"PROBLEM rights: {path} may not be read and written by this user")
    assert "chown" in rights
    path.chmod(0o700)
    assert "ok      rights" in plainly("doctor").stdout


@pytest.mark.parametrize("place", ["nights/IBM", "nights/IBM/0/night.json", "models/IBM/a", "settings/IBM.json"])
def test_a_rename_moves_nothing_where_something_of_the_ticker_may_not_be_moved(home: Home, place: str) -> None:
    store_of(home)
    claim(home, "replay")
    closed(home.root / place, b"as it was") if Path(place).suffix else (home.root / place).mkdir(parents=True, mode=0)
    told = plainly("rename", "IBM", "IBMX")
    assert told.returncode == 1
    refused = "expected what may be read and written, found it closed; restore access, then run this again"
    assert told.stderr == f"stockml: {home.root / place}: {refused}\n"
    assert [path.name for path in (home.root / "store").glob("*.parquet")] == ["IBM.parquet"]


@pytest.mark.parametrize("place", ["store", "ledger", "nights", "models"])
def test_what_is_on_a_disk_that_is_away_is_not_taken_for_nothing(home: Home, tmp_path: Path, place: str) -> None:
    store_of(home)
    claim(home, "replay")
    Ledger(home.ledger).publish(entry(3))
    away, linked = tmp_path / "disk" / place, home.root / place
    linked.rename(tmp_path / "aside") if linked.exists() else None
    linked.symlink_to(away)
    way_back = f"found a link to {away}, where nothing is; mount that disk or bring it back"
    for command in (["forecast", "IBM"], ["bars", "IBM"], ["nightly", "IBM"], ["rename", "IBM", "KO"], ["status"]):
        told = plainly(*command)
        assert told.returncode == 1
        assert told.stderr.startswith(f"stockml: {linked}: expected what is kept there, {way_back}")
    with pytest.raises(StoreError, match="mount that disk"), ticker_lock(home, "IBM"):
        pass
    assert f"PROBLEM home: {linked}: " in plainly("doctor").stdout
    assert not away.parent.exists()


def test_a_home_on_a_disk_that_is_away_is_no_new_one(home: Home, tmp_path: Path) -> None:
    (linked := tmp_path / "linked").symlink_to(tmp_path / "disk")
    told = plainly("status", STOCKML_HOME=str(linked / "stockml"))
    assert told.returncode == 1
    assert f"STOCKML_HOME to be a folder that is there (mount the disk that {linked} leads to)" in told.stderr
    assert not (tmp_path / "disk").exists()


def test_a_list_behind_a_link_to_what_is_away_is_not_taken_for_none(home: Home, tmp_path: Path) -> None:
    home.root.mkdir()
    home.tickers.symlink_to(tmp_path / "away.yaml")
    for change in (lambda: own_list.tickers_of(home), lambda: own_list.add(home, ["KO"], {})):
        with pytest.raises(InvalidFile, match=r"tickers\.yaml: expected a list of tickers, found no file"):
            change()
    assert home.tickers.is_symlink()


@needs_postgres
def test_a_shared_state_that_can_only_be_read_is_a_problem(home: Home, stockml_database: str, tmp_path: Path) -> None:
    claim(home, "replay")
    (state := tmp_path / "state").mkdir(mode=0o555)
    there = {"STOCKML_STATE": state.as_uri(), "STOCKML_DATABASE_URL": stockml_database}
    advice = "correct its rights, or STOCKML_STATE"
    assert f"PROBLEM shared state: {state} cannot be written; {advice}\n" in plainly("doctor", **there).stdout
    state.chmod(0o755)
    assert "ok      shared state" in plainly("doctor", **there).stdout


def closed(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(0)


def plainly(*arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
    """Run the command without root's right to read and write what it may not. more: environment variables."""
    streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    command, environ = [sys.executable, "-m", "deployments.cli", *arguments], os.environ | more
    return subprocess.run(command, **streams, env=environ, timeout=PATIENCE_S, check=False, preexec_fn=_as_any_user)


def _as_any_user() -> None:
    if os.geteuid() == 0:
        for right in OVER_ALL_RIGHTS:
            ctypes.CDLL(None).prctl(CAPBSET_DROP, right, 0, 0, 0)
