"""Sixty tickers on a free key: whoever starts their runs, each gets its turn, and is told when."""

import random
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stockml.errors import QuotaSpent, StoreError, UnknownSymbol
from stockml.prices.bars import jumps
from stockml.prices.calendar import sessions_for
from stockml.provider.client import AlphaVantage
from stockml.provider.quota import (
    FORGOTTEN_AFTER,
    FREE,
    NextTurn,
    next_turn,
    note_turns,
    noted_turns,
    stalest_first,
)
from stockml.storage.locks import FileNotes
from tests.support.scripted_feed import ScriptedFeed

NEW_YORK = sessions_for("IBM")
NIGHTS = NEW_YORK.between(date(2026, 10, 26), date(2026, 11, 20))

PLAYED = {f"T{n:02}": "IBM" for n in range(58)} | {"SPLIT": "AAPL"}  # two for one on 2005-02-28
SIXTY = [*PLAYED, "NOPE"]
RECORDED = NEW_YORK.between(date(2005, 2, 7), date(2005, 3, 7))


@dataclass
class Sixty:
    """Sixty tickers of one key: what a night does up to its bars, with the real quota and client,
    and a feed over HTTP.

    As in `flows.tonight` and `nights.ingest`, with mappings in place of the turns' note and of the
    store.
    """

    feed: ScriptedFeed
    notes: FileNotes
    waiting: dict[str, date | None] = field(default_factory=lambda: dict.fromkeys(SIXTY))
    lasts: dict[str, date] = field(default_factory=dict)
    splits: set[date] = field(default_factory=set)

    def client(self) -> AlphaVantage:
        environ = {"ALPHAVANTAGE_API_KEY": "K3Y12345", "ALPHAVANTAGE_URL": self.feed.address}
        return AlphaVantage(
            environ, self.notes, clock=lambda: self.feed.now, sleep=lambda seconds: None
        )

    def run(self, client: AlphaVantage, ticker: str, tonight: date) -> NextTurn | None:
        """Ask for the ticker's bars, and for the splits if one of its jumps is unknown; or return
        its next turn."""
        left = {
            "remaining": client.remaining(),
            "per_day": FREE.requests_per_day,
            "sessions": NEW_YORK,
        }
        if later := next_turn(ticker, self.waiting, tonight, today=tonight, **left):
            return later
        with suppress(UnknownSymbol, QuotaSpent):
            bars = client.daily_of(client.daily(ticker), last_final=tonight)
            self.lasts[ticker] = bars.index[-1].date()
            if not self.splits.issuperset(jumps(bars)):
                self.splits.update(
                    split.effective for split in client.splits_of(client.splits(ticker))
                )
        self.waiting[ticker] = self.lasts.get(ticker, tonight)
        return None


@pytest.mark.slow
def test_sixty_tickers_on_a_free_key_for_twenty_nights(tmp_path: Path) -> None:
    """Runs start in any order; an unknown symbol costs two requests a night, and a split one more.

    Each has its bars on the day it was told, or the night after, where another's second request
    took its place.
    """
    order, promised, put_off, table = random.Random(5), dict[str, date](), set[str](), []
    with ScriptedFeed(aliases=PLAYED) as feed:
        sixty = Sixty(feed, FileNotes(tmp_path))
        for tonight in RECORDED:
            feed.set_clock(tonight)
            before, due = feed.requests, {name for name, day in promised.items() if day == tonight}
            with sixty.client() as client:
                later = {
                    ticker: sixty.run(client, ticker, tonight) for ticker in order.sample(SIXTY, 60)
                }
                spent = FREE.requests_per_day - (client.remaining() or 0)
            promised = {ticker: turn.session for ticker, turn in later.items() if turn}
            assert spent == feed.requests - before
            assert not put_off & promised.keys()
            put_off = due & promised.keys()
            oldest = max(len(NEW_YORK.between(last, tonight)) - 1 for last in sixty.lasts.values())
            table.append((str(tonight), spent, len(sixty.lasts), oldest, len(put_off)))
    assert [row[1] for row in table] == [25] * 20
    assert [row[2] for row in table] == [23, 48] + [59] * 18
    assert sorted(row[3] for row in table) == [0, 1] + [2] * 17 + [3]
    assert max(row[4] for row in table) == 2
    asked = Counter((each.symbol, each.function) for each in feed.asked)
    assert asked["SPLIT", "SPLITS"] == 1
    assert asked["NOPE", "TIME_SERIES_DAILY"] == 2 * 10 - 1, (
        "once its second request found none left"
    )


def test_a_ticker_no_longer_run_is_not_waited_for_and_one_that_has_its_bar_needs_no_turn(
    tmp_path: Path,
) -> None:
    notes, now = FileNotes(tmp_path), datetime(2026, 11, 20, 23, tzinfo=UTC)
    note_turns(notes, {"GONE": None}, now - FORGOTTEN_AFTER - timedelta(hours=1))
    note_turns(notes, {"AHEAD": None}, now + timedelta(days=365))  # the clock was, for a while
    note_turns(notes, {"IBM": NIGHTS[-2], "KO": NIGHTS[-3]}, now)
    waiting, tonight = noted_turns(notes, now), NIGHTS[-1]
    assert waiting == {"IBM": NIGHTS[-2], "KO": NIGHTS[-3]}
    left = {"remaining": 1, "per_day": 25, "sessions": NEW_YORK, "today": tonight}
    assert next_turn("KO", waiting, tonight, **left) is None
    later = next_turn("IBM", waiting, tonight, **left)
    assert later == NextTurn(date(2026, 11, 23), 1)
    assert str(later) == str(replace(later, ahead=2)), "a line of the status for both"
    alone = next_turn("IBM", {}, tonight, **left | {"remaining": 0})
    assert alone == NextTurn(date(2026, 11, 23), 0)
    last_of_sixty = next_turn("Z", dict.fromkeys(SIXTY), tonight, **left | {"remaining": 10})
    assert last_of_sixty == NextTurn(NEW_YORK.after(tonight, 3)[-1], 60)
    assert next_turn("IBM", waiting, NIGHTS[-2], **left | {"remaining": 0}) is None
    assert next_turn("IBM", waiting, tonight, **left | {"remaining": None}) is None
    assert noted_turns(notes, now + FORGOTTEN_AFTER + timedelta(hours=1)) == {}


@pytest.mark.parametrize(
    ("today", "told"),
    [
        (date(2026, 11, 18), date(2026, 11, 20)),  # Tokyo's night: New York's day counts
        (date(2026, 11, 19), date(2026, 11, 20)),
        # at noon of the next: that evening's requests are the ones used up
        (date(2026, 11, 20), date(2026, 11, 23)),
        (date(2026, 11, 25), date(2026, 11, 27)),  # before Thanksgiving
    ],
)
def test_the_next_fetch_is_told_for_a_day_whose_requests_are_not_used_up(
    today: date, told: date
) -> None:
    left = {"remaining": 0, "per_day": 25, "sessions": NEW_YORK}
    assert next_turn("IBM", {}, date(2026, 11, 19), today=today, **left) == NextTurn(told, 0)


@given(
    st.dictionaries(
        st.sampled_from("ABCDEFGHIJ"), st.none() | st.dates(max_value=NIGHTS[-2]), min_size=1
    ),
    st.integers(0, 12),
)
def test_the_remaining_requests_all_go_to_the_stalest_tickers(
    last: dict[str, date | None], remaining: int
) -> None:
    tonight = NIGHTS[-1]
    left = {"today": tonight, "remaining": remaining, "per_day": 25, "sessions": NEW_YORK}
    asked = {ticker for ticker in last if next_turn(ticker, last, tonight, **left) is None}
    assert len(asked) == min(remaining, len(last))
    age = {ticker: session or date.min for ticker, session in last.items()}
    assert all(age[ticker] <= age[other] for ticker in asked for other in last.keys() - asked)


def test_a_ticker_without_bars_is_the_stalest_once_and_then_waits_like_all_others(
    tmp_path: Path,
) -> None:
    notes, now = FileNotes(tmp_path), datetime(2026, 11, 20, 23, tzinfo=UTC)
    noted = note_turns(notes, {"IBM": NIGHTS[-3], "KO": NIGHTS[-2], "NOPE": None}, now)
    assert stalest_first(noted) == ["NOPE", "IBM", "KO"]
    note_turns(notes, {"NOPE": NIGHTS[-2]}, now)  # it is asked for, in vain
    noted = note_turns(notes, {"IBM": NIGHTS[-3], "KO": NIGHTS[-2], "NOPE": None}, now)
    assert stalest_first(noted) == stalest_first(noted_turns(notes, now)) == ["IBM", "KO", "NOPE"]


def test_an_unreadable_note_is_named(tmp_path: Path) -> None:
    path = tmp_path / "turns.json"
    for text in ('{"IBM": ["noon", null]}', "[]", ""):
        path.write_text(text)
        with pytest.raises(StoreError, match=r"turns\.json: .*delete it"):
            noted_turns(FileNotes(tmp_path), datetime.now(UTC))
    path.unlink()
    path.mkdir()
    with pytest.raises(StoreError, match=r"turns\.json: .*move it away"):
        note_turns(FileNotes(tmp_path), {"IBM": None}, datetime.now(UTC))
