"""What a mark tells about its process: at work, or gone, even if nobody has asked how it ended."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta

import psutil

from stockml.storage.process_marks import is_at_work, is_gone, mark
from tests.support.patience import until


def test_this_process_is_at_work_but_an_earlier_one_with_its_number_is_not() -> None:
    now = datetime.now(UTC)
    assert is_at_work(mark(), now)
    assert not is_gone(mark())
    assert not is_at_work(mark(), now - timedelta(days=3650))


def test_a_killed_process_is_gone_even_if_its_parent_never_waited_for_it() -> None:
    """In a container the first process inherits orphans and seldom waits for them; zombies keep their process ids."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        marked = f"{mark().rpartition(':')[0]}:{process.pid}"
        assert not is_gone(marked)
        process.kill()
        until(lambda: psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE)
        assert is_gone(marked)
        assert not is_at_work(marked, datetime.now(UTC))
    finally:
        process.communicate()
    assert is_gone(marked)
    assert not is_at_work(marked, datetime.now(UTC))
