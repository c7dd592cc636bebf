"""`make run`: `stockml nightly` for one ticker; without an API key, on recorded prices over real HTTP."""

import os
import sys
from collections.abc import Callable

from deployments.process import as_program


def main() -> None:
    as_program(_loaded)


def _loaded() -> Callable[[], int]:
    from deployments.cli.app import reported

    return lambda: reported(one_night)


def one_night() -> int:
    """Run the night of the ticker given as argument, IBM by default; return its exit code.

    Without a key, runs in the replay's own home, even beside a home that holds market prices.
    """
    from deployments.cli.app import run
    from deployments.cli.command_home import in_home
    from stockml.clock import END_OF_RECORDING
    from stockml.provider.price_source import replay_home

    with in_home():
        if not os.environ.get("ALPHAVANTAGE_API_KEY"):
            clock = os.environ.get("STOCKML_CLOCK") or END_OF_RECORDING.isoformat()
            os.environ.update(STOCKML_HOME=str(replay_home(os.environ).root), STOCKML_STORE="", STOCKML_CLOCK=clock)
        return run(["nightly", *(sys.argv[1:] or ["IBM"])])


if __name__ == "__main__":
    main()
