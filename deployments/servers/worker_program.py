"""`prefect worker start` with a process worker that forks each run from `warm_server` instead of an interpreter."""

import os
import runpy
import signal
import sys
import threading
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from deployments.servers import processes
from deployments.servers.warm_run import ADDRESS
from stockml.home import home


def main(arguments: list[str]) -> None:
    from deployments.servers import process_worker

    signal.signal(signal.SIGINT, signal.default_int_handler)  # a script's & ignores it; Prefect's worker stops on it
    process_worker.install()
    process_worker.keep_certificate(home().prefect)
    with ExitStack() as stack:
        if sys.platform == "linux":
            folder = stack.enter_context(TemporaryDirectory(prefix="stockml-"))  # private, and a short path
            address = os.environ[ADDRESS] = str(Path(folder) / "warm")
            stack.callback(WarmServerKeeper(address).stop)
        sys.argv = ["prefect", "worker", "start", *arguments]
        runpy.run_module("prefect", run_name="__main__", alter_sys=True)


class WarmServerKeeper:
    """Keeps a warm server running at the address; restarts it if it was killed or ended because the sources changed.

    A server that cannot start is not kept_running: each run then gets a new interpreter.
    """

    def __init__(self, address: str) -> None:
        self._address, self._stopped = address, threading.Event()
        self._child = self._started()
        threading.Thread(target=self._keep, name="warm-server", daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()
        processes.stop([self._child])

    def _started(self) -> processes.Child:
        Path(self._address).unlink(missing_ok=True)
        program = processes.Program("warm", "deployments.servers.warm_server", [self._address], os.environ)
        return processes.start(program, home().root / "logs" / "warm.log")

    def _keep(self) -> None:
        while True:
            with self._child.process as ended:
                ended.wait()
            served = Path(self._address).exists()
            if self._stopped.is_set() or not served:
                return
            self._child = self._started()


if __name__ == "__main__":
    main(sys.argv[1:])
