"""What counts as damage: not that another version of stockml shipped what a champion rests on, nor
a change of a database that a killed process left."""

import json
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from deployments.doctor import nights, settings, tickers
from stockml.errors import InvalidFile
from stockml.forecasts.ledger import Ledger
from stockml.home import HomePaths
from stockml.maintenance.integrity import check_champion, damaged_vintages, database_fault
from stockml.maintenance.retention import RetentionSettings, due
from stockml.models.registry import Registry
from stockml.models.vintage_store import SHIPPED
from stockml.nights.record import night_path, write_night
from stockml.nights.status import known_tickers, rows
from stockml.prices.store import BarStore
from stockml.storage.files import sha256_of, write_atomically
from tasks.maintenance import _kept_keys
from tests.stockml.models.test_registry import night
from tests.support.forecasts import entry
from tests.support.nights import recorded_night

NOW = datetime(2026, 11, 24, tzinfo=UTC)


def champion_on(home: HomePaths, pretrained: str) -> None:
    made = night(home.models, 1)
    networks = {"published": {"pool": {"pretrained": f"{pretrained} {'0' * 64}"}}}
    (Path(made.path) / "model.json").write_text(json.dumps({"networks": networks}))
    Registry(home.models).promote(replace(made, sha256=sha256_of(made.path) or ""))


def test_a_champion_on_a_pretrained_network_as_another_version_shipped_it_is_no_damage(
    home: HomePaths,
) -> None:
    champion_on(home, "network-2005-06.npz")
    check_champion(home, "IBM")


@pytest.mark.parametrize("pretrained", ["network-2024-12.npz", "network-2005-06.npz"])
def test_a_champion_whose_own_pretrained_network_is_lost_or_replaced_is_damaged(
    home: HomePaths, pretrained: str
) -> None:
    champion_on(home, pretrained)
    home.pretrained.mkdir()
    shutil.copy(SHIPPED / "network-2005-06.npz", home.pretrained)
    with pytest.raises(InvalidFile, match=f"{pretrained}: expected content of SHA-256 0"):
        check_champion(home, "IBM")


def test_missing_bars_of_a_ticker_with_forecasts_are_named_as_the_doctor_names_them(
    home: HomePaths,
) -> None:
    Ledger(home.ledger).publish(entry(20))
    [check] = tickers(home, NOW)
    assert check.found.startswith(
        f"{BarStore.of(home).path('IBM')}: no bars, though there are forecasts"
    )


def test_a_copy_made_by_hand_is_no_ticker_and_stops_neither_checks_nor_clean_up(
    home: HomePaths,
) -> None:
    champion_on(home, "network-2005-06.npz")
    shutil.copytree(home.models / "IBM", home.models / "IBM copy")
    home.ledger.mkdir()
    # the latter a Mac's, on a disk of another system
    for name in (
        "IBM copy.parquet",
        "._IBM.parquet",
    ):
        (home.ledger / name).write_bytes(b"a copy")
    write_night(recorded_night(), night_path(home.nights, "IBM copy", recorded_night().key))
    write_atomically(home.settings / "._IBM.json", b"a copy")
    assert [*settings(home), *nights(home)] == []
    assert due(home, RetentionSettings(), NOW) == ([], [])
    assert [check.name for check in tickers(home, NOW)] == ["IBM"]
    assert rows(home, known_tickers(home), NOW) == []
    assert _kept_keys(RetentionSettings()) == {f"{1:064x}"}


def test_a_damaged_pretrained_network_that_was_superseded_is_told_with_its_own_way_back(
    home: HomePaths,
) -> None:
    """Neither can it be learned anew nor does an older one take its place: a model names this very
    one."""
    for path in (
        now := home.pretrained / "network-2005-06.npz",
        before := home.pretrained / "superseded" / "0" / now.name,
    ):
        write_atomically(path, b"damaged")
    told = dict(fault.split(": expected ", 1) for fault in damaged_vintages(home))
    assert "learn it anew with `stockml pretrain`" in told[str(now)]
    assert told[str(before)].endswith(
        "; restore it from a backup, or move it away: what stands on it is then trained anew"
    )


KILLED_MID_CHANGE = """
import os, signal, sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("PRAGMA cache_size = 1")
database.execute("BEGIN")
database.execute("UPDATE runs SET name = zeroblob(2000)")
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_change_left_half_done_by_a_killed_process_is_rolled_back_and_is_no_fault(
    tmp_path: Path,
) -> None:
    path = tmp_path / "mlflow.db"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE runs (name BLOB)")
        database.executemany(
            "INSERT INTO runs VALUES (zeroblob(?))", [(1_000 + n,) for n in range(50)]
        )
        before = database.execute("SELECT name FROM runs").fetchall()
    subprocess.run([sys.executable, "-c", KILLED_MID_CHANGE, str(path)], check=False)
    assert path.with_name("mlflow.db-journal").stat().st_size, "the change had reached the file"
    assert database_fault(path, "runs") is None
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT name FROM runs").fetchall() == before


def test_a_damaged_file_or_one_of_another_program_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    assert database_fault(path, "runs") is None
    path.touch()
    assert database_fault(path, "runs") == "an empty file"
    path.write_bytes(b"no database" * 100)
    assert database_fault(path, "runs") == "file is not a database"
    path.unlink()
    sqlite3.connect(path).close()
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE others (name TEXT)")
    assert database_fault(path, "runs") == "no table `runs`"


def test_a_file_that_another_program_has_locked_is_not_called_damaged(tmp_path: Path) -> None:
    path = tmp_path / "one.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("CREATE TABLE runs (id INTEGER)")
        database.execute("BEGIN EXCLUSIVE")
        assert database_fault(path, "runs", thorough=True) is None
