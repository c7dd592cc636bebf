"""The command line `stockml`. Each command imports the heavy libraries that it uses; `--help`
imports none.

Exit codes: 0 done (or nothing to do), 1 failed, 2 wrong usage, 130 interrupted. An error is one
line on standard error.
"""

import errno
import os
import select
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

from typer import Abort, Exit, Option, Typer
from typer.exceptions import TyperException

from deployments.cli import bars, forecasts, nights, operate, tickers, tuning
from deployments.cli.options import in_home
from deployments.process import INTERRUPTED
from stockml import code_version
from stockml.errors import BadKey, NoBars, NoChampion, NoForecast, StockmlError
from stockml.home import current_home
from stockml.provider.price_source import prices_in
from stockml.redaction import one_line
from stockml.storage.files import NO_ROOM
from stockml.storage.os_errors import refused

HELP = {"-h", "--help"}
app = Typer(
    name="stockml",
    context_settings={"help_option_names": sorted(HELP)},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for commands in (nights, bars, forecasts, tickers, tuning, operate):
    app.add_typer(commands.app)
MISSES = (BadKey, NoBars, NoChampion, NoForecast)  # what is not here may be in the other home
STDOUT = 1
NOT_WRITABLE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST}


def _show_version(is_given: bool) -> None:
    if is_given:
        print(code_version.in_words())
        raise Exit


@app.callback()
def every_command(
    _: Annotated[
        bool,
        Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Retrain stock-price LSTMs every night and publish scored forecasts."""


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command (`--help` if none is given) and return its exit code."""
    line = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    return reported(lambda: _run(line))


def _run(line: list[str]) -> int:
    words = [] if HELP & {*line} else [each for each in line if not each.startswith("-")]
    command = words[0] if words else ""
    with in_home(command) as home:
        try:
            code: int = app(args=line, prog_name="stockml", standalone_mode=False) or 0
        except MISSES as miss:
            miss.add_note(prices_in(home, os.environ))
            raise
        if code == INTERRUPTED:  # typer returns this code for a KeyboardInterrupt
            raise KeyboardInterrupt
        if command not in ("", "up", "doctor") and "--json" not in line:
            print(f"stockml: {prices_in(home, os.environ)}", file=sys.stderr)
        return code


def reported(command: Callable[[], int]) -> int:
    """Run `command` and return its exit code; report an exception in one line on standard error."""
    try:
        code = command()
        sys.stdout.flush()
        return code
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the user sees one line
        return _exit_code(error)
    except SystemExit as ended:  # typer raises this when the reader of its output went away
        if not isinstance(ended.__context__, BrokenPipeError):
            raise
        return _exit_code(ended.__context__)


def _exit_code(error: BaseException) -> int:
    match error:
        case TyperException():
            return _wrong_usage(error)
        case BrokenPipeError() if _reader_has_gone():
            _drop_unwritten()
            return 0
        case StockmlError():
            return _say("; ".join([str(error), *getattr(error, "__notes__", ())]))
        case OSError() if not isinstance(error, BrokenPipeError):
            _drop_unwritten()
            return _say(_os_error_text(error))
        # Ctrl-C; pydantic turns that into an error that names it in its message or as its cause
        case _ if isinstance(error, Abort) or "KeyboardInterrupt" in "".join(
            traceback.format_exception(error)
        ):
            _say(
                "interrupted; run the same command again: a night or a training goes on where it "
                "stopped"
            )
            return INTERRUPTED
        case _:
            return _unexpected(error)


def _drop_unwritten() -> None:
    """Keep Python's flush at exit from failing once more."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), STDOUT)


def _reader_has_gone() -> bool:
    """Whether the reader of standard output (such as `head`) has closed the pipe."""
    output = select.poll()
    output.register(STDOUT, 0)
    return bool(output.poll(0))


def _wrong_usage(error: TyperException) -> int:
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "stockml"
    # pydantic's prefix, not ours
    message = error.format_message().rstrip(".").replace("Value error, ", "")
    if path == "stockml nightly" and "extra argument" in message:
        message += "; `stockml universe` runs the nights of several"
    _say(f"{message}; see `{path} --help`")
    return error.exit_code


def _os_error_text(error: OSError) -> str:
    """Say which file failed and why; a home that cannot be created has its own message."""
    root, file = current_home().root, Path(error.filename2 or error.filename or os.sep)
    is_closed = (
        error.errno in NOT_WRITABLE
        and file.is_relative_to(root)
        and not os.access(root, os.W_OK | os.X_OK)
    )
    if error.errno not in NO_ROOM and (
        is_closed or (error.filename and file in (root, *root.parents))
    ):
        why = error.strerror or str(error)
        return (
            f"expected a home that can be written, found {root} ({why}); name another folder in "
            "STOCKML_HOME"
        )
    return refused(error)


def _unexpected(error: BaseException) -> int:
    """Report the error in one line; write the version and the traceback to a file for a bug
    report."""
    from deployments.servers.access import fault_of_server

    if fault := fault_of_server(error) or _settings_fault(error):
        return _say(fault)
    report = current_home().root / "last-error.txt"
    try:
        report.parent.mkdir(parents=True, exist_ok=True)
        text = "".join([f"{code_version.in_words()}\n", *traceback.format_exception(error)])
        report.write_text(text, "utf-8", "backslashreplace")
    except OSError:
        report = Path(os.devnull)
    return _say(f"unexpected {type(error).__name__}: {error}; please report it with {report}")


def _settings_fault(error: BaseException) -> str | None:
    """Advice on settings that Prefect refuses; None for any other error."""
    settings_class = getattr(error, "title", "")  # pydantic's, whose text would repeat the value
    file_errors = ("SettingsError", "TOMLDecodeError", "UnicodeDecodeError")
    if not settings_class.endswith("Settings") and type(error).__name__ not in file_errors:
        return None
    faults: Any = ()
    if settings_class:
        faults = error.errors(include_input=False)  # type: ignore[attr-defined]
    found = (
        ", ".join(
            f"{settings_class}.{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in faults
        )
        or error
    )
    where = (
        "profiles.toml, variables that begin with PREFECT_, or prefect.toml, pyproject.toml or "
        ".env in this folder"
    )
    return f"expected settings that Prefect can read, found {found}; correct its {where}"


def _say(text: str) -> int:
    """Print one line on standard error and return 1, the exit code of a failure."""
    print("stockml:", one_line(text), file=sys.stderr)
    return 1
