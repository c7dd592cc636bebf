"""Small documents that many processes change in turn: files on one machine, rows of a database on many.

Across machines a lock is a PostgreSQL advisory lock: it ends with its connection, and so with its process or machine. A
process that has lost its lock without noticing is stopped when it writes: shared state is replaced only if unchanged
since it was read (`shared_state`).
"""

import hashlib
import os
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias, TypeVar

from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_fixed

from stockml.errors import DiskFull, RecordUnreadable, StoreBusy, StoreError
from stockml.home import HomePaths
from stockml.storage.files import NO_ROOM, write_atomically
from stockml.storage.locks import file_lock

if TYPE_CHECKING:
    import psycopg

T = TypeVar("T")

DATABASE = "stockml"
TABLE = "CREATE TABLE IF NOT EXISTS notes (name text PRIMARY KEY, content bytea NOT NULL)"
# a machine that is cut off notices it within a minute, and so does the server
CLIENT_KEEPALIVES = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3, "connect_timeout": 10}
# a server's words for a login that it never accepts: a refused connection has no code
PERMANENT = re.compile("authentication failed|no password supplied|pg_hba.conf|does not exist|permission denied")
SERVER_KEEPALIVES = "SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3"


@dataclass(frozen=True)
class FileNotes:
    """Notes in a folder, for the processes of this machine. Nothing is created before the first lock or write.

    Raises StoreError for whatever the disk refuses, such as a folder in a note's place.
    """

    folder: Path
    removal: ClassVar[str] = "delete it"  # how to remove a damaged note, for a message

    def read(self, name: str) -> bytes | None:
        with _refused_by_disk(self.folder / name), suppress(FileNotFoundError):
            return (self.folder / name).read_bytes()
        return None

    def write(self, name: str, content: bytes) -> None:
        with _refused_by_disk(self.folder / name):
            write_atomically(self.folder / name, content)

    @contextmanager
    def locked(self, name: str, timeout_s: float) -> Iterator[None]:
        path = self.folder / f"{name}.lock"
        with ExitStack() as stack:
            with _refused_by_disk(path):
                stack.enter_context(file_lock(path, timeout_s))
            yield

    def place(self, name: str) -> str:
        """Where a note is kept, for a message."""
        return str(self.folder / name)


@dataclass(frozen=True)
class Database:
    """Notes in a database. `account`: user:password@host:port, never in a message. `of`: whose locks and notes."""

    account: str = field(repr=False)
    of: str
    retry_for_s: float = 30.0  # how long to wait for a server that is restarting
    request_timeout_s: float = 20.0  # how long a statement may take, beside the wait for a lock
    removal: ClassVar[str] = "delete that row of its table `notes`"

    @property
    def server(self) -> str:
        """Its address, without user and password."""
        return f"postgresql://{self.account.rpartition('@')[2]}/{DATABASE}"

    def place(self, name: str) -> str:
        return f"{self.server}: {self._full_name(name)}"

    @contextmanager
    def locked(self, name: str, timeout_s: float) -> Iterator[None]:
        """Hold the lock for the block's duration.  Raises StoreBusy if it is not free in time, and StoreError."""
        server = self._answer(lambda: self._connection_with_lock(name, timeout_s))
        try:
            yield
        finally:
            with suppress(_driver().Error):  # a broken connection holds no lock
                server.close()

    def read(self, name: str) -> bytes | None:
        row = self._answer(lambda: self._first_row("SELECT content FROM notes WHERE name = %s", name))
        if row and not isinstance(row[0], bytes):
            raise self._unreadable(f"found {type(row[0]).__name__} as content")
        return row[0] if row else None

    def write(self, name: str, content: bytes) -> None:
        statement = "INSERT INTO notes VALUES (%s, %s) ON CONFLICT (name) DO UPDATE SET content = EXCLUDED.content"
        self._answer(lambda: self._first_row(f"{statement} RETURNING name", name, content))

    def _connection_with_lock(self, name: str, timeout_s: float) -> "psycopg.Connection[Any]":
        with ExitStack() as stack:
            server = stack.enter_context(closing(self._connection()))
            number = int.from_bytes(hashlib.sha256(self._full_name(name).encode()).digest()[:8], signed=True)
            try:
                with _within(timeout_s + self.request_timeout_s, server):
                    server.execute(f"SET lock_timeout = {max(1, round(1000 * timeout_s))}")
                    server.execute("SELECT pg_advisory_lock(%s)", (number,))
            except _driver().errors.LockNotAvailable as error:
                raise StoreBusy(self.place(name), f"waited {timeout_s:.0f} s") from error
            stack.pop_all()
            return server

    def _first_row(self, statement: str, name: str, *values: bytes) -> Any:
        """The first row of the answer; the first write creates the table."""
        with closing(self._connection()) as server, _within(self.request_timeout_s, server):
            try:
                return server.execute(statement, (self._full_name(name), *values)).fetchone()
            except _driver().errors.UndefinedTable:
                created = server.execute(TABLE) if values else None
                return created and server.execute(statement, (self._full_name(name), *values)).fetchone()

    def _answer(self, request: Callable[[], T]) -> T:
        """The server's answer; while it may be restarting, the request is repeated for `retry_for_s`.

        Raises StoreError, without user and password: StoreBusy and RecordUnreadable at once.
        """
        try:
            driver = _driver()
        except ImportError as error:
            raise StoreError(self.server, "expected PostgreSQL's driver: `make extras EXTRAS=postgres`") from error
        transient = retry_if_exception(lambda error: isinstance(error, driver.Error) and not _is_permanent(error))
        attempts = Retrying(retry=transient, wait=wait_fixed(1), stop=stop_after_delay(self.retry_for_s), reraise=True)
        try:
            return attempts(request)
        except driver.Error as error:
            if _is_of_the_table(error):
                raise self._unreadable(f"{type(error).__name__}: {str(error).splitlines()[0]}") from None
            advice = "see that it runs, that STOCKML_DATABASE_URL names it, and run again"
            raise StoreError(self.server, f"expected the database, found {refusal(error)}; {advice}") from None

    def _full_name(self, name: str) -> str:
        return f"{self.of} {name}"

    def _connection(self) -> "psycopg.Connection[Any]":
        address = f"postgresql://{self.account}/{DATABASE}"
        server: psycopg.Connection[Any] = _driver().connect(address, autocommit=True, **CLIENT_KEEPALIVES)
        with _within(self.request_timeout_s, server):
            server.execute(SERVER_KEEPALIVES)
        return server

    def _unreadable(self, found: str) -> RecordUnreadable:
        advice = "restore it from a backup, or rename it: a new one is made, in which today's count begins anew"
        return RecordUnreadable(f"{self.server}, table `notes`", found, advice)


@contextmanager
def _within(seconds: float, server: "psycopg.Connection[Any]") -> Iterator[None]:
    """Cut the connection if the block takes longer: the driver would wait for ever for a silent server."""

    def cut() -> None:
        with suppress(_driver().Error, OSError), socket.socket(fileno=os.dup(server.fileno())) as connection:
            connection.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, cut)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextmanager
def _refused_by_disk(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in NO_ROOM:
            raise DiskFull(str(path), error.strerror or str(error)) from error
        why = f"expected a file that can be read and written, found another ({error.strerror or error})"
        raise StoreError(str(path), f"{why}; move it away, or correct its rights, and run again") from error


Notes: TypeAlias = FileNotes | Database


def notes_of(home: HomePaths) -> Notes:
    """The notes on a key's requests: in the database if the home's state is shared, else in the folder `quota`."""
    if home.state is None or home.database is None:
        return FileNotes(home.quota)
    return Database(home.database, f"{home.state} {home.quota.name}")


def _is_permanent(error: "psycopg.Error") -> bool:
    """Whether a repeat is of no use: the table is not ours, or the server refuses user, password or address."""
    return _is_of_the_table(error) or PERMANENT.search(str(error)) is not None


def _is_of_the_table(error: "psycopg.Error") -> bool:
    driver = _driver()
    is_denied = isinstance(error, driver.errors.InsufficientPrivilege)
    return isinstance(error, driver.ProgrammingError) and not is_denied


def refusal(error: "psycopg.Error") -> str:
    """What came in place of an answer, in the driver's words, unless they could repeat a password."""
    is_safe = error.sqlstate or isinstance(error, _driver().OperationalError)
    message = (str(error) if is_safe else type(error).__name__).rpartition("failed: ")[2].partition("\n")[0]
    has_answered = error.sqlstate or "FATAL" in message or (error.pgconn and error.pgconn.needs_password)
    return f"{'a refusal' if has_answered else 'no answer'} ({' '.join(message.split())})"


def _driver() -> Any:
    import psycopg

    return psycopg
