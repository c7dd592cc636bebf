"""Both providers under one contract: the same bars and splits from documented answers, refusals by
the same types.

Tiingo's answers here follow its documentation; the service itself could not be reached.
"""

import json
import pickle
from contextlib import nullcontext, suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.replay import Feed, recorded_rows, recorded_splits
from stockml.errors import (
    BadKey,
    BadPayload,
    FeedError,
    InconsistentOverlap,
    NoData,
    NotOffered,
    TiingoSpent,
    UnknownSymbol,
)
from stockml.home import HomePaths
from stockml.nights import ingest
from stockml.prices.bars import COLUMNS, PRICES, Bars, Split
from stockml.prices.store import BarStore
from stockml.provider.client import AlphaVantage
from stockml.provider.http import Payload, PriceProvider
from stockml.provider.tiingo import Tiingo
from stockml.storage.locks import FileNotes
from tests.support.loopback import Answer, Loopback, whole
from tests.support.recordings import adjusted_closes, recorded

NOW = datetime(2013, 3, 2, 5, 0, tzinfo=UTC)
LAST = date(2013, 3, 1)
KEY = "CANARY0SECRET0KEY"


def tiingo_rows(symbol: str) -> list[dict[str, object]]:
    """The recording in the form in which Tiingo documents an answer."""
    factors = {split.effective: split.factor for split in recorded_splits(symbol)}
    adjusted = adjusted_closes(symbol)
    return [
        {"date": f"{row.session}T00:00:00.000Z", "close": row.close, "high": row.high, "low": row.low, "open": row.open,
         "volume": row.volume, "adjClose": adjusted[row.session], "divCash": 0.0,
         "splitFactor": factors.get(row.session, 1.0)}
        for row in recorded_rows(symbol)
    ]  # fmt: skip


def sends(content: object, status: int = 200) -> Answer:
    return whole(content if isinstance(content, bytes) else json.dumps(content).encode(), status)


def tiingo(folder: Path, address: str) -> Tiingo:
    environ = {"TIINGO_API_KEY": KEY, "TIINGO_URL": address}
    return Tiingo(environ, FileNotes(folder), clock=lambda: NOW, sleep=lambda seconds: None)


@pytest.fixture(params=["alphavantage", "tiingo"])
def provider(request: pytest.FixtureRequest, tmp_path: Path):  # type: ignore[no-untyped-def]
    """Each provider in turn, over real HTTP, with the recording of MSFT behind it."""
    if request.param == "tiingo":
        with (
            Loopback(sends(tiingo_rows("MSFT"))) as service,
            tiingo(tmp_path, service.address) as client,
        ):
            yield client
        return
    environ = {"ALPHAVANTAGE_API_KEY": f"premium{KEY}", "ALPHAVANTAGE_PLAN": "1200/min"}
    with Feed() as feed:
        environ["ALPHAVANTAGE_URL"] = feed.address
        made = AlphaVantage(
            environ, FileNotes(tmp_path), clock=lambda: NOW, sleep=lambda seconds: None
        )
        with made as client:
            yield client


def test_bars_and_splits_are_the_same_from_either_provider(provider: PriceProvider) -> None:
    answer = provider.daily("MSFT", "full")
    bars = provider.daily_of(answer, last_final=LAST)
    assert bars.iloc[:-1].equals(recorded("MSFT").iloc[:-1])
    assert bars.index[-1].date() == LAST
    earlier = provider.daily_of(answer, last_final=date(2013, 2, 28))
    assert earlier.index[-1].date() == date(2013, 2, 28)
    splits = provider.splits_of(provider.splits("MSFT"))
    assert [(split.effective, split.factor) for split in splits] == [(date(2003, 2, 18), 2.0)]
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(provider)


REFUSALS: dict[str, tuple[object, int, type[FeedError], int]] = {
    # case: what Tiingo answers, its status, the error's type, the number of requests
    "no key": ({"detail": "Authentication credentials were not provided."}, 401, BadKey, 1),
    "a wrong key": ({"detail": "Invalid token."}, 403, BadKey, 1),
    "an unknown symbol": ({"detail": "Error: Ticker 'MSFT' not found"}, 404, UnknownSymbol, 3),
    "the hour": (b"You have run over your hourly request allocation.", 429, TiingoSpent, 1),
    "the hour, it may be": (b"", 429, TiingoSpent, 1),
    "the month": (
        {"detail": "Error: You have run over your 500 symbol look up for this month."},
        200,
        TiingoSpent,
        1,
    ),
    "the day": (
        {"detail": "You have run over your daily request allocation."},
        200,
        TiingoSpent,
        1,
    ),
    "nothing": ([], 200, NoData, 3),
    "a fault": (b"<html>Passerelle erron\xe9e</html>", 502, NoData, 3),
    "half an answer": (b'[{"date": "2013-03-01T', 200, NoData, 3),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_refusal_raises_its_own_type_and_shows_no_key(tmp_path: Path, case: str) -> None:
    content, status, kind, requests = REFUSALS[case]
    with Loopback(sends(content, status)) as service, tiingo(tmp_path, service.address) as client:
        with pytest.raises(kind) as refusal:
            client.daily("MSFT", "full")
        assert len(service.asked) == requests
        assert kind is TiingoSpent or client.remaining() == 1_000 - requests
    assert KEY not in f"{refusal.value}{refusal.value.__context__}{service.asked}"


@pytest.mark.parametrize(
    "case", [case for case, expected in REFUSALS.items() if expected[2] is TiingoSpent]
)
def test_a_spent_allowance_is_told_with_its_period_and_how_to_go_on(
    tmp_path: Path, case: str
) -> None:
    content, status, *_ = REFUSALS[case]
    period = case[4:].partition(",")[0]
    with Loopback(sends(content, status)) as service, tiingo(tmp_path, service.address) as client:
        for again in (period, "hour" if period == "hour" else "day"):
            with pytest.raises(TiingoSpent, match="`stockml import MSFT`") as refusal:
                client.daily("MSFT", "full")
            assert refusal.value.period == again
        assert client.remaining() == (998 if period == "hour" else 0)
        assert len(service.asked) == (2 if period == "hour" else 1)


def test_a_foreign_symbol_or_a_missing_key_is_refused_without_a_request(tmp_path: Path) -> None:
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
def test_an_answer_that_must_not_be_stored_is_refused_by_name(
    tmp_path: Path, change: dict[str, object], why: str
) -> None:
    rows = tiingo_rows("MSFT")
    rows[-1] = {name: value for name, value in (rows[-1] | change).items() if value is not ...}
    payload = Payload("MSFT", json.dumps(rows).encode(), NOW)
    client = tiingo(tmp_path, "http://127.0.0.1:9")
    with pytest.raises(BadPayload, match=why):
        client.daily_of(
            payload, last_final=LAST
        ) if "splitFactor" not in change else client.splits_of(payload)


def test_one_unknown_cell_costs_its_own_bar_and_an_unknown_volume_costs_none(
    home: HomePaths,
) -> None:
    store, rows = BarStore.of(home), tiingo_rows("MSFT")
    rows[-900] |= {"close": None}
    rows[-600] |= {"volume": None}
    with Loopback(sends(rows)) as service, tiingo(home.quota, service.address) as client:
        arguments = {"ticker": "MSFT", "calendar": None, "now": NOW}
        assert [ingest.import_history(home, client, **arguments) for _ in range(2)] == [True, False]
    view = store.view("MSFT")
    assert [str(bar.session) for bar in view.set_aside] == [str(rows[-900]["date"])[:10]]
    assert "expected finite prices above 0, found open 23.68" in view.set_aside[0].reason
    assert len(view.bars) == len(rows) - 1
    unknown = view.bars["volume"].isna()
    assert view.bars.index[unknown].strftime("%Y-%m-%d").tolist() == [str(rows[-600]["date"])[:10]]


CELL = st.sampled_from([None, True, 10**400, [], {}]) | st.floats() | st.text(max_size=5)
ROW = st.fixed_dictionaries(
    {"date": st.dates().map(str)}, optional=dict.fromkeys((*COLUMNS, "splitFactor"), CELL)
)


@given(st.lists(ROW | CELL, min_size=1, max_size=4))
def test_only_typed_errors_come_out_of_anything_shaped_like_days(rows: list[object]) -> None:
    payload = Payload("MSFT", json.dumps(rows).encode(), NOW)
    client = tiingo(Path(), "http://127.0.0.1:9")
    with suppress(BadPayload, NoData):
        bars = client.daily_of(payload, last_final=LAST)
        assert bars.index.is_monotonic_increasing
        assert not np.isinf(bars.to_numpy()).any()
    with suppress(BadPayload, NoData):
        assert all(split.factor > 0 for split in client.splits_of(payload))


def test_tiingos_history_precedes_a_free_keys_hundred_sessions_and_fills_a_long_hole(
    home: HomePaths,
) -> None:
    """An outage of 150 sessions on a free plan: Alpha Vantage's newest 100 do not reach back to it,
    Tiingo does."""
    store, bars = BarStore.of(home), recorded("MSFT")
    for part in (bars.iloc[-400:-250], bars.iloc[-100:]):
        store.append(
            "MSFT", part, recorded_at=NOW, source="alphavantage", session=part.index[-1].date()
        )
    assert len(store.view("MSFT").holes(store.sessions("MSFT"))) == 150
    rows = tiingo_rows("MSFT")
    restated = [rows[0] | {"volume": 1}, *rows[1:]]
    for answer, is_new in ((rows[-400:], True), (rows, True), (rows, False), (restated, False)):
        with Loopback(sends(answer)) as service, tiingo(home.quota, service.address) as client:
            assert ingest.import_history(home, client, "MSFT", calendar=None, now=NOW) is is_new
        assert all(asked["startDate"] < "1970" for asked in service.asked), (
            "without one, Tiingo sends its newest day"
        )
    view = store.view("MSFT")
    assert view.holes(store.sessions("MSFT")) == ()
    assert view.bars["close"].equals(adjusted(bars))
    assert not ingest.needs_whole_history(home, "MSFT", None, LAST)


@pytest.mark.parametrize("factor", [1.046, 1.3])
def test_a_spin_off_that_no_jump_shows_neither_refuses_decades_nor_is_another_shares_believed(
    home: HomePaths, factor: float
) -> None:
    """Alpha Vantage is not asked for the splits: its hundred sessions had one ratio before the day,
    one after it."""
    store, rows, day = (
        BarStore.of(home),
        tiingo_rows("MSFT"),
        str(recorded("MSFT").index[-40].date()),
    )
    for row in rows:
        row.update({name: row[name] * factor for name in PRICES if str(row["date"]) < day})
        row.update({"splitFactor": factor} if str(row["date"])[:10] == day else {})
    bars = tiingo(home.quota, "").daily_of(
        Payload("MSFT", json.dumps(rows).encode(), NOW), last_final=LAST
    )
    store.append("MSFT", bars.iloc[-100:], recorded_at=NOW, source="alphavantage", session=LAST)
    others = [
        row | {name: row[name] * (1 + at % 7 / 90) for name in PRICES}
        for at, row in enumerate(rows)
    ]
    for answer in (others, rows):
        ends = pytest.raises(InconsistentOverlap) if answer is others else nullcontext()
        with (
            Loopback(sends(answer)) as service,
            tiingo(home.quota, service.address) as client,
            ends,
        ):
            assert ingest.import_history(home, client, "MSFT", calendar=None, now=NOW)
        assert store.splits("MSFT")[-1:] == (
            () if answer is others else (Split(date.fromisoformat(day), factor),)
        )
    assert store.view("MSFT").bars["close"].to_numpy() == pytest.approx(
        np.asarray(adjusted(recorded("MSFT")))
    )


def test_a_day_that_is_no_session_neither_refuses_decades_nor_is_asked_for_again(
    home: HomePaths,
) -> None:
    """2012-10-29, when a hurricane kept New York closed: named, set aside, and no longer missing
    from the store."""
    store, bars = BarStore.of(home), recorded("MSFT")
    store.append("MSFT", bars.iloc[-100:], recorded_at=NOW, source="alphavantage", session=LAST)
    storm = date(2012, 10, 29)
    rows = tiingo_rows("MSFT")
    rows += [rows[-80] | {"date": f"{storm}T00:00:00.000Z"}]
    with Loopback(sends(rows)) as service, tiingo(home.quota, service.address) as client:
        for now, brought in ((NOW - timedelta(days=1), True), (NOW, False)):
            assert ingest.import_history(home, client, "MSFT", calendar=None, now=now) is brought
    view = store.view("MSFT")
    assert [bar.session for bar in view.set_aside] == [storm]
    assert "expected a session of the calendar XNYS" in view.set_aside[0].reason
    assert len(view.bars) == len(bars)


def adjusted(bars: Bars) -> "object":
    """MSFT's closes in today's shares."""
    return bars["close"].where(bars.index >= "2003-02-18", bars["close"] / 2)
