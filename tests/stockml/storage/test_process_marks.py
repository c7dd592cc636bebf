"""A process by its mark: at work, or gone, be it that nobody has asked how it ended."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta

import psutil
import pytest

from stockml.storage.process_marks import is_at_work, is_gone, mark


def test_this_process_is_at_work_but_not_one_that_had_its_number_before() -> None:
    now = datetime.now(UTC)
    assert is_at_work(mark(), now)
    assert not is_gone(mark())
    assert not is_at_work(mark(), now - timedelta(days=3650))


def test_a_killed_process_is_gone_though_its_parent_never_waited_for_it() -> None:
    """In a container the first process inherits the orphans, and seldom waits for them: zombies keep their numbers."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        marked = f"{mark().rpartition(':')[0]}:{process.pid}"
        assert not is_gone(marked)
        process.kill()
        while psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE:
            pass
        assert is_gone(marked)
        assert not is_at_work(marked, datetime.now(UTC))
    finally:
        process.communicate()


@pytest.mark.parametrize("marked", [None, "", "elsewhere:1", "elsewhere", ":"])
def test_of_another_host_nothing_is_known(marked: str | None) -> None:
    assert not is_gone(marked)
    assert not is_at_work(marked, datetime.now(UTC))
