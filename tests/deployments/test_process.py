"""What a command tells on standard error ends nothing, even if nobody can be told; and what it
never tells."""

import signal
import subprocess
import sys

import pytest

from tests.support.patience import PATIENCE_S

TELLING = """
import sys
from deployments.cli.runs import quiet_libraries
from deployments.process import as_program

def told():
    with quiet_libraries() as terminal:
        print("a step", file=terminal, flush=True)
    print("a message", file=sys.stderr, flush=True)
    return 7

as_program(lambda: told)
"""
SHOWING = """
from deployments.process import as_program

def shown():
    print("IBM \u2013 of\x1b]0;mine\x07, \u009b2J, \u202eevil\\n\ta line\x7f")
    return 0

as_program(lambda: shown)
"""


@pytest.mark.parametrize("gone", ["2>/dev/full", "2> >(exec true); wait $!"])
def test_a_full_disk_or_a_reader_that_has_gone_ends_no_command_that_tells_its_progress(home, gone):
    command = f'exec {gone}; exec "$0" -c "$1"'
    ended = subprocess.run(["bash", "-c", command, sys.executable, TELLING], check=False)
    assert ended.returncode == 7


def test_nothing_that_a_command_prints_is_obeyed_by_the_terminal():
    """Such as a night's text, or a file's name, from a shared state or an archive."""
    ended = subprocess.run([sys.executable, "-c", SHOWING], stdout=subprocess.PIPE, check=True)
    assert (
        ended.stdout.decode() == "IBM – of\\x1b]0;mine\\x07, \\x9b2J, \\u202eevil\n\ta line\\x7f\n"
    )


def test_a_command_that_is_interrupted_while_it_imports_what_it_needs_shows_no_traceback(home):
    importing = subprocess.Popen(
        [sys.executable, "-X", "importtime", "-m", "deployments.cli", "nightly", "IBM"],
        stderr=subprocess.PIPE,
        text=True,
        pipesize=4096,  # it imports no further than a page of these lines ahead of their reader
    )
    assert importing.stderr
    assert any("typer.models" in line for line in importing.stderr)
    importing.send_signal(signal.SIGINT)
    said = importing.communicate(timeout=PATIENCE_S)[1]
    assert importing.returncode == 130, said
    assert "Traceback" not in said
