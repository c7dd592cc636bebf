"""The campaigns with one of each: one kill of each writer, one flipped bit in each kind of file, a
few payloads."""

import subprocess
import sys

import pytest

from tests.support.patience import PATIENCE_S

pytestmark = pytest.mark.slow


def test_a_campaign_of_one_each_finds_nothing_lost_and_nothing_believed():
    """In a process of its own, because it forks."""
    command = [
        sys.executable,
        "-m",
        "tests.faults.campaign",
        "--bits=1",
        "--kills=1",
        "--payloads=40",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(" 0 lost") == 4, done.stdout
