"""`make run`: one night of one ticker, end to end.

Without a key of your own it plays recorded prices over real HTTP; with ALPHAVANTAGE_API_KEY it asks Alpha Vantage.
"""

import os
import sys
from collections.abc import Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from datetime import date

from deployments.cli import reported
from deployments.cli_options import as_ticker
from deployments.feed import Feed
from deployments.feed_answers import published
from deployments.prefect_api import prefect_api
from deployments.recording import recorded_rows
from deployments.runs import run_history, run_night
from stockml.home import Home, home

# the replay feed takes this key for a premium one and gives the full series for it
REPLAY = {"ALPHAVANTAGE_API_KEY": "premium-replay", "ALPHAVANTAGE_PLAN": "1200/min"}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the night of the ticker that is named, of IBM when none is."""
    named = (sys.argv[1:] if arguments is None else arguments) or ["IBM"]
    sys.exit(reported(lambda: one_night(as_ticker(named[0]), os.environ)))


def one_night(ticker: str, environ: MutableMapping[str, str]) -> int:
    """Give the ticker its history if it has none, run its newest night, print the summary; the exit code."""
    with source(ticker, environ) as session, prefect_api(home(environ), environ):
        from stockml import summary

        if not _has_bars(home(environ), ticker):
            _bring_history(ticker, session, environ)
        night = run_night(ticker, session=session)
    print(summary.text(night))
    return 1 if night.status == "failed" else 0


@contextmanager
def source(ticker: str, environ: MutableMapping[str, str]) -> Iterator[date | None]:
    """Where prices come from, and which session is asked for (None: the newest that is final).

    Without a key the price client is pointed at a replay feed of this process. Raises NotRecorded.
    """
    if environ.get("ALPHAVANTAGE_API_KEY"):
        yield None
        return
    recorded_rows(ticker)
    with Feed() as feed:
        before = dict(environ)
        environ.update(REPLAY, ALPHAVANTAGE_URL=feed.address)
        _say(f"no ALPHAVANTAGE_API_KEY: playing recorded prices from {feed.address}")
        try:
            yield published(ticker, feed.now)[-1].session
        finally:
            for name in (*REPLAY, "ALPHAVANTAGE_URL"):
                environ.pop(name)
                environ.update({name: before[name]} if name in before else {})


def _has_bars(place: Home, ticker: str) -> bool:
    from stockml.store import BarStore

    return ticker in BarStore(place.store, place.locks).tickers()


def _bring_history(ticker: str, session: date | None, environ: MutableMapping[str, str]) -> None:
    if environ.get("ALPHAVANTAGE_PLAN", "free") == "free":
        _say(
            f"a free key gives the newest 100 sessions; bring more with `stockml import {ticker} FILE`, "
            "or with a premium key: ALPHAVANTAGE_PLAN=75/min"
        )
        return
    _say(f"giving {ticker} its history")
    run_history(ticker, session=session)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
