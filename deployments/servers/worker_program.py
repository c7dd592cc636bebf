"""`prefect worker start` with a process worker that forks each run from `warm_server` instead of an interpreter."""

import os
import runpy
import signal
import sys
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from deployments.process import imports_uncollected
from deployments.replay.feed import played
from deployments.servers.processes import Child, Program, kept_running
from deployments.servers.warm_run import ADDRESS
from stockml.home import current_home
from stockml.provider.price_source import kind_in


def main(arguments: list[str]) -> None:
    with imports_uncollected():
        import prefect.cli.worker  # noqa: F401 - what `prefect worker start` imports below

        from deployments.servers import process_worker
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a script's & ignores it; Prefect's worker stops on it
    process_worker.install()
    process_worker.keep_certificate(current_home().prefect)
    with ExitStack() as stack:
        # only by a worker started alone: `stockml up` serves its own; an unset key may be in a Secret block
        is_replay = "ALPHAVANTAGE_API_KEY" in os.environ or kind_in(current_home()) == "replay"
        if is_replay and (feed := stack.enter_context(played(current_home(), os.environ))):
            print(feed.notice, flush=True)
        if sys.platform == "linux":
            folder = stack.enter_context(TemporaryDirectory(prefix="stockml-"))  # private, and a short path
            os.environ[ADDRESS] = str(Path(folder) / "warm")
            stack.enter_context(warm_server(Path(os.environ[ADDRESS])))
        sys.argv = ["prefect", "worker", "start", *arguments]
        runpy.run_module("prefect", run_name="__main__", alter_sys=True)


def warm_server(address: Path) -> AbstractContextManager[Any]:
    """Keep a warm server running at the address; restart it if it was killed or ended because the sources changed.

    A server that cannot start is not restarted: each run then gets a new interpreter.
    """

    def has_served(_: Child) -> bool:
        served = address.exists()
        address.unlink(missing_ok=True)
        return served

    program = Program("warm", "deployments.servers.warm_server", [str(address)], os.environ)
    return kept_running(program, current_home().root / "logs" / "warm.log", has_served)


if __name__ == "__main__":
    main(sys.argv[1:])
