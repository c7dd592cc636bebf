"""Locks and notes that machines share in PostgreSQL, against a real server."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime

import psycopg
import pytest

from stockml.errors import QuotaSpent, StoreBusy, StoreError
from stockml.provider.quota import Plan, QuotaLedger, quota_day
from stockml.storage.documents import Database
from tests.support.patience import PATIENCE_S
from tests.support.postgres_server import needs_postgres

pytestmark = [pytest.mark.slow, needs_postgres]


@pytest.fixture
def database(stockml_database: str) -> Database:
    return Database(stockml_database.removeprefix("postgresql://"), "s3://bucket/state")


def test_a_lock_has_one_holder_at_a_time_and_does_not_block_other_locks(database: Database) -> None:
    with database.locked("IBM", 1), database.locked("MSFT", 1), replace(database, of="s3://other").locked("IBM", 1):
        assert is_busy(database)
    assert not is_busy(database)


def is_busy(database: Database) -> bool:
    try:
        with database.locked("IBM", 0.05):
            return False
    except StoreBusy as busy:
        return "IBM: another process holds this lock" in str(busy)


def test_a_lock_ends_with_its_connection_and_goes_to_the_one_waiting(database: Database, stockml_database: str) -> None:
    """The server ends every connection, the waiting one too, as when it restarts."""
    waiting, got = threading.Event(), threading.Event()

    def wait() -> None:
        waiting.set()
        with database.locked("IBM", 30):
            got.set()

    with database.locked("IBM", 1):
        other = threading.Thread(target=wait)
        other.start()
        waiting.wait()
        with psycopg.connect(f"{stockml_database}/stockml", autocommit=True) as admin:
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
        assert got.wait(PATIENCE_S)
    other.join()


def test_many_machines_spend_one_quota(database: Database) -> None:
    """Eight threads at once ask for 40 requests; 25 are allowed."""
    ledger = QuotaLedger.of(database, "KEY", Plan(1_200, 25))
    now = datetime(2026, 11, 21, tzinfo=UTC)

    def spend(_: int) -> bool:
        try:
            ledger.spend("IBM", now)
        except QuotaSpent:
            return False
        return True

    with ThreadPoolExecutor(8) as asking:
        assert sum(asking.map(spend, range(40))) == 25
    assert QuotaLedger.of(database, "KEY", Plan(1_200, 25)).remaining(now) == 0
    assert QuotaLedger.of(database, "OTHER", Plan(1_200, 25)).remaining(now) == 25


@pytest.mark.parametrize("change", ["RENAME content TO other", "ALTER content TYPE text"])
def test_a_table_whose_columns_were_changed_is_named_at_once_with_the_way_back(
    database: Database, stockml_database: str, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    def waits(seconds: float) -> None:
        raise AssertionError(f"waited {seconds} s, as for a server that comes back")

    ledger, now = QuotaLedger.of(database, "KEY"), datetime(2026, 11, 21, tzinfo=UTC)
    with psycopg.connect(f"{stockml_database}/stockml", autocommit=True) as admin:
        admin.execute("DROP TABLE IF EXISTS notes")
        ledger.spend("IBM", now)
        admin.execute(f"ALTER TABLE notes {change}")  # type: ignore[arg-type] # psycopg's types want a literal
        try:
            monkeypatch.setattr(time, "sleep", waits)
            with pytest.raises(StoreError, match=r"/stockml, table `notes`: .*rename it: a new one is made"):
                ledger.spend("IBM", now)
        finally:
            admin.execute("DROP TABLE notes")


def test_a_user_needs_no_right_to_create_and_one_without_rights_is_told_so_and_not_that_the_table_is_damaged(
    database: Database, stockml_database: str
) -> None:
    guest = replace(database, account=database.account.replace("stockml@", "guest@"))
    with psycopg.connect(f"{stockml_database}/stockml", autocommit=True) as admin:
        admin.execute("DROP TABLE IF EXISTS notes; CREATE ROLE guest LOGIN; REVOKE CREATE ON SCHEMA public FROM PUBLIC")
        try:
            assert guest.read("anything") is None
            with pytest.raises(StoreError, match=r"found a refusal \(permission denied for schema public\)"):
                guest.write("anything", b"new")
            database.write("anything", b"kept")
            with pytest.raises(StoreError, match=r"found a refusal \(permission denied for table notes\)") as refused:
                guest.read("anything")
            admin.execute("GRANT SELECT ON notes TO guest")
            assert guest.read("anything") == b"kept"
        finally:
            admin.execute("DROP OWNED BY guest; DROP ROLE guest")
    assert "rename it" not in str(refused.value)


def test_a_damaged_note_is_named_by_its_row(database: Database) -> None:
    ledger, now = QuotaLedger.of(database, "DAMAGED"), datetime(2026, 11, 21, tzinfo=UTC)
    name = ledger.name(quota_day(now))
    database.write(name, b"")
    with pytest.raises(StoreError, match=f"/stockml: s3://bucket/state {name}: .*delete that row of its table `notes`"):
        ledger.remaining(now)


@pytest.mark.parametrize(("port", "found"), [(1, "no answer"), (None, "a refusal")])
def test_a_server_that_does_not_answer_is_named_without_its_password(
    stockml_database: str, port: int | None, found: str
) -> None:
    place = f"127.0.0.1:{port or stockml_database.rpartition(':')[2]}"
    away = Database(f"me:secret@{place}", "s3://bucket/state", retry_for_s=0)
    with pytest.raises(StoreError, match=f"{place}/stockml: expected the database, found {found}") as refused:
        away.read("anything")
    assert "secret" not in f"{refused.value!r}{refused.value}{away!r}"


def test_a_server_that_falls_silent_after_the_login_is_given_up(database: Database, stockml_database: str) -> None:
    """A night waited for ever, and held its ticker meanwhile. Here the table is locked by somebody else."""
    database.write("asked", b"1")
    with psycopg.connect(f"{stockml_database}/stockml") as other:
        other.execute("LOCK TABLE notes")
        with pytest.raises(StoreError, match="expected the database, found no answer"):
            replace(database, request_timeout_s=0.5, retry_for_s=0).read("asked")
    assert database.read("asked") == b"1"
