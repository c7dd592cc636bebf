"""Databases of other programs: whole, damaged, or left in the middle of a change by a process that
was killed."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from stockml.storage.sqlite_files import fault_of

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
    assert fault_of(path, "runs") is None
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT name FROM runs").fetchall() == before


def test_a_damaged_file_or_one_of_another_program_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    assert fault_of(path, "runs") is None
    path.touch()
    assert fault_of(path, "runs") == "an empty file"
    path.write_bytes(b"no database" * 100)
    assert fault_of(path, "runs") == "file is not a database"
    path.unlink()
    sqlite3.connect(path).close()
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE others (name TEXT)")
    assert fault_of(path, "runs") == "no table `runs`"


def test_a_file_that_another_program_has_locked_is_not_called_damaged(tmp_path: Path) -> None:
    path = tmp_path / "one.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("CREATE TABLE runs (id INTEGER)")
        database.execute("BEGIN EXCLUSIVE")
        assert fault_of(path, "runs", thorough=True) is None
