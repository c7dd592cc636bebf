"""What a command tells on standard error ends nothing, even if nobody can be told."""

import subprocess
import sys

import pytest

from stockml.home import Home

TELLING = """
import sys
from deployments.cli.runs import quiet_libraries
from deployments.process import as_program

def told():
    with quiet_libraries() as terminal:
        print("a step", file=terminal, flush=True)
    print("a message", file=sys.stderr, flush=True)
    return 7

as_program(told)
"""


@pytest.mark.parametrize("gone", ["2>/dev/full", "2> >(exec true); wait $!"])
def test_a_full_disk_or_a_reader_that_has_gone_ends_no_command_that_tells_its_progress(home: Home, gone: str) -> None:
    command = f'exec {gone}; exec "$0" -c "$1"'
    ended = subprocess.run(["bash", "-c", command, sys.executable, TELLING], check=False)
    assert ended.returncode == 7
