"""This process: its environment, its garbage collector, its standard streams and its exit."""

import contextlib
import gc
import io
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from typing import Any, NoReturn, TextIO

INTERRUPTED = 130


@contextlib.contextmanager
def restored(environ: MutableMapping[str, str], names: Iterable[str]) -> Iterator[None]:
    """Give these variables the values back that they had before the block; one that was not set is
    unset."""
    before = {name: environ.get(name) for name in names}
    try:
        yield
    finally:
        for name, value in before.items():
            environ.pop(name, None)
            environ.update({} if value is None else {name: value})


def as_program(load: Callable[[], Callable[[], int]]) -> NoReturn:
    """Import a command, run it, and exit with its code. Files that it creates are its owner's only:
    0700 and 0600.

    Ctrl-C during the import ends it without a word.
    Processes that it starts import nothing from the working folder, as it does not itself.
    """
    _settle_streams()
    os.environ["PYTHONSAFEPATH"] = "1"
    os.environ["MPLBACKEND"] = (
        "agg"  # a notebook's kernel sets its own, without which matplotlib is not imported
    )
    os.umask(0o077)
    # imports make many objects but little garbage: this saves a night a second
    gc.set_threshold(100_000, 20, 100)
    usual = signal.getsignal(signal.SIGINT)
    # a script's & ignores it; pydantic would make another error of it
    if usual is signal.default_int_handler:
        signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))
    command = load()
    signal.signal(signal.SIGINT, usual)
    sys.exit(command())


def _settle_streams() -> None:
    """Point closed standard streams (`>&-`) at the null device, or the first file opened would take
    their place."""
    while (spare := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(spare, True)
    os.close(spare)
    sys.stdin, sys.stdout = (
        sys.stdin or os.fdopen(0),
        sys.stdout or os.fdopen(1, "w", closefd=False),
    )
    sys.stderr = lenient(2, sys.stderr.encoding if sys.stderr else None)
    if isinstance(sys.stdout, io.TextIOWrapper):
        file, encoding = os.fdopen(sys.stdout.fileno(), "wb", closefd=False), sys.stdout.encoding
        sys.stdout = _Shown(
            file, encoding, "replace", line_buffering=file.isatty() or sys.stdout.write_through
        )


class _Shown(io.TextIOWrapper):
    """Writes what a terminal would obey (a provider's text may have it) as Python does, what it
    lacks as `?`."""

    def write(self, text: str, /) -> int:
        if not text.replace("\n", "").isprintable():
            text = "".join(c if c.isprintable() or c in "\n\t" else repr(c)[1:-1] for c in text)
        return super().write(text)


class _Lenient(io.FileIO):
    def write(self, data: Any, /) -> Any:
        with contextlib.suppress(OSError):
            return super().write(data)
        return len(data)


def lenient(descriptor: int, encoding: str | None) -> TextIO:
    """A stream to an open file that drops what cannot be written.

    For progress and messages: a full disk, or a reader or terminal that has gone, must not end the
    command.
    """
    file = io.BufferedWriter(_Lenient(descriptor, "w"))
    return io.TextIOWrapper(file, encoding, errors="backslashreplace", line_buffering=True)
