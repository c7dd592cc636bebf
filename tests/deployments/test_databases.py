"""A new home's tables are those that Prefect's own migrations make; an existing database is left alone."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from deployments.servers.databases import DATABASE, TABLES, create_prefect, local_database
from tests.support.prefect_tables import tables_of


def test_the_tables_are_those_that_the_installed_prefects_migrations_make(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.support.prefect_tables"]
    made = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    written = TABLES.read_text(encoding="utf-8")
    assert lines_of(made) == lines_of(written), "after an upgrade of Prefect, write its tables to the file again"
    create_prefect(tmp_path / "prefect" / "prefect.db")
    assert tables_of(tmp_path / "prefect" / "prefect.db") == written.partition("\n")[2]


def lines_of(tables: str) -> list[str]:
    """The lines, sorted: the migrations put a table's constraints in no fixed order."""
    return sorted(line.rstrip(", ") for line in tables.splitlines())


def test_an_existing_file_is_left_alone_even_an_empty_one(tmp_path: Path) -> None:
    there = tmp_path / "prefect.db"
    there.touch()
    create_prefect(there)
    assert there.stat().st_size == 0


def test_the_log_of_a_removed_database_is_not_replayed_into_a_new_one(tmp_path: Path) -> None:
    (tmp_path / "prefect.db-wal").write_bytes(b"frames of another")
    create_prefect(tmp_path / "prefect.db")
    assert not (tmp_path / "prefect.db").exists()


def test_another_version_of_prefect_creates_its_tables_itself(tmp_path: Path) -> None:
    older = tmp_path / "older.sql"
    older.write_text(TABLES.read_text(encoding="utf-8").replace("-- Prefect ", "-- Prefect 1."))
    create_prefect(tmp_path / "prefect.db", older)
    assert [path.name for path in tmp_path.iterdir()] == ["older.sql"]


def test_many_at_once_create_one_database(tmp_path: Path) -> None:
    database = tmp_path / "prefect.db"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(create_prefect, [database] * 16))
    assert tables_of(database).count("CREATE TABLE") == TABLES.read_text(encoding="utf-8").count("CREATE TABLE")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["layout.lock", "prefect.db"]


def test_only_a_plain_sqlite_file_gets_its_tables_from_us() -> None:
    assert local_database({DATABASE: "sqlite+aiosqlite:////home/prefect/prefect.db"}) == Path(
        "/home/prefect/prefect.db"
    )
    with_more = "sqlite+aiosqlite:////home/prefect.db?timeout=30"
    for other in (with_more, "sqlite+aiosqlite:///:memory:", "postgresql+asyncpg://somebody@host/prefect", ""):
        assert local_database({DATABASE: other}) is None
