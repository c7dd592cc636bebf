"""Run a module as the main program, and end it with all it started when the parent is gone, killed or not.

The parent holds the other end of this process's stdin: when that closes, the parent has ended.
"""

import contextlib
import os
import runpy
import sys
import threading
import time

import psutil

PATIENCE_S = 15.0


def main(module: str, arguments: list[str]) -> None:
    """Become `python -m module arguments...`, watched."""
    threading.Thread(target=_watch, name="parent-watch", daemon=True).start()
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _watch() -> None:
    while os.read(0, 1024):
        pass
    me = psutil.Process()
    children = me.children(recursive=True)
    me.terminate()
    end(children, PATIENCE_S)
    time.sleep(PATIENCE_S)
    me.kill()


def end(family: list[psutil.Process], patience_s: float) -> None:
    """SIGTERM to all of them, and SIGKILL to what is still there then."""
    for process in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    _, alive = psutil.wait_procs(family, timeout=patience_s)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=patience_s)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
