"""A file lock has one holder at a time, ends with it, and is not waited for without end."""

import subprocess
import sys
from pathlib import Path

import pytest

from stockml.errors import StoreBusy
from stockml.storage.locks import file_lock


def test_a_lock_that_is_taken_is_named_after_the_wait_and_free_once_its_block_has_ended(tmp_path):
    lock = tmp_path / "locks" / "IBM.lock"
    with (
        file_lock(lock, 1.0),
        pytest.raises(StoreBusy, match=r"IBM\.lock.*waited 0 s"),
        file_lock(lock, 0.01),
    ):
        pass
    with file_lock(lock, 0.01), file_lock(tmp_path / "locks" / "KO.lock", 0.01):
        pass


HOLDING = """
import sys
from pathlib import Path
from stockml.storage.locks import file_lock
with file_lock(Path(sys.argv[1]), 1.0):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_who_finds_a_lock_taken_is_told_by_whom_and_has_it_once_that_process_is_killed(tmp_path):
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
        holder.kill()
    with file_lock(tmp_path / "IBM.lock", 1.0):
        pass
