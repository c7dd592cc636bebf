"""`make run`: one night of one ticker, end to end.

Without a key of your own it plays recorded prices over real HTTP; with ALPHAVANTAGE_API_KEY it asks Alpha Vantage.
"""

import os
import sys
from collections.abc import Iterator, MutableMapping, Sequence
from contextlib import contextmanager, nullcontext

from deployments.cli.app import reported
from deployments.cli.options import as_ticker
from deployments.cli.place import in_home
from deployments.cli.runs import outcome, run_night
from deployments.process import as_program
from deployments.replay.feed import Feed, night_before, source
from deployments.servers.prefect_api import prefect_api
from stockml.errors import PremiumOnly
from stockml.home import Home
from stockml.provider.price_source import replay_home


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the night of the ticker that is named, of IBM when none is."""
    named = (sys.argv[1:] if arguments is None else arguments) or ["IBM"]
    as_program(lambda: reported(lambda: one_night(as_ticker(named[0]), os.environ)))


def one_night(ticker: str, environ: MutableMapping[str, str]) -> int:
    """Give the ticker its history if it has none, run its newest night, print the summary; the exit code."""
    with _place(environ) as place, source([ticker], environ) as replay, prefect_api(place, environ):
        from stockml import clock
        from stockml.nights import summary
        from stockml.nights.glance import night_age
        from stockml.prices.store import BarStore

        if ticker not in BarStore.of(place).tickers():
            _bring_history(ticker, replay, environ)
        night = run_night(ticker)
        age = night_age(night, clock.now())
    print(summary.text(night, age))
    return 0


@contextmanager
def _place(environ: MutableMapping[str, str]) -> Iterator[Home]:
    """The home with a key; the replay's own place without, also beside a home that holds the market's prices."""
    with in_home("", environ) as named:
        place = named if environ.get("ALPHAVANTAGE_API_KEY") else replay_home(environ)
        environ["STOCKML_HOME"] = str(place.root)
        if place != named:
            environ["STOCKML_STORE"] = ""
        yield place


def _bring_history(ticker: str, replay: Feed | None, environ: MutableMapping[str, str]) -> None:
    """All that the key's plan gives; in a replay, up to the night before, so that tonight has something to add."""
    from flows.backfill import history
    from tasks.provider import has_second_provider, plan_gives_history

    newest = "tonight brings the newest 100 sessions, and they are kept"
    if not (plan_gives_history() or has_second_provider()):
        _say(f"a free key has no history of {ticker}, and a premium one says its ALPHAVANTAGE_PLAN: {newest}")
        return
    _say(f"giving {ticker} its history")
    with night_before(replay, environ) if replay else nullcontext():
        try:
            outcome(history, ticker)
        except PremiumOnly as refused:
            _say(f"{refused}; {newest}")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
