"""The pages of all tickers are brought up to date by the last night at work, and once a minute by one of many."""

import os
import subprocess
import sys
import time
from pathlib import Path

from tasks.status_page import EVERY_S, SHOWN, at_work, is_due

ANOTHER = """
import sys
from pathlib import Path
from tasks.status_page import at_work
with at_work(Path(sys.argv[1])):
    print("at work", flush=True)
    sys.stdin.readline()
"""


def test_the_first_night_and_one_that_is_alone_do_it(tmp_path: Path) -> None:
    for _ in range(2):
        with at_work(tmp_path):
            pass
        assert is_due(tmp_path)
    assert not is_due(tmp_path, last_one=False)  # one of many: the run that they belong to does it at its end


def test_one_that_leaves_others_at_work_does_not_unless_the_pages_are_old(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", ANOTHER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdin
        assert other.stdout
        assert other.stdout.readline() == b"at work\n"
        assert is_due(tmp_path)  # never shown yet
        assert not is_due(tmp_path)
        past = time.time() - EVERY_S - 1
        os.utime(tmp_path / SHOWN, (past, past))
        assert is_due(tmp_path)
        assert not is_due(tmp_path)
        other.kill()  # the lock goes with its process
        other.wait()
        assert is_due(tmp_path)
