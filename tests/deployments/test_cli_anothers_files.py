"""What another user left in a home, as `sudo stockml` does, or in the working folder, is named
where it matters."""

import ctypes
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from stockml.errors import StoreError
from stockml.forecasts.ledger import Ledger
from stockml.home import HomePaths
from stockml.provider.price_source import claim
from stockml.storage.locks import ticker_lock
from tests.support.commands import Captured, here, store_of
from tests.support.forecasts import entry

OVER_ALL_RIGHTS = 0b110  # Linux: those by which root reads and writes whatever it likes
CAPABILITIES_3 = 0x20080522


Command = Callable[..., CompletedProcess[str]]


@pytest.fixture
def command(home: HomePaths, capsys: Captured) -> Command:
    """Run a command in this process, in the test's home; its exit code and what it printed."""

    def ended(
        *arguments: str, run: Callable[..., int] = here, **more: str
    ) -> CompletedProcess[str]:
        capsys.readouterr()
        code = run(*arguments, **more)
        return CompletedProcess(arguments, code, *capsys.readouterr())

    return ended


@pytest.fixture
def plainly(command: Command) -> Command:
    """Run a command without root's right to read and write what it may not."""
    return partial(command, run=as_any_user)


@pytest.mark.parametrize("place", ["settings", "store/IBM.parquet"])
def test_the_doctor_names_what_may_not_be_read_or_written(
    home: HomePaths, plainly: Command, place: str
) -> None:
    store_of(home)
    claim(home, "replay")
    path = home.root / place
    path.parent.mkdir(exist_ok=True)
    path.touch() if path.suffix else path.mkdir()
    home.root.chmod(0o700)
    path.chmod(0)
    [told] = [line for line in plainly("doctor").stdout.splitlines() if " home: " in line]
    assert told.startswith(f"PROBLEM home: {path} may not be read and written by this user")
    assert "chown" in told
    path.chmod(0o700)
    assert "ok      home" in plainly("doctor").stdout


@pytest.mark.parametrize(
    "place", ["nights/IBM", "nights/IBM/0/night.json", "models/IBM/a", "settings/IBM.json"]
)
def test_a_rename_moves_nothing_where_something_of_the_ticker_may_not_be_moved(
    home: HomePaths, plainly: Command, place: str
) -> None:
    store_of(home)
    claim(home, "replay")
    closed(home.root / place, b"as it was") if Path(place).suffix else (home.root / place).mkdir(
        parents=True, mode=0
    )
    told = plainly("tickers", "rename", "IBM", "IBMX")
    assert told.returncode == 1
    assert told.stderr.startswith(f"stockml: {home.root / place}: expected what ")
    assert [path.name for path in (home.root / "store").glob("*.parquet")] == ["IBM.parquet"]


@pytest.mark.parametrize("place", ["store", "ledger"])
def test_what_is_on_a_disk_that_is_away_is_not_taken_for_nothing(
    home: HomePaths, command: Command, tmp_path: Path, place: str
) -> None:
    store_of(home)
    claim(home, "replay")
    Ledger(home.ledger).publish(entry(3))
    away, linked = tmp_path / "disk" / place, home.root / place
    linked.rename(tmp_path / "aside") if linked.exists() else None
    linked.symlink_to(away)
    way_back = f"found a link to {away}, where nothing is; mount that disk or bring it back"
    for words in ("nightly IBM", "tickers rename IBM KO", "status"):
        told = command(*words.split())
        assert told.returncode == 1
        assert told.stderr.startswith(f"stockml: {linked}: expected what is kept there, {way_back}")
    with pytest.raises(StoreError, match="mount that disk"), ticker_lock(home, "IBM"):
        pass
    assert f"PROBLEM home: {linked}: " in command("doctor").stdout
    assert not away.parent.exists()


def closed(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(0)


def as_any_user(*arguments: str, **more: str) -> int:
    """Run the command in a thread of its own, as Linux counts root's rights by the thread, which
    cannot regain them."""
    with ThreadPoolExecutor(1, initializer=_without_roots_rights) as thread:
        return thread.submit(here, *arguments, **more).result()


def _without_roots_rights() -> None:
    if os.geteuid() == 0:
        libc, of_this_thread = (
            ctypes.CDLL(None, use_errno=True),
            (ctypes.c_uint32 * 2)(CAPABILITIES_3, 0),
        )
        held = (ctypes.c_uint32 * 6)()  # effective, permitted and inheritable, then those above 31
        assert libc.capget(of_this_thread, held) == 0
        held[:3] = [rights & ~OVER_ALL_RIGHTS for rights in held[:3]]
        assert libc.capset(of_this_thread, held) == 0, os.strerror(ctypes.get_errno())
