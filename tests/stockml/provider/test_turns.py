"""Sixty tickers on a free key: whoever starts their runs, each gets its turn, and is told when."""

import random
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stockml.errors import StoreError
from stockml.prices.calendar import sessions_for
from stockml.provider.quota import (
    FORGOTTEN_AFTER,
    NextTurn,
    next_turn,
    note_turns,
    noted_turns,
    stalest_first,
)
from stockml.storage.locks import FileNotes

NEW_YORK = sessions_for("IBM")
NIGHTS = NEW_YORK.between(date(2026, 10, 26), date(2026, 11, 20))

SIXTY = [f"T{n:02}" for n in range(60)]


def turn(ticker, waiting, tonight, remaining, **today):
    left = {"today": tonight, "remaining": remaining, "per_day": 25, "sessions": NEW_YORK}
    return next_turn(ticker, waiting, tonight, **left | today)


def test_sixty_tickers_on_a_free_key_each_get_their_turn_on_the_night_they_were_told():
    """Runs start in any order; every request of every night is used."""
    order, waiting, told = random.Random(5), dict.fromkeys(SIXTY), {}
    for tonight in NIGHTS:
        remaining = 25
        for ticker in order.sample(SIXTY, 60):
            if later := turn(ticker, waiting, tonight, remaining):
                assert later.session == told.setdefault(ticker, later.session)
            else:
                assert told.pop(ticker, tonight) == tonight
                waiting[ticker], remaining = tonight, remaining - 1
        assert remaining == 0
        assert all(session > tonight for session in told.values())


def test_a_ticker_no_longer_run_is_not_waited_for(tmp_path):
    notes, now = FileNotes(tmp_path), datetime(2026, 11, 20, 23, tzinfo=UTC)
    note_turns(notes, {"GONE": None}, now - FORGOTTEN_AFTER - timedelta(hours=1))
    note_turns(notes, {"AHEAD": None}, now + timedelta(days=365))  # the clock was, for a while
    run = {"IBM": NIGHTS[-2], "KO": NIGHTS[-3]}
    note_turns(notes, run, now)
    assert noted_turns(notes, now) == run
    assert noted_turns(notes, now + FORGOTTEN_AFTER + timedelta(hours=1)) == {}


def test_the_next_turn_is_told_with_its_day_unless_it_is_tonight_or_none_is_needed():
    waiting, tonight, monday = {"IBM": NIGHTS[-2], "KO": NIGHTS[-3]}, NIGHTS[-1], date(2026, 11, 23)
    assert turn("KO", waiting, tonight, 1) is None
    later = turn("IBM", waiting, tonight, 1)
    assert later == NextTurn(monday, 1)
    assert str(later) == str(replace(later, ahead=2)), "a line of the status for both"
    assert turn("IBM", {}, tonight, 0) == NextTurn(monday, 0)
    last_of_sixty = turn("Z", dict.fromkeys(SIXTY), tonight, 10)
    assert last_of_sixty == NextTurn(NEW_YORK.after(tonight, 3)[-1], 60)
    assert turn("IBM", waiting, NIGHTS[-2], 0) is None, "it has that night's bar"
    assert turn("IBM", waiting, tonight, None) is None, "no requests are counted"


@pytest.mark.parametrize(
    ("today", "told"),
    [
        (18, 20),  # Tokyo's night: New York's day counts
        (19, 20),
        (20, 23),  # at noon of the next: that evening's requests are the ones used up
        (25, 27),  # before Thanksgiving
    ],
)
def test_the_next_fetch_is_told_for_a_day_whose_requests_are_not_used_up(today, told):
    days = [date(2026, 11, day) for day in (19, today, told)]
    assert turn("IBM", {}, days[0], 0, today=days[1]) == NextTurn(days[2], 0)


@given(
    st.dictionaries(
        st.sampled_from("ABCDEFGHIJ"), st.none() | st.dates(max_value=NIGHTS[-2]), min_size=1
    ),
    st.integers(0, 12),
)
def test_the_remaining_requests_all_go_to_the_stalest_tickers(last, remaining):
    asked = {ticker for ticker in last if turn(ticker, last, NIGHTS[-1], remaining) is None}
    assert len(asked) == min(remaining, len(last))
    age = {ticker: session or date.min for ticker, session in last.items()}
    assert all(age[ticker] <= age[other] for ticker in asked for other in last.keys() - asked)


def test_a_ticker_without_bars_is_the_stalest_once_and_then_waits_like_all_others(tmp_path):
    notes, now = FileNotes(tmp_path), datetime(2026, 11, 20, 23, tzinfo=UTC)
    lasts = {"IBM": NIGHTS[-3], "KO": NIGHTS[-2], "NOPE": None}
    assert stalest_first(note_turns(notes, lasts, now)) == ["NOPE", "IBM", "KO"]
    note_turns(notes, {"NOPE": NIGHTS[-2]}, now)  # it is asked for, in vain
    noted = note_turns(notes, lasts, now)
    assert stalest_first(noted) == stalest_first(noted_turns(notes, now)) == ["IBM", "KO", "NOPE"]


def test_an_unreadable_note_is_named(tmp_path):
    path, notes, now = tmp_path / "turns.json", FileNotes(tmp_path), datetime.now(UTC)
    for text in ('{"IBM": ["noon", null]}', "[]", ""):
        path.write_text(text)
        with pytest.raises(StoreError, match=r"turns\.json: .*delete it"):
            noted_turns(notes, now)
    path.unlink()
    path.mkdir()
    with pytest.raises(StoreError, match=r"turns\.json: .*move it away"):
        note_turns(notes, {"IBM": None}, now)
