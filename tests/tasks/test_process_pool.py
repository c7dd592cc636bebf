"""Processes of a pool end with the process that needs them, in whatever way that ends."""

import signal
import subprocess
import sys
from contextlib import ExitStack, suppress

import psutil
import pytest

from tests.support.patience import PATIENCE_S, until

WAITING = """
import signal
from tasks.process_pool import process_pool
with process_pool(2) as pool:
    waiting = [pool.submit(signal.pause) for _ in range(3)]
    {then}
"""


@pytest.mark.parametrize(
    ("then", "sent"),
    [
        ("waiting[0].result()", signal.SIGINT),
        ("waiting[0].result()", signal.SIGKILL),
        ("input(); raise ValueError('the block failed')", None),
    ],
)
def test_the_processes_end_with_the_one_that_needs_them(
    then: str, sent: signal.Signals | None
) -> None:
    program = [sys.executable, "-c", WAITING.format(then=then)]
    with (
        subprocess.Popen(program, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as running,
        ExitStack() as left,
    ):
        left.callback(running.kill)
        workers = until(lambda: pair if len(pair := workers_of(running.pid)) == 2 else None) or []
        for worker in workers:
            left.enter_context(suppress(psutil.NoSuchProcess))
            left.callback(worker.kill)
        running.communicate(b"\n", timeout=PATIENCE_S) if sent is None else running.send_signal(
            sent
        )
        assert running.wait(PATIENCE_S) != 0
        assert psutil.wait_procs(workers, timeout=PATIENCE_S)[1] == []


def workers_of(pid: int) -> list[psutil.Process]:
    """Its processes but for Python's own, which counts what they share."""
    return [
        each for each in psutil.Process(pid).children() if "spawn_main" in " ".join(each.cmdline())
    ]


WITHOUT_SHARED_MEMORY = """
import ctypes
from pathlib import Path
from tests.support.small_disk import called, mount_small_disk
shared = Path("/dev/shm")
mount_small_disk(shared)
called("mount", None, bytes(shared), None, ctypes.c_ulong(0x21), None)  # MS_REMOUNT | MS_RDONLY
from tasks.process_pool import process_pool
try:
    with process_pool(2):
        pass
except Exception as refused:
    print(refused)
"""


def test_where_processes_can_share_no_memory_a_pool_says_so_at_once() -> None:
    """As in a container with a read-only /dev/shm."""
    program = [sys.executable, "-c", WITHOUT_SHARED_MEMORY]
    done = subprocess.run(program, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert "/dev/shm: expected memory that several processes can share" in done.stdout, done.stderr
