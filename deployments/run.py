"""`make run`: one night of one ticker, end to end.

Without a key of your own it plays recorded prices over real HTTP; with ALPHAVANTAGE_API_KEY it asks Alpha Vantage.
"""

import os
import sys
from collections.abc import Iterator, MutableMapping, Sequence
from contextlib import contextmanager

from deployments.cli import reported
from deployments.cli_options import as_ticker
from deployments.feed import Feed
from deployments.prefect_api import prefect_api
from deployments.recording import recorded_rows
from deployments.runs import run_history, run_night
from stockml.errors import PremiumOnly
from stockml.home import Home, home
from stockml.sessions import sessions_for

# the replay feed takes this key for a premium one and gives the full series for it
REPLAY = {"ALPHAVANTAGE_API_KEY": "premium-replay", "ALPHAVANTAGE_PLAN": "1200/min"}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the night of the ticker that is named, of IBM when none is."""
    named = (sys.argv[1:] if arguments is None else arguments) or ["IBM"]
    sys.exit(reported(lambda: one_night(as_ticker(named[0]), os.environ)))


def one_night(ticker: str, environ: MutableMapping[str, str]) -> int:
    """Give the ticker its history if it has none, run its newest night, print the summary; the exit code."""
    with source(ticker, environ) as replay, prefect_api(home(environ), environ):
        from stockml import summary

        if not _has_bars(home(environ), ticker):
            _bring_history(ticker, replay, environ)
        night = run_night(ticker)
    print(summary.text(night))
    return 1 if night.status == "failed" else 0


@contextmanager
def source(ticker: str, environ: MutableMapping[str, str]) -> Iterator[Feed | None]:
    """Where prices come from: None for Alpha Vantage itself, with a key; else a replay feed of this process.

    The replay also names the moment, so that the night is the recording's last. Raises NotRecorded.
    """
    if environ.get("ALPHAVANTAGE_API_KEY"):
        yield None
        return
    recorded_rows(ticker)
    with Feed() as feed:
        before = dict(environ)
        environ.update(replay_environment(feed))
        _say(f"no ALPHAVANTAGE_API_KEY: playing recorded prices from {feed.address}")
        try:
            yield feed
        finally:
            for name in replay_environment(feed):
                environ.pop(name)
                environ.update({name: before[name]} if name in before else {})


def replay_environment(feed: Feed) -> dict[str, str]:
    """What points a night at the feed, at the feed's own time."""
    return {**REPLAY, "ALPHAVANTAGE_URL": feed.address, "STOCKML_CLOCK": feed.now.isoformat()}


def _has_bars(place: Home, ticker: str) -> bool:
    from stockml.store import BarStore

    return ticker in BarStore(place.store, place.locks).tickers()


def _bring_history(ticker: str, replay: Feed | None, environ: MutableMapping[str, str]) -> None:
    """All that the key's plan gives; in a replay, up to the night before, so that tonight has something to add."""
    _say(f"giving {ticker} its history")
    with _night_before(replay, environ):
        try:
            run_history(ticker)
        except PremiumOnly as refused:
            _say(f"{refused}; tonight brings the newest 100 sessions, and they are kept")


@contextmanager
def _night_before(replay: Feed | None, environ: MutableMapping[str, str]) -> Iterator[None]:
    """The replay one session earlier."""
    if replay is None:
        yield
        return
    tonight = replay.now
    replay.set_clock(sessions_for("").before(replay.newest, 1)[0])
    environ["STOCKML_CLOCK"] = replay.now.isoformat()
    yield
    replay.set_clock(tonight)
    environ["STOCKML_CLOCK"] = tonight.isoformat()


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
