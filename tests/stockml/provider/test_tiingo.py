"""Both providers under one contract: the same bars and splits from documented answers, refusals by
the same types.

Tiingo's answers here follow its documentation; the service itself could not be reached.
"""

import json
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.replay import recorded_rows, recorded_splits
from stockml.errors import (
    BadKey,
    BadPayload,
    InconsistentOverlap,
    NoData,
    NotOffered,
    TiingoSpent,
    UnknownSymbol,
)
from stockml.nights import ingest
from stockml.prices.bars import COLUMNS, PRICES, Split
from stockml.prices.store import BarStore
from stockml.provider.client import AlphaVantage
from stockml.provider.http import Payload
from stockml.provider.tiingo import Tiingo
from stockml.storage.locks import FileNotes
from tests.stockml.prices.stored import MSFT, SPLIT, append
from tests.support.loopback import Loopback, whole
from tests.support.recordings import adjusted_closes

NOW = datetime(2013, 3, 2, 5, tzinfo=UTC)
LAST = date(2013, 3, 1)
# MSFT's closes in today's shares
ADJUSTED = MSFT["close"].where(MSFT.index >= "2003-02-18", MSFT["close"] / 2)
KEY = "CANARY0SECRET0KEY"


def tiingo_rows(symbol):
    """The recording in the form in which Tiingo documents an answer."""
    factors = {split.effective: split.factor for split in recorded_splits(symbol)}
    adjusted = adjusted_closes(symbol)
    return [
        {"date": f"{row.session}T00:00:00.000Z", "close": row.close, "high": row.high, "low": row.low, "open": row.open,
         "volume": row.volume, "adjClose": adjusted[row.session], "divCash": 0.0,
         "splitFactor": factors.get(row.session, 1.0)}
        for row in recorded_rows(symbol)
    ]  # fmt: skip


def sends(content, status=200):
    return whole(content if isinstance(content, bytes) else json.dumps(content).encode(), status)


def tiingo(folder, address="http://127.0.0.1:9"):
    environ = {"TIINGO_API_KEY": KEY, "TIINGO_URL": address}
    return Tiingo(environ, FileNotes(folder), clock=lambda: NOW, sleep=lambda seconds: None)


def payload(rows):
    return Payload("MSFT", json.dumps(rows).encode(), NOW)


def brings_history(home, rows, days=0):
    """Import what Tiingo answers, `days` after NOW: is anything new?"""
    now = NOW + timedelta(days=days)
    with Loopback(sends(rows)) as service, tiingo(home.quota, service.address) as client:
        brought = ingest.import_history(home, client, "MSFT", calendar=None, now=now)
    # without a first day, Tiingo sends its newest one
    assert all(asked["startDate"] < "1970" for asked in service.asked)
    return brought


def test_bars_and_splits_are_the_same_from_either_provider(tmp_path, feed):
    environ = {"ALPHAVANTAGE_API_KEY": f"premium{KEY}", "ALPHAVANTAGE_PLAN": "1200/min"}
    environ["ALPHAVANTAGE_URL"] = feed.url
    first = AlphaVantage(environ, FileNotes(tmp_path), sleep=lambda seconds: None)
    with (
        Loopback(sends(tiingo_rows("MSFT"))) as service,
        tiingo(tmp_path, service.address) as second,
        first,
    ):
        for provider in (first, second):
            answer = provider.daily("MSFT", "full")
            for last_final, sessions in ((LAST, MSFT), (MSFT.index[-2].date(), MSFT.iloc[:-1])):
                bars = provider.daily_of(answer, last_final=last_final)
                assert bars.index.equals(sessions.index)
                assert bars.iloc[:-1].equals(sessions.iloc[:-1])
            assert provider.splits_of(provider.splits("MSFT")) == (SPLIT,)


REFUSALS = {
    # case: what Tiingo answers, its status, the error's type, the number of requests
    "no key": ({"detail": "Authentication credentials were not provided."}, 401, BadKey, 1),
    "a wrong key": ({"detail": "Invalid token."}, 403, BadKey, 1),
    "an unknown symbol": ({"detail": "Error: Ticker 'MSFT' not found"}, 404, UnknownSymbol, 3),
    "the hour": (b"You have run over your hourly request allocation.", 429, TiingoSpent, 1),
    "the hour, it may be": (b"", 429, TiingoSpent, 1),
    "the month": (
        b'{"detail": "You have run over your 500 look ups this month."}',
        200,
        TiingoSpent,
        1,
    ),
    "the day": (b'{"detail": "You have run over your daily requests."}', 200, TiingoSpent, 1),
    "nothing": ([], 200, NoData, 3),
    "a fault": (b"<html>Passerelle erron\xe9e</html>", 502, NoData, 3),
    "half an answer": (b'[{"date": "2013-03-01T', 200, NoData, 3),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_refusal_raises_its_own_type_and_shows_no_key(tmp_path, case):
    content, status, kind, requests = REFUSALS[case]
    with Loopback(sends(content, status)) as service, tiingo(tmp_path, service.address) as client:
        with pytest.raises(kind) as refusal:
            client.daily("MSFT", "full")
        assert len(service.asked) == requests
        assert KEY not in f"{refusal.value}{refusal.value.__context__}{service.asked}"
        if kind is not TiingoSpent:
            assert client.remaining() == 1_000 - requests
            return
        assert refusal.value.period == case[4:].partition(",")[0]
        with pytest.raises(TiingoSpent, match="`stockml import MSFT`") as again:
            client.daily("MSFT", "full")
    # of an hour's end it is not known when it comes: the next request is sent
    is_hour = refusal.value.period == "hour"
    assert again.value.period == ("hour" if is_hour else "day")
    assert (len(service.asked), client.remaining()) == ((2, 998) if is_hour else (1, 0))


def test_a_foreign_symbol_or_a_missing_key_is_refused_without_a_request(tmp_path):
    with Loopback(sends([])) as service:
        with tiingo(tmp_path, service.address) as client, pytest.raises(NotOffered):
            client.daily("TSCO.LON")
        assert client.remaining() == 1_000
        nobody = Tiingo(
            {"TIINGO_URL": service.address}, FileNotes(tmp_path), sleep=lambda seconds: None
        )
        with nobody, pytest.raises(BadKey, match="TIINGO_API_KEY"):
            nobody.daily("MSFT")
        assert service.asked == []


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"close": ...}, "expected 'close' on 2013-03-01, found no such field"),
        ({"splitFactor": 0.0}, "expected a split factor above 0, found '0.0' on 2013-03-01"),
        ({"splitFactor": None}, "expected a split factor above 0, found 'None' on 2013-03-01"),
        ({"date": "yesterday"}, "expected a day's bar"),
        ({"date": "2013-02-28"}, "found two of 2013-02-28"),
    ],
)
def test_an_answer_that_must_not_be_stored_is_refused_by_name(tmp_path, change, why):
    rows = tiingo_rows("MSFT")
    rows[-1] = {name: value for name, value in (rows[-1] | change).items() if value is not ...}
    client = tiingo(tmp_path)
    parse = (
        client.splits_of if "splitFactor" in change else partial(client.daily_of, last_final=LAST)
    )
    with pytest.raises(BadPayload, match=why):
        parse(payload(rows))


def test_one_unknown_cell_costs_its_own_bar_and_an_unknown_volume_costs_none(home):
    rows = tiingo_rows("MSFT")
    rows[-900] |= {"close": None}
    rows[-600] |= {"volume": None}
    assert [brings_history(home, rows) for _ in range(2)] == [True, False]
    view = BarStore.of(home).view("MSFT")
    (bar,) = view.set_aside
    assert str(bar).startswith(f"{MSFT.index[-900].date()}: expected finite prices above 0, found")
    assert len(view.bars) == len(rows) - 1
    assert view.bars.index[view.bars["volume"].isna()] == MSFT.index[[-600]]


CELL = st.sampled_from([None, True, 10**400, [], {}]) | st.floats() | st.text(max_size=5)
ROW = st.fixed_dictionaries(
    {"date": st.dates().map(str)}, optional=dict.fromkeys((*COLUMNS, "splitFactor"), CELL)
)


@given(st.lists(ROW | CELL, min_size=1, max_size=4))
def test_only_typed_errors_come_out_of_anything_shaped_like_days(rows):
    client = tiingo(Path())
    with suppress(BadPayload, NoData):
        bars = client.daily_of(payload(rows), last_final=LAST)
        assert bars.index.is_monotonic_increasing
        assert not np.isinf(bars.to_numpy()).any()
    with suppress(BadPayload, NoData):
        assert all(split.factor > 0 for split in client.splits_of(payload(rows)))


def test_tiingos_history_precedes_a_free_keys_hundred_sessions_and_fills_a_long_hole(home):
    """An outage of 150 sessions on a free plan: Alpha Vantage's newest 100 do not reach back to it,
    Tiingo does."""
    store, rows = BarStore.of(home), tiingo_rows("MSFT")
    for part in (MSFT.iloc[-400:-250], MSFT.iloc[-100:]):
        append(store, part, NOW, ticker="MSFT")
    assert len(store.view("MSFT").holes(store.sessions("MSFT"))) == 150
    restated = [rows[0] | {"volume": 1}, *rows[1:]]
    answers = (rows[-400:], rows, rows, restated)
    assert [brings_history(home, answer) for answer in answers] == [True, True, False, False]
    view = store.view("MSFT")
    assert view.holes(store.sessions("MSFT")) == ()
    assert view.bars["close"].equals(ADJUSTED)
    assert not ingest.needs_whole_history(home, "MSFT", None, LAST)


@pytest.mark.parametrize("factor", [1.046, 1.3])
def test_a_spin_off_that_no_jump_shows_neither_refuses_decades_nor_is_another_shares_believed(
    home, factor
):
    """Alpha Vantage is not asked for the splits: its hundred sessions had one ratio before the day,
    one after it."""
    store, rows, day = BarStore.of(home), tiingo_rows("MSFT"), MSFT.index[-40].date()
    for row, bar_day in zip(rows, MSFT.index.date, strict=True):
        if bar_day < day:
            row |= {name: row[name] * factor for name in PRICES}
        elif bar_day == day:
            row["splitFactor"] = factor
    bars = tiingo(home.quota).daily_of(payload(rows), last_final=LAST)
    append(store, bars.iloc[-100:], NOW, ticker="MSFT")
    others = [
        row | {name: row[name] * (1 + at % 7 / 90) for name in PRICES}
        for at, row in enumerate(rows)
    ]
    with pytest.raises(InconsistentOverlap):
        brings_history(home, others)
    assert store.splits("MSFT") == ()
    assert brings_history(home, rows)
    assert store.splits("MSFT")[-1] == Split(day, factor)
    assert store.view("MSFT").bars["close"].to_numpy() == pytest.approx(ADJUSTED.to_numpy())


def test_a_day_that_is_no_session_neither_refuses_decades_nor_is_asked_for_again(home):
    """2012-10-29, when a hurricane kept New York closed: named, set aside, and no longer missing
    from the store."""
    store, rows = BarStore.of(home), tiingo_rows("MSFT")
    append(store, MSFT.iloc[-100:], NOW, ticker="MSFT")
    rows += [rows[-80] | {"date": "2012-10-29T00:00:00.000Z"}]
    assert [brings_history(home, rows, days) for days in (-1, 0)] == [True, False]
    view = store.view("MSFT")
    (bar,) = view.set_aside
    assert str(bar).startswith("2012-10-29: expected a session of the calendar XNYS")
    assert len(view.bars) == len(MSFT)
