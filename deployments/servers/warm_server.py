"""A process that has imported all a night needs and forks one child per run. Its argument is a Unix socket's address.

There the worker requests a child (`warm_run`) with an environment, a working folder and standard streams, in which the
child becomes `python -m prefect.engine`. A run's imports would take longer than its night: Prefect's process worker,
`flow.serve` and its runner start an interpreter per run, and multiprocessing's fork server passes on neither
environment nor streams. Linux only: elsewhere, forking after imports is not safe.
"""

import contextlib
import ctypes
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

from deployments.process import imports_uncollected, leave
from deployments.servers.warm_run import ALONE, ENGINE
from stockml.code_version import NIGHT_PACKAGES
from stockml.errors import StockmlError
from stockml.home import current_home
from stockml.models.vintage_set import read_ahead
from stockml.nights.status import known_tickers
from stockml.pipeline.dataset import bases_sha256
from stockml.plots import style
from stockml.prices.calendar import FIRST_DAY, sessions_for
from stockml.storage.records import prepare_readers

# the nights, and what they import inside functions; what `prepare` uses itself is imported by that
IMPORTED = (
    "flows.nightly",
    "flows.universe",
    "anyio._backends._asyncio",
    "prefect._vendor.croniter",
    "prefect.runner.storage",
    "prefect.utilities.visualization",
    "rich._emoji_codes",
    "mlflow.pyfunc",
    "mlflow.tracking.request_header.registry",
    "pandas.core.arrays.arrow.extension_types",
    "pandas.core.methods.to_dict",
    "pyarrow.dataset",
    "scipy.fft",
    "sqlalchemy",
    "stockml.pipeline.train",
)
OF_NEW_YORK = "IBM"  # stands for the calendar of a ticker not yet known
PR_SET_PDEATHSIG = 1


def main(address: str) -> None:
    """Import, then serve until killed (children die too), or until the sources have changed and no child is left."""
    with imports_uncollected():
        modified_at = sources()
        prepare()
    # of fork, from Python 3.12 on: the other threads only watch standard input, or are jemalloc's, which expects forks
    warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address)
        listening.listen(64)
        Server(listening, modified_at).serve()


def prepare() -> None:
    """Import, read and compute in advance all that does not depend on which night comes."""
    from tasks.caching import keep_code_version
    from tasks.short_runs import adapt_engine

    for name in IMPORTED:
        importlib.import_module(name)
    keep_code_version()
    prepare_readers()
    adapt_engine()
    read_ahead()
    read_ahead([current_home().bases])
    bases_sha256(current_home(), FIRST_DAY)
    for ticker in {OF_NEW_YORK, *known_tickers(current_home())}:
        with contextlib.suppress(StockmlError):  # an unreadable ticker is left to its own night
            sessions_for(ticker).is_session(FIRST_DAY)  # builds and caches its calendar
    _at_first_use()


def _at_first_use() -> None:
    """Trigger what libraries initialise at first use, which would cost every child half a second in all."""
    import PIL.Image
    from mlflow.tracking._model_registry.utils import _get_store_registry
    from mlflow.utils import requirements_utils
    from prefect._internal.schemas.bases import PrefectBaseModel

    PIL.Image.preinit()
    with tempfile.TemporaryDirectory() as folder:
        style.save({"first": lambda: style.canvas("")[0]}, Path(folder))
    for name in ("IPython", "dbruntime", "pyspark"):  # MLflow tries to import these before every request
        sys.modules.setdefault(name, None)  # type: ignore[arg-type] # None: not importable
    _get_store_registry()  # type: ignore[no-untyped-call]
    mlflows: Any = requirements_utils
    mlflows._init_modules_to_packages_map()  # module to package; needed to save a model
    models = [PrefectBaseModel]
    while models:
        model = models.pop()
        models += model.__subclasses__()
        if not model.__pydantic_complete__:
            model.model_rebuild(raise_errors=False)


def sources() -> float:
    """The newest modification time of the product's sources and of the vintages shipped with them."""
    files = (
        path for folder in NIGHT_PACKAGES for path in folder.rglob("*.*") if path.suffix in {".py", ".npz", ".json"}
    )
    return max(path.stat().st_mtime for path in files)


class Server:
    """Answers each request on the socket with a child of its own.  imported: when the sources were last changed."""

    def __init__(self, listening: socket.socket, imported: float) -> None:
        self._listening, self._imported = listening, imported
        self._children: dict[int, socket.socket] = {}
        self._stale = False
        self._selector = selectors.DefaultSelector()
        self._ended, self._wakes = socket.socketpair()
        self._wakes.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wakes.fileno(), warn_on_full_buffer=False)

    def serve(self) -> None:
        self._selector.register(self._listening, selectors.EVENT_READ, self._accept)
        self._selector.register(self._ended, selectors.EVENT_READ, self._reap)
        while self._children or not self._stale:
            for key, _ in self._selector.select():
                key.data()

    def _accept(self) -> None:
        connection, _ = self._listening.accept()
        connection.settimeout(5.0)
        try:
            request, streams = _request(connection)
        except (OSError, ValueError):
            connection.close()
            return
        pid = self._forked(request, streams)
        for stream in streams:
            os.close(stream)
        if pid is None:
            _answer_and_close(connection, ALONE)
        else:
            self._children[pid] = connection
            self._selector.register(connection, selectors.EVENT_READ, lambda: self._requester_left(pid))
            with contextlib.suppress(OSError):  # the requester is gone, as the selector will report
                connection.sendall(b"%d\n" % pid)

    def _forked(self, request: dict[str, Any], streams: list[int]) -> int | None:
        """Fork and return the child's pid; None if the sources have changed since the import, or the fork fails."""
        try:
            self._stale = self._stale or sources() != self._imported
            server, pid = os.getpid(), None if self._stale else os.fork()
        except OSError:
            return None
        if pid == 0:
            self._close_inherited()
            _become(request, streams, server)
        return pid

    def _close_inherited(self) -> None:
        """Close what a child has inherited from the server."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._selector.close()
        for each in (self._listening, self._ended, self._wakes, *self._children.values()):
            each.close()

    def _requester_left(self, pid: int) -> None:
        """Kill the child whose requester has closed its connection, unless it has just ended."""
        if pid in self._children:
            self._selector.unregister(self._children[pid])
            os.kill(pid, signal.SIGKILL)

    def _reap(self) -> None:
        """Send each ended child's exit code to its requester; negative for a signal."""
        self._ended.recv(1024)
        for pid in tuple(self._children):
            has_ended, status = os.waitpid(pid, os.WNOHANG)
            if has_ended:
                connection = self._children.pop(pid)
                with contextlib.suppress(KeyError):  # `_requester_left` has unregistered it already
                    self._selector.unregister(connection)
                _answer_and_close(connection, str(os.waitstatus_to_exitcode(status)).encode())


def _answer_and_close(connection: socket.socket, answer: bytes) -> None:
    """Send the last answer to the requester, which may be gone, and close the connection."""
    with connection, contextlib.suppress(OSError):
        connection.sendall(answer + b"\n")


def _request(connection: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """Receive what `warm_run` sends: the request, read from an in-memory JSON file, and the three standard streams."""
    _, (*streams, content), _, _ = socket.recv_fds(connection, 1, 4)
    connection.settimeout(None)
    with open(content, "rb") as request:
        return json.load(request), streams


def _become(request: dict[str, Any], streams: list[int], server: int) -> None:
    """Run `python -m prefect.engine` in the child of `server` with the requested environment; never returns."""
    code = 1
    try:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != server:  # which was killed before the kernel knew that this process is to end with it
            return  # as `finally` says
        os.setsid()
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        os.environ.clear()
        os.environ.update(request["environ"])
        os.chdir(request["folder"])
        sys.argv = [ENGINE]
        from prefect.context import refresh_global_settings_context

        refresh_global_settings_context()
        sys.modules.pop(ENGINE, None)  # loaded with the rest; `runpy` would warn of it in every run's log
        runpy.run_module(ENGINE, run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:  # noqa: BLE001 - printed as an interpreter would
        sys.excepthook(*sys.exc_info())
    finally:
        leave(code)


if __name__ == "__main__":
    main(sys.argv[1])
