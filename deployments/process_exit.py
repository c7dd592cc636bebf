"""The end of a process that has done its work: what belongs to an exit is done, the interpreter is left as it is."""

import atexit
import contextlib
import os
import sys
import threading
from typing import NoReturn


def leave(code: int) -> NoReturn:
    """Exit with `code`. Taking an interpreter apart that holds Prefect, pandas and MLflow costs a second of CPU."""
    with contextlib.suppress(BaseException):
        threading._shutdown()  # type: ignore[attr-defined] # waits for threads, as an exit does: what is queued is sent
    with contextlib.suppress(BaseException):
        atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)
