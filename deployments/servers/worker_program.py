"""`prefect worker start` whose runs are children of a warm process: its arguments are Prefect's own.

Prefect's process worker starts an interpreter a run. Here it starts `warm_run`, a small one, which has the run done in
a fork of `warm_server`. One deployment a ticker stays as it is, and so do its runs, logs, limits and cancellation.
"""

import os
import runpy
import ssl
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from socket import gethostname
from typing import Any

from deployments.servers import processes
from deployments.servers.warm_run import ADDRESS
from stockml.home import home
from tasks.workplace import CODE_OF, check_scheduled

CERTIFICATE = "certificate.pem"


def main(arguments: list[str]) -> None:
    _look_at_runs()
    if sys.platform == "linux":
        with tempfile.TemporaryDirectory(prefix="stockml-") as folder:  # for its owner only, and short
            address = os.environ[ADDRESS] = str(Path(folder) / "warm")
            (Path(folder) / CERTIFICATE).write_text(_any_certificate())
            keeper = Keeper(address)
            try:
                _work(arguments)
            finally:
                keeper.stop()
    else:
        _work(arguments)


def spared(environ: Mapping[str, str]) -> dict[str, str]:
    """Settings that spare a run of the environment what its worker has done, and what its server's address rules out.

    The worker has compared versions. To `http://` no TLS is spoken, for which each client of a run would read a hundred
    certificates: they read one.
    """
    found = {"PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED": "false"}
    if ADDRESS in environ and environ.get("PREFECT_API_URL", "").startswith("http://"):
        found["PREFECT_API_SSL_CERT_FILE"] = str(Path(environ[ADDRESS]).with_name(CERTIFICATE))
    return found


def _any_certificate() -> str:
    known = ssl.create_default_context().get_ca_certs(binary_form=True)
    return ssl.DER_cert_to_PEM_cert(known[0])


class Keeper:
    """Keeps a warm server at the address: one that ended, killed or because the sources changed, is started again.

    One that cannot start is left alone: runs are then done in processes of their own.
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
        log = home().root / "logs" / "warm.log"
        return processes.start("warm", "deployments.servers.warm_server", [self._address], os.environ, log)

    def _keep(self) -> None:
        while True:
            with self._child.process as ended:
                ended.wait()
            served = Path(self._address).exists()
            if self._stopped.is_set() or not served:
                return
            self._child = self._started()


def _work(arguments: list[str]) -> None:
    sys.argv = ["prefect", "worker", "start", *arguments]
    runpy.run_module("prefect", run_name="__main__", alter_sys=True)


def _look_at_runs() -> None:
    """Let Prefect's process worker refuse runs of another state or code, and start `warm_run` for the others.

    A deployment that names a command of its own has that.
    """
    from prefect.utilities.processutils import command_to_string
    from prefect.workers import process

    class WarmConfiguration(process.ProcessJobConfiguration):
        def prepare_for_flow_run(self, *arguments: Any, **named: Any) -> None:
            if CODE_OF in self.env:  # a run that is refused crashes, and says why
                check_scheduled({name: value or "" for name, value in self.env.items()}, os.environ, gethostname())
            if self.command is None and ADDRESS in os.environ:
                self.command = command_to_string([sys.executable, "-m", "deployments.servers.warm_run"])
            super().prepare_for_flow_run(*arguments, **named)
            self.env = {**spared({name: value or "" for name, value in self.env.items()}), **self.env}

    process.ProcessWorker.job_configuration = WarmConfiguration


if __name__ == "__main__":
    main(sys.argv[1:])
