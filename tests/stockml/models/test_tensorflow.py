"""TensorFlow loads silently (tests/stockml/training/test_tutorial.py), and no other output is
lost."""

import subprocess
import sys

HELD_BACK = """
import os, sys
from stockml.models.tensorflow import without_notices
with without_notices():
    os.write(2, b"WARNING: All log messages before absl::InitializeLog() is called are written to STDERR\\n")
    os.write(2, b"I0000 00:00:1795537070.5 1 port.cc:153] oneDNN custom operations are on.\\n")
    print("what somebody has to know", file=sys.stderr, flush=True)
print("and this", file=sys.stderr)
"""


def stderr_of(code: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stderr.splitlines()


def test_only_the_known_notices_are_dropped() -> None:
    assert stderr_of(HELD_BACK) == ["what somebody has to know", "and this"]


def test_a_failure_inside_is_passed_on() -> None:
    code = (
        "from stockml.models.tensorflow import without_notices\nwith without_notices():\n    "
        "raise SystemExit(3)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 3
