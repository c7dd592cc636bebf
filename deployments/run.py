"""`make run`: `stockml nightly` of one ticker, and without a key of your own on recorded prices, over real HTTP."""

import os
import sys
from collections.abc import Sequence

from deployments.cli.app import reported, run
from deployments.cli.place import in_home
from deployments.process import as_program
from deployments.replay.feed import END_OF_RECORDING
from stockml.provider.price_source import replay_home


def main() -> None:
    """Run the night of the ticker that is named, of IBM when none is."""
    as_program(lambda: reported(lambda: one_night(sys.argv[1:] or ["IBM"])))


def one_night(arguments: Sequence[str]) -> int:
    """`nightly` with these arguments, in the home with a key; the exit code.

    Without a key in the replay's own place, also beside a home that holds the market's prices.
    """
    with in_home():
        if not os.environ.get("ALPHAVANTAGE_API_KEY"):
            os.environ["STOCKML_HOME"] = str(replay_home(os.environ).root)
            os.environ["STOCKML_STORE"] = ""
            os.environ["STOCKML_CLOCK"] = os.environ.get("STOCKML_CLOCK") or END_OF_RECORDING.isoformat()
        return run(["nightly", *arguments])


if __name__ == "__main__":
    main()
