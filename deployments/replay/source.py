"""Prices without a key: a replay feed of this process, and the environment that points a night at it."""

import sys
from collections.abc import Iterator, MutableMapping, Sequence
from contextlib import contextmanager

from deployments.process import restored
from deployments.replay.feed import END_OF_RECORDING, Feed
from deployments.replay.recording import recorded_rows
from stockml import clock
from stockml.home import home

# the replay feed takes this key for a premium one and gives the full series for it
REPLAY = {"ALPHAVANTAGE_API_KEY": "premium-replay", "ALPHAVANTAGE_PLAN": "1200/min"}


@contextmanager
def source(tickers: Sequence[str], environ: MutableMapping[str, str]) -> Iterator[Feed | None]:
    """Where prices come from: None for Alpha Vantage itself, with a key; else a replay feed of this process.

    The replay plays the night that STOCKML_CLOCK names, the recording's last without it. Raises NotRecorded.
    """
    if environ.get("ALPHAVANTAGE_API_KEY"):
        yield None
        return
    for ticker in tickers:
        recorded_rows(ticker)
    now = clock.now(environ) if environ.get("STOCKML_CLOCK") else END_OF_RECORDING
    with Feed(now=now) as feed, restored(environ, replay_environment(feed)):
        environ.update(replay_environment(feed))
        place = home(environ).root
        print(f"no ALPHAVANTAGE_API_KEY: playing recorded prices in {place}", file=sys.stderr, flush=True)
        yield feed


def replay_environment(feed: Feed) -> dict[str, str]:
    """What points a night at the feed, at the feed's own time."""
    return {**REPLAY, "ALPHAVANTAGE_URL": feed.address, "STOCKML_CLOCK": feed.now.isoformat()}


@contextmanager
def night_before(replay: Feed | None, environ: MutableMapping[str, str]) -> Iterator[None]:
    """The replay one session earlier."""
    if replay is None:
        yield
        return
    from stockml.prices.calendar import sessions_for

    tonight = replay.now
    with restored(environ, ["STOCKML_CLOCK"]):
        replay.set_clock(sessions_for("").before(replay.newest, 1)[0])
        environ["STOCKML_CLOCK"] = replay.now.isoformat()
        try:
            yield
        finally:
            replay.set_clock(tonight)
