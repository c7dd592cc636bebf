"""`make run`: one night of one ticker, end to end.

Without a key of your own it plays recorded prices over real HTTP; with ALPHAVANTAGE_API_KEY it asks Alpha Vantage.
"""

import os
import sys
from collections.abc import MutableMapping, Sequence

from deployments.cli.app import reported
from deployments.cli.options import as_ticker
from deployments.cli.runs import run_history, run_night
from deployments.replay.feed import Feed
from deployments.replay.source import night_before, source
from deployments.servers.prefect_api import prefect_api
from stockml.errors import PremiumOnly
from stockml.home import Home, home, owner_only


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the night of the ticker that is named, of IBM when none is."""
    named = (sys.argv[1:] if arguments is None else arguments) or ["IBM"]
    sys.exit(reported(lambda: one_night(as_ticker(named[0]), os.environ)))


def one_night(ticker: str, environ: MutableMapping[str, str]) -> int:
    """Give the ticker its history if it has none, run its newest night, print the summary; the exit code."""
    with owner_only(), source([ticker], environ) as replay, prefect_api(home(environ), environ):
        from stockml.nights import summary

        if not _has_bars(home(environ), ticker):
            _bring_history(ticker, replay, environ)
        night = run_night(ticker)
    print(summary.text(night))
    return 1 if night.status == "failed" else 0


def _has_bars(place: Home, ticker: str) -> bool:
    from stockml.prices.store import BarStore

    return ticker in BarStore(place.store, place.locks).tickers()


def _bring_history(ticker: str, replay: Feed | None, environ: MutableMapping[str, str]) -> None:
    """All that the key's plan gives; in a replay, up to the night before, so that tonight has something to add."""
    _say(f"giving {ticker} its history")
    with night_before(replay, environ):
        try:
            run_history(ticker)
        except PremiumOnly as refused:
            _say(f"{refused}; tonight brings the newest 100 sessions, and they are kept")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
