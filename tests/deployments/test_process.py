"""What a command tells on standard error ends nothing, even if nobody can be told; and what it never tells."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest
from pydantic import BaseModel, model_serializer

from deployments.cli.app import reported
from stockml.home import HomePaths
from tests.support.commands import Captured
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
KILLED = """
import os, sys
from deployments.process import as_program

def told():
    print("caf\u00e9", file=sys.stderr)
    os._exit(7)

as_program(lambda: told)
"""
SHOWING = """
from deployments.process import as_program

def shown():
    print("IBM \u2013 of\x1b]0;mine\x07, \u009b2J, \u202eevil\\n\ta line\x7f")
    return 0

as_program(lambda: shown)
"""

PRINTED = """
import os
from deployments.process import as_program

def told():
    print("a line")
    os._exit(7)

as_program(lambda: told)
"""


@pytest.mark.parametrize("gone", ["2>/dev/full", "2> >(exec true); wait $!"])
def test_a_full_disk_or_a_reader_that_has_gone_ends_no_command_that_tells_its_progress(
    home: HomePaths, gone: str
) -> None:
    command = f'exec {gone}; exec "$0" -c "$1"'
    ended = subprocess.run(["bash", "-c", command, sys.executable, TELLING], check=False)
    assert ended.returncode == 7


def test_nothing_that_a_command_prints_is_obeyed_by_the_terminal() -> None:
    """Such as a night's text, or a file's name, from a shared state or an archive."""
    ended = subprocess.run([sys.executable, "-c", SHOWING], stdout=subprocess.PIPE, check=True)
    assert ended.stdout.decode() == "IBM – of\\x1b]0;mine\\x07, \\x9b2J, \\u202eevil\n\ta line\\x7f\n"


def test_a_line_is_printed_at_once_where_python_is_told_so() -> None:
    environ = {**os.environ, "PYTHONUNBUFFERED": "1"}
    ended = subprocess.run([sys.executable, "-c", PRINTED], env=environ, stdout=subprocess.PIPE, check=False)
    assert (ended.returncode, ended.stdout) == (7, b"a line\n")


def test_a_message_is_shown_at_once_and_on_a_terminal_that_lacks_its_letters() -> None:
    environ = {**os.environ, "PYTHONIOENCODING": "ascii"}
    ended = subprocess.run([sys.executable, "-c", KILLED], env=environ, stderr=subprocess.PIPE, check=False)
    assert (ended.returncode, ended.stderr) == (7, b"caf\\xe9\n")


def test_another_pipe_that_breaks_is_an_error(home: HomePaths, capfd: Captured) -> None:
    def told_a_process_that_has_gone() -> int:
        reader, writer = os.pipe()
        os.close(reader)
        with open(writer, "wb", buffering=0) as broken:
            return broken.write(b"a line")

    assert reported(told_a_process_that_has_gone) == 1
    assert "unexpected BrokenPipeError" in capfd.readouterr().err


class Interrupted(BaseModel):
    """Ctrl-C comes while pydantic calls this, as it does for seconds while Prefect is imported."""

    @model_serializer
    def shown(self) -> str:
        signal.raise_signal(signal.SIGINT)
        return ""


@pytest.mark.parametrize("dump", [Interrupted().model_dump, Interrupted().model_dump_json])
def test_ctrl_c_of_which_pydantic_makes_another_error_is_told_as_an_interruption(
    home: HomePaths, capfd: Captured, dump: Callable[[], int]
) -> None:
    assert reported(dump) == 130
    assert capfd.readouterr().err.startswith("stockml: interrupted; run the same command again")


@pytest.mark.parametrize("command", [("deployments.cli", "status"), ("deployments.run", "IBM")])
def test_a_command_that_is_interrupted_while_it_imports_what_it_needs_shows_no_traceback(
    home: HomePaths, command: tuple[str, ...]
) -> None:
    importing = subprocess.Popen(
        [sys.executable, "-X", "importtime", "-m", *command],
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


def test_a_command_draws_where_the_kernel_of_a_notebook_named_a_backend_of_its_own() -> None:
    drawing = (
        "from deployments.process import as_program; "
        "as_program(lambda: lambda: int(__import__('matplotlib').get_backend() != 'agg'))"
    )
    theirs = os.environ | {"MPLBACKEND": "module://matplotlib_inline.backend_inline"}
    assert subprocess.run([sys.executable, "-c", drawing], env=theirs, check=False).returncode == 0
