"""What another user left in a home, as `sudo stockml` does, or in the working folder, is named
where it matters."""

import ctypes
import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from stockml.provider.price_source import claim
from tests.support.commands import here, store_of

OVER_ALL_RIGHTS = 0b110  # Linux: those by which root reads and writes whatever it likes
CAPABILITIES_3 = 0x20080522


@pytest.mark.parametrize("place", ["settings", "store/IBM.parquet"])
def test_the_doctor_names_what_may_not_be_read_or_written(home, capsys, place):
    store_of(home)
    claim(home, "replay")
    path = home.root / place
    path.touch() if path.suffix else path.mkdir()
    home.root.chmod(0o700)
    path.chmod(0)
    assert as_any_user("doctor") == 1
    told = capsys.readouterr().out
    assert f"PROBLEM home: {path} may not be read and written by this user" in told
    assert "chown" in told
    path.chmod(0o700)
    as_any_user("doctor")
    assert "ok      home" in capsys.readouterr().out


@pytest.mark.parametrize(
    "place", ["nights/IBM", "nights/IBM/0/night.json", "models/IBM/a", "settings/IBM.json"]
)
def test_a_rename_moves_nothing_where_something_of_the_ticker_may_not_be_moved(home, capsys, place):
    store_of(home)
    claim(home, "replay")
    path = home.root / place
    path.parent.mkdir(parents=True)
    path.touch() if path.suffix else path.mkdir()
    path.chmod(0)
    assert as_any_user("tickers", "rename", "IBM", "IBMX") == 1
    assert capsys.readouterr().err.startswith(f"stockml: {path}: expected what ")
    assert [path.name for path in (home.root / "store").glob("*.parquet")] == ["IBM.parquet"]


def test_what_is_on_a_disk_that_is_away_is_not_taken_for_nothing(home, capsys, tmp_path):
    claim(home, "replay")
    away, ledger = tmp_path / "disk", home.root / "ledger"
    ledger.symlink_to(away)
    for words in ("nightly IBM", "tickers rename IBM KO", "status"):
        assert here(*words.split()) == 1
        assert f"{ledger}: expected what is kept there, found a link" in capsys.readouterr().err
    here("doctor")
    assert f"PROBLEM home: {ledger}: " in capsys.readouterr().out
    assert not away.exists()


def as_any_user(*arguments):
    """Run the command in a thread of its own, as Linux counts root's rights by the thread, which
    cannot regain them."""
    with ThreadPoolExecutor(1, initializer=_without_roots_rights) as thread:
        return thread.submit(here, *arguments).result()


def _without_roots_rights():
    if os.geteuid() == 0:
        libc, of_this_thread = ctypes.CDLL(None), (ctypes.c_uint32 * 2)(CAPABILITIES_3, 0)
        held = (ctypes.c_uint32 * 6)()  # effective, permitted and inheritable, then those above 31
        assert libc.capget(of_this_thread, held) == 0
        held[:3] = [rights & ~OVER_ALL_RIGHTS for rights in held[:3]]
        assert libc.capset(of_this_thread, held) == 0
