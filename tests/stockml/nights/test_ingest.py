"""From archived answers into the store: in whatever order nights are rerun, the newest answer
counts."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from deployments.replay.recording import Answer
from stockml.errors import BadPayload
from stockml.home import HomePaths
from stockml.nights import dataset, ingest
from stockml.prices.bars import PRICES, Bars, Split
from stockml.prices.calendar import sessions_for
from stockml.prices.store import BarStore
from stockml.provider.client import AlphaVantage
from stockml.provider.payload_archive import Payload, archive, read_archived
from stockml.storage.documents import FileNotes
from stockml.storage.files import sha256_of
from stockml.storage.receipts import PayloadReceipt, StoreReceipt
from tests.bench import material
from tests.support.recordings import recorded
from tests.support.scripted_feed import Fault, ScriptedFeed

NOW = datetime(2026, 11, 24, 4, 0, tzinfo=UTC)
BARS = recorded("IBM").iloc[-100:]
LAST = BARS.index[-1].date()


def answer(last: date, volume_factor: float) -> bytes:
    """What the provider says after `last`: every volume restated by a factor."""
    bars = BARS.loc[: str(last)]
    return material.payload(bars.assign(volume=(bars["volume"] * volume_factor).round()))


def received(
    home: HomePaths, content: bytes, last: date, at: datetime, rows_before: int
) -> PayloadReceipt:
    file = str(archive(Payload("IBM", content, at), home.payloads))
    return PayloadReceipt("IBM", file, str(sha256_of(file)), last, last, at, rows_before)


def kept(
    home: HomePaths, last: date, volume_factor: float, at: datetime, rows_before: int
) -> PayloadReceipt:
    return received(home, answer(last, volume_factor), last, at, rows_before)


def append(home: HomePaths, payload: PayloadReceipt, now: datetime) -> StoreReceipt:
    return ingest.append(home, payload, calendar=None, now=now)


def test_a_row_from_the_future_is_left_out_and_named_and_the_others_are_stored(home):
    """It refused the whole answer, night after night."""
    future = date(2027, 1, 4)
    content = material.payload(pd.concat([BARS, BARS.iloc[-1:].set_axis([pd.Timestamp(future)])]))
    bars = append(home, received(home, content, LAST, NOW, 0), NOW)
    assert (bars.added, bars.left_out) == (100, (future,))
    assert (
        dataset.renormalise(home, bars, calendar=None)
        .notes[0]
        .startswith(f"left out, yet to come: {future} (")
    )


def test_rerunning_an_old_night_does_not_undo_later_restatements(home):
    monday = kept(home, BARS.index[-2].date(), 1.0, NOW, 0)
    tuesday = kept(home, LAST, 1.015, NOW + timedelta(days=1), 99)
    assert append(home, monday, NOW).added == 99
    newest = append(home, tuesday, NOW + timedelta(days=1))
    assert (newest.added, newest.restated) == (1, 99)
    again = append(home, monday, NOW + timedelta(days=2))
    assert (again.added, again.restated, again.unchanged, again.sha256) == (99, 0, 0, newest.sha256)


def test_an_unknown_price_sets_its_bar_aside_until_it_is_restated_and_costs_nothing_else(home):
    """The answer without it is appended again after the restatement as well, as when its night is
    run again."""
    whole, store, day = answer(LAST, 1.0), BarStore.of(home), BARS.index[40].date()
    opened = f'"1. open": "{BARS["open"].iloc[40]:.4f}"'.encode()
    assert whole.count(opened) == 1

    lacking = received(home, whole.replace(opened, b'"1. open": "1,010"'), LAST, NOW, 0)
    first = append(home, lacking, NOW)
    assert (first.added, append(home, lacking, NOW + timedelta(days=1)).sha256) == (
        100,
        first.sha256,
    )
    view = store.view("IBM")
    assert [(bar.session, bar.broken) for bar in view.set_aside] == [(day, True)]
    assert "expected finite prices above 0, found open nan" in view.set_aside[0].reason
    healed = append(
        home, received(home, whole, LAST, NOW + timedelta(days=1), 100), NOW + timedelta(days=1)
    )
    assert (healed.restated, store.view("IBM").set_aside) == (1, ())
    assert append(home, lacking, NOW + timedelta(days=2)).sha256 == healed.sha256
    changed = store.restatements("IBM")
    assert changed["column"].tolist() == ["open"]
    assert np.isnan(changed["before"].iloc[0])


def test_an_answer_of_which_more_than_one_in_twenty_bars_is_unknown_is_refused(home):
    content = answer(LAST, 1.0)
    for row in range(6):
        content = content.replace(
            f'"4. close": "{BARS["close"].iloc[row]:.4f}"'.encode(), b'"4. close": null'
        )
    with pytest.raises(
        BadPayload, match=r"expected finite prices above 0, .* close nan.*and \d more of 100"
    ):
        append(home, received(home, content, LAST, NOW, 0), NOW)
    assert BarStore.of(home).tickers() == ()


def test_all_history_is_requested_after_a_long_outage_and_weekly_while_an_older_hole_remains_or_it_is_short(
    home,
):
    exchange, bars = sessions_for("IBM"), recorded("IBM").iloc[-400:]
    days = [day.date() for day in bars.index]
    assert ingest.needs_whole_history(home, "IBM", None, days[-1])

    def asked_on(rows: list[int], kept: Bars) -> list[date]:
        store = BarStore.of(home)
        store.append("IBM", kept, recorded_at=NOW, source="test", session=days[-1])
        return [
            days[row] for row in rows if ingest.needs_whole_history(home, "IBM", None, days[row])
        ]

    assert asked_on([-1], bars.iloc[:-100]) == [days[-1]]
    assert asked_on([-1], bars.iloc[:-99]) == []
    week = list(range(-10, 0))
    assert asked_on(week, bars.drop(bars.index[200])) == []
    other = bars.drop(bars.index[200])
    BarStore.of(home).append("MSFT", other, recorded_at=NOW, source="test", session=days[-1])
    mondays = [
        days[row] for row in week if ingest.needs_whole_history(home, "MSFT", None, days[row])
    ]
    assert mondays == [
        day for day in days[-10:] if exchange.before(day, 1)[0].weekday() > day.weekday()
    ]
    for ticker, count in (("FB", 199), ("GOOG", 200)):
        BarStore.of(home).append(
            ticker, bars.iloc[-count:], recorded_at=NOW, source="test", session=days[-1]
        )
    asked = {
        ticker: [
            days[row] for row in week if ingest.needs_whole_history(home, ticker, None, days[row])
        ]
        for ticker in ("FB", "GOOG")
    }
    assert asked == {"FB": mondays, "GOOG": []}, (
        "its first request may have been refused, as when an hour was spent"
    )
    BarStore.of(home).record_import("KO", bars.iloc[:200], recorded_at=NOW, source="not joined yet")
    BarStore.of(home).append(
        "KO", bars.iloc[-150:], recorded_at=NOW, source="test", session=days[-1]
    )
    assert [
        days[row] for row in week if ingest.needs_whole_history(home, "KO", None, days[row])
    ] == mondays
    BarStore.of(home).append(
        "AAPL", bars.iloc[-150:-6], recorded_at=NOW, source="test", session=days[-7]
    )
    asked_last = [
        days[row] for row in week[-6:] if ingest.needs_whole_history(home, "AAPL", None, days[row])
    ]
    assert asked_last == days[-5:], (
        "its turn at a capped key may come on no Monday: a week's first night is its own"
    )


class ThreeForOne(ScriptedFeed):
    """Says at first that MSFT's share was split three for one: it was two for one."""

    corrected_after = date(2003, 2, 18)

    def answered(self, query: Mapping[str, str]) -> Answer:
        real = super().answered(query)
        if query["function"] != "SPLITS" or self.now.date() > self.corrected_after:
            return real
        return Fault.of(real.content.replace(b"2.0000", b"3.0000"))


@pytest.mark.parametrize(
    ("corrected_after", "factor", "nights"), [(date(2003, 2, 18), 2.0, 1), (date.max, 3.0, 6)]
)
def test_a_split_whose_factor_leaves_a_jump_is_asked_about_for_six_more_nights(
    home, corrected_after, factor, nights
):
    """With a wrong factor all earlier prices stay wrong; asking for ever would spend a free key's
    requests."""
    exchange, day, asked_on = sessions_for("MSFT"), date(2003, 2, 18), []
    with ThreeForOne() as feed:
        feed.corrected_after = corrected_after
        environ = {"ALPHAVANTAGE_API_KEY": "K3Y12345", "ALPHAVANTAGE_URL": feed.url}
        for session in (day, *exchange.after(day, 20)):
            feed.set_clock(session)
            with AlphaVantage(
                environ, FileNotes(home.quota), clock=lambda: feed.now, sleep=lambda _: None
            ) as provider:
                payload = ingest.fetch(
                    home, provider, "MSFT", session, sessions=exchange, now=feed.now
                )
                bars = ingest.append(home, payload, calendar=None, now=feed.now)
                ingest.explain_jumps(home, provider, bars, calendar=None, now=feed.now)
            assert payload.newest == session
            asked_on += [session] if feed.asked[-1].function == "SPLITS" else []
    assert asked_on == [day, *exchange.after(day, nights)]
    assert BarStore.of(home).splits("MSFT") == (Split(day, factor),)
    answers = {read_archived(path) for path in (home.payloads / "MSFT").iterdir()}
    assert sum(b"split_factor" in answer for answer in answers) == (2 if factor == 2.0 else 1), (
        "each answer is kept"
    )


def test_an_answer_with_the_prices_of_another_share_is_refused_with_advice_but_no_split_or_dividend(
    home,
):
    other = recorded("MSFT").loc[BARS.index]

    def answered(bars: Bars, hours: int) -> PayloadReceipt:
        return received(home, material.payload(bars), LAST, NOW + timedelta(hours=hours), 100)

    append(home, kept(home, LAST, 1.0, NOW, 0), NOW)
    for hours, factors in enumerate(
        (np.repeat([2.0, 1.0], 50), np.linspace(0.99, 1.0, 100)), start=1
    ):
        changed = BARS.assign(**{name: BARS[name] * factors for name in PRICES})
        assert append(home, answered(changed, hours), NOW + timedelta(hours=hours)).restated
    before = BarStore.of(home).rows("IBM")
    with pytest.raises(
        BadPayload,
        match=r"found \d\d moves restated: .* rename IBM NEW`, then `stockml tickers add IBM`",
    ):
        append(home, answered(other, 9), NOW + timedelta(hours=9))
    assert BarStore.of(home).rows("IBM") == before
