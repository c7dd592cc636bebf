"""Processes of a pool end with the process that needs them, in whatever way that ends."""

import signal
import subprocess
import sys

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
        ("waiting[0].result()", signal.SIGKILL),
        ("input(); raise ValueError('the block failed')", None),
    ],
)
def test_the_processes_end_with_the_one_that_needs_them(then, sent):
    """It ends by a signal, or by what follows a line that it reads."""
    command, pipe = [sys.executable, "-c", WAITING.format(then=then)], subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stderr=subprocess.DEVNULL) as running:
        try:
            workers = until(lambda: both if len(both := workers_of(running.pid)) == 2 else None)
            if sent:
                running.send_signal(sent)
            running.communicate(b"\n", timeout=PATIENCE_S)
            assert running.returncode != 0
            assert psutil.wait_procs(workers, timeout=PATIENCE_S)[1] == []
        finally:
            running.kill()


def workers_of(pid):
    """Its processes but for Python's own, which counts what they share."""
    children = psutil.Process(pid).children()
    return [each for each in children if "spawn_main" in " ".join(each.cmdline())]


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


def test_where_processes_can_share_no_memory_a_pool_says_so_at_once():
    """As in a container with a read-only /dev/shm."""
    program = [sys.executable, "-c", WITHOUT_SHARED_MEMORY]
    done = subprocess.run(program, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert "/dev/shm: expected memory that several processes can share" in done.stdout, done.stderr
