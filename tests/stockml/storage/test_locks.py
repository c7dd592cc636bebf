"""A file lock has one holder at a time, ends with it, and is not waited for without end."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from stockml.errors import StoreBusy
from stockml.storage.locks import file_lock
from tests.support.patience import PATIENCE_S


def test_a_lock_that_is_taken_is_named_after_the_wait_and_free_once_its_block_has_ended(
    tmp_path: Path,
) -> None:
    lock = tmp_path / "locks" / "IBM.lock"
    with (
        file_lock(lock, 1.0),
        pytest.raises(StoreBusy, match=r"IBM\.lock.*waited 0 s"),
        file_lock(lock, 0.01),
    ):
        pass
    with file_lock(lock, 0.01), file_lock(tmp_path / "locks" / "KO.lock", 0.01):
        pass


def test_a_lock_is_free_after_an_error_in_its_block(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), file_lock(tmp_path / "IBM.lock", 1.0):
        raise ZeroDivisionError
    with file_lock(tmp_path / "IBM.lock", 0.01):
        pass


HOLDING = """
import sys
from pathlib import Path
from stockml.storage.locks import file_lock
with file_lock(Path(sys.argv[1]), 1.0):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_who_finds_a_lock_taken_is_told_by_which_process_and_command(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDING, str(tmp_path / "IBM.lock")]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(StoreBusy) as busy, file_lock(tmp_path / "IBM.lock", 0.01):
            pass
        told = (
            f"(waited 0 s for process {holder.pid}: python"
            if Path("/proc/locks").exists()
            else "(waited 0 s)"
        )
        assert told in str(busy.value)
        assert "\n" not in str(busy.value)
        holder.communicate()


KILLED_HOLDING = """
import os, signal, sys
from pathlib import Path
from stockml.storage.locks import file_lock
with file_lock(Path(sys.argv[1]), 1.0):
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_lock_ends_with_the_process_that_held_it(tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED_HOLDING, str(tmp_path / "IBM.lock")]
    assert subprocess.run(command, check=False, timeout=PATIENCE_S).returncode == -signal.SIGKILL
    assert (tmp_path / "IBM.lock").exists()
    with file_lock(tmp_path / "IBM.lock", 0.01):
        pass
