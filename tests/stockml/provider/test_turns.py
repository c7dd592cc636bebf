"""Sixty tickers on a free key: whoever starts their runs, each gets its turn, and is told when."""

import random
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stockml.errors import StoreError
from stockml.prices.calendar import sessions_for
from stockml.provider.quota import FREE
from stockml.provider.turns import GONE_AFTER, Turns, next_turn, stalest_first
from stockml.storage.notes import FileNotes

NEW_YORK = sessions_for("IBM")
NIGHTS = NEW_YORK.between(date(2026, 10, 26), date(2026, 11, 20))
TICKERS = [f"T{n:02}" for n in range(60)]


def test_sixty_tickers_on_a_free_key_for_twenty_nights() -> None:
    """Runs start in any order. Once all are known, after three nights, each promised night is kept."""
    order, per_day = random.Random(5), FREE.requests_per_day
    came: dict[str, date | None] = {}
    promised: dict[str, date] = {}
    table = []
    for tonight in NIGHTS:
        order.shuffle(runs := list(TICKERS))
        due, asked = {name for name in TICKERS if promised.get(name) == tonight}, set()
        for ticker in runs:
            came.setdefault(ticker, None)
            left = per_day - len(asked)
            later = next_turn(ticker, came, tonight, remaining=left, per_day=per_day, sessions=NEW_YORK)
            if later is None:
                came[ticker] = tonight
                asked.add(ticker)
            else:
                promised[ticker] = later.session
        known = [last for last in came.values() if last]
        oldest = max(len(NEW_YORK.between(last, tonight)) - 1 for last in known)
        table.append((str(tonight), len(asked), len(known), oldest))
        assert due <= asked or len(table) <= 3
    print("night, requests, tickers with bars, sessions that the oldest is behind")
    print(*(" ".join(map(str, row)) for row in table), sep="\n")
    assert [row[1] for row in table] == [25] * 20
    assert [row[2] for row in table[:3]] == [25, 50, 60]
    assert max(row[3] for row in table) == 2


def test_a_ticker_no_longer_run_is_not_waited_for_and_one_that_has_its_bar_needs_no_turn(tmp_path: Path) -> None:
    turns, now = Turns(FileNotes(tmp_path)), datetime(2026, 11, 20, 23, tzinfo=UTC)
    turns.come({"GONE": None}, now - GONE_AFTER - timedelta(hours=1))
    turns.come({"AHEAD": None}, now + timedelta(days=365))  # the clock was, for a while
    turns.come({"IBM": NIGHTS[-2], "KO": NIGHTS[-3]}, now)
    waiting, tonight = turns.waiting(now), NIGHTS[-1]
    assert waiting == {"IBM": NIGHTS[-2], "KO": NIGHTS[-3]}
    left = {"remaining": 1, "per_day": 25, "sessions": NEW_YORK}
    assert next_turn("KO", waiting, tonight, **left) is None
    later = next_turn("IBM", waiting, tonight, **left)
    assert str(later) == "1 ticker has waited longer for today's requests; next fetch: Monday, 2026-11-23"
    alone = next_turn("IBM", {}, tonight, **left | {"remaining": 0})
    assert str(alone) == "today's requests are used up; next fetch: Monday, 2026-11-23"
    assert next_turn("IBM", waiting, NIGHTS[-2], **left | {"remaining": 0}) is None
    assert next_turn("IBM", waiting, tonight, **left | {"remaining": None}) is None
    assert turns.waiting(now + GONE_AFTER + timedelta(hours=1)) == {}


def test_the_stalest_tickers_come_first_and_ties_go_by_name() -> None:
    last = {"A": date(2026, 11, 20), "B": date(2026, 11, 18), "C": None, "D": date(2026, 11, 18)}
    assert stalest_first(last) == ["C", "B", "D", "A"]


@given(
    st.dictionaries(st.sampled_from("ABCDEFGHIJ"), st.none() | st.dates(max_value=NIGHTS[-2]), min_size=1),
    st.integers(0, 12),
)
def test_the_remaining_requests_all_go_to_the_stalest_tickers(last: dict[str, date | None], remaining: int) -> None:
    turns = {
        ticker: next_turn(ticker, last, NIGHTS[-1], remaining=remaining, per_day=25, sessions=NEW_YORK)
        for ticker in last
    }
    asked = {ticker for ticker, later in turns.items() if later is None}
    assert len(asked) == min(remaining, len(last))
    age = {ticker: session or date.min for ticker, session in last.items()}
    assert all(age[ticker] <= age[other] for ticker in asked for other in last.keys() - asked)


def test_a_ticker_without_bars_is_the_stalest_once_and_then_waits_like_all_others(tmp_path: Path) -> None:
    turns, now = Turns(FileNotes(tmp_path)), datetime(2026, 11, 20, 23, tzinfo=UTC)
    noted = turns.come({"IBM": NIGHTS[-3], "KO": NIGHTS[-2], "NOPE": None}, now)
    assert stalest_first(noted) == ["NOPE", "IBM", "KO"]
    turns.come({"NOPE": NIGHTS[-2]}, now)  # it is asked for, in vain
    noted = turns.come({"IBM": NIGHTS[-3], "KO": NIGHTS[-2], "NOPE": None}, now)
    assert stalest_first(noted) == stalest_first(turns.waiting(now)) == ["IBM", "KO", "NOPE"]


def test_an_unreadable_note_is_named(tmp_path: Path) -> None:
    path = tmp_path / "turns.json"
    for text in ('{"IBM": 1}', '{"IBM": ["noon", null]}', "[]", ""):
        path.write_text(text)
        with pytest.raises(StoreError, match=r"turns\.json: expected whose turn it is, .*delete it, and"):
            Turns(FileNotes(tmp_path)).waiting(datetime.now(UTC))
    path.unlink()
    path.mkdir()
    with pytest.raises(StoreError, match=r"turns\.json: expected a file .*move it away"):
        Turns(FileNotes(tmp_path)).come({"IBM": None}, datetime.now(UTC))
