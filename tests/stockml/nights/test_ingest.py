"""From archived answers into the store: in whatever order nights are rerun, the newest answer
counts."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from stockml.errors import BadPayload
from stockml.nights import dataset, ingest
from stockml.prices.bars import PRICES, Split
from stockml.prices.calendar import sessions_for
from stockml.prices.store import BarStore
from stockml.provider.client import AlphaVantage
from stockml.provider.http import Payload, archive
from stockml.storage.files import sha256_of
from stockml.storage.locks import FileNotes
from stockml.storage.receipts import PayloadReceipt
from tests.bench import material
from tests.support.recordings import recorded

NOW, DAY = datetime(2026, 11, 24, 4, 0, tzinfo=UTC), timedelta(days=1)
BARS = recorded("IBM").iloc[-100:]
LAST = BARS.index[-1].date()


def append(home, content, days=0, *, rows=0, last=LAST, again=0):
    """Append an answer that was received `days` after NOW beside so many rows; `again`: run again
    so many days later."""
    at = NOW + days * DAY
    file = str(archive(Payload("IBM", content, at), home.payloads))
    payload = PayloadReceipt("IBM", file, str(sha256_of(file)), last, last, at, rows)
    return ingest.append(home, payload, calendar=None, now=at + again * DAY)


def keep(home, bars, ticker="IBM"):
    store = BarStore.of(home)
    return store.append(ticker, bars, recorded_at=NOW, source="test", session=LAST)


def imported(home, ticker, bars):
    BarStore.of(home).record_import(ticker, bars, recorded_at=NOW, source="test")


def test_a_row_from_the_future_is_left_out_and_named_and_the_others_are_stored(home):
    """It refused the whole answer, night after night."""
    future = date(2027, 1, 4)
    content = material.payload(pd.concat([BARS, BARS.iloc[-1:].set_axis([pd.Timestamp(future)])]))
    bars = append(home, content)
    assert (bars.added, bars.left_out) == (100, (future,))
    note, *_ = dataset.renormalise(home, bars, calendar=None).notes
    assert note.startswith(f"left out, yet to come: {future}")


def test_rerunning_an_old_night_does_not_undo_later_restatements(home):
    restated = material.payload(BARS.assign(volume=(BARS["volume"] * 1.015).round()))
    monday = {"content": material.payload(BARS.iloc[:-1]), "last": BARS.index[-2].date()}
    assert append(home, **monday).added == 99
    newest = append(home, restated, 1, rows=99)
    assert (newest.added, newest.restated) == (1, 99)
    again = append(home, **monday, again=2)
    assert (again.added, again.restated, again.unchanged, again.sha256) == (99, 0, 0, newest.sha256)


def test_an_unknown_price_sets_its_bar_aside_until_it_is_restated_and_costs_nothing_else(home):
    """The answer without it is appended again after the restatement as well, as when its night is
    run again."""
    whole, store, day = material.payload(BARS), BarStore.of(home), BARS.index[40].date()
    opened = f'"1. open": "{BARS["open"].iloc[40]:.4f}"'.encode()
    lacking = whole.replace(opened, b'"1. open": "1,010"')
    first = append(home, lacking)
    assert (first.added, append(home, lacking, again=1).sha256) == (100, first.sha256)
    view = store.view("IBM")
    assert [(bar.session, bar.broken) for bar in view.set_aside] == [(day, True)]
    healed = append(home, whole, 1, rows=100)
    assert (healed.restated, store.view("IBM").set_aside) == (1, ())
    assert append(home, lacking, again=2).sha256 == healed.sha256
    changed = store.restatements("IBM")
    assert changed["column"].tolist() == ["open"]
    assert np.isnan(changed["before"].iloc[0])


def test_an_answer_of_which_more_than_one_in_twenty_bars_is_unknown_is_refused(home):
    content = material.payload(BARS)
    for close in BARS["close"].iloc[:6]:
        content = content.replace(f'"4. close": "{close:.4f}"'.encode(), b'"4. close": null')
    with pytest.raises(BadPayload, match=r"close nan.*and \d more of 100"):
        append(home, content)
    assert BarStore.of(home).tickers() == ()


def test_all_history_is_requested_after_an_outage_and_weekly_while_it_is_short_or_has_a_hole(home):
    bars = recorded("IBM").iloc[-400:]
    week = [day.date() for day in bars.index[-10:]]
    before = sessions_for("IBM").before
    mondays = [day for day in week if before(day, 1)[0].weekday() > day.weekday()]

    def asked(ticker):
        return [day for day in week if ingest.needs_whole_history(home, ticker, None, day)]

    assert asked("IBM") == week, "no bar yet"
    for ticker, kept, expected in (
        ("CAT", bars.iloc[:-100], week[-1:]),
        ("KO", bars.iloc[:-99], []),
        ("MSFT", bars.drop(bars.index[200]), mondays),
        ("FB", bars.iloc[-199:], mondays),  # its first request may have been refused
        ("GOOG", bars.iloc[-200:], []),
        # one request reaches this hole on the second Monday
        ("V", bars.drop(pd.Timestamp(before(mondays[1], 99)[0])), []),
        # its turn at a capped key may come on no Monday: a week's first night is its own
        ("AAPL", bars.iloc[-150:-6], [mondays[0], *week[5:]]),
    ):
        keep(home, kept, ticker)
        assert asked(ticker) == expected, ticker
    imported(home, "GE", bars.iloc[:200])  # which cannot be joined
    keep(home, bars.iloc[-150:], "GE")
    assert asked("GE") == mondays


def test_a_jump_is_asked_about_and_the_answer_is_kept(home, feed):
    exchange, day = sessions_for("MSFT"), date(2003, 2, 18)
    environ = {"ALPHAVANTAGE_API_KEY": "K3Y12345", "ALPHAVANTAGE_URL": feed.url}
    for session in (day, *exchange.after(day, 1)):
        feed.set_clock(session)
        now, patience = {"now": feed.now}, {"clock": lambda: feed.now, "sleep": lambda _: None}
        with AlphaVantage(environ, FileNotes(home.quota), **patience) as provider:
            payload = ingest.fetch(home, provider, "MSFT", session, sessions=exchange, **now)
            bars = ingest.append(home, payload, calendar=None, **now)
            ingest.explain_jumps(home, provider, bars, calendar=None, **now)
        assert payload.newest == session
    assert [each.function for each in feed.asked].count("SPLITS") == 1
    assert BarStore.of(home).splits("MSFT") == (Split(day, 2.0),)
    assert len(list((home.payloads / "MSFT").iterdir())) == 3


def test_an_answer_with_the_prices_of_another_share_is_refused_with_advice_but_no_split_or_dividend(
    home,
):
    append(home, material.payload(BARS))
    for days, factors in enumerate((np.repeat([2.0, 1.0], 50), np.linspace(0.99, 1.0, 100)), 1):
        changed = BARS.assign(**{name: BARS[name] * factors for name in PRICES})
        assert append(home, material.payload(changed), days, rows=100).restated
    before = BarStore.of(home).rows("IBM")
    other = material.payload(recorded("MSFT").loc[BARS.index])
    with pytest.raises(BadPayload, match=r"found \d\d moves restated: .* rename IBM NEW`"):
        append(home, other, 9, rows=100)
    assert BarStore.of(home).rows("IBM") == before


def test_sessions_lack_a_bar_unless_it_was_fetched_or_imported(home):
    days, bars = tuple(day.date() for day in BARS.index), BARS.iloc[-20:]

    def lacking(ticker, sessions):
        return ingest.without_bar(home, ticker, days[-sessions:], None)

    assert lacking("IBM", 20) == days[-20:], "before the first bar"
    keep(home, bars.drop(bars.index[[4, 11]]))
    assert lacking("IBM", 20) == (days[-16], days[-9])
    imported(home, "IBM", bars.iloc[:9])
    assert lacking("IBM", 20) == (days[-9],)
    imported(home, "KO", BARS.iloc[-40:-20])
    keep(home, BARS.iloc[-10:], "KO")
    assert lacking("KO", 40) == days[-40:], "it does not reach them"


def test_a_night_on_the_store_as_it_is_adds_nothing_to_it(home):
    appended = keep(home, BARS)
    found = ingest.as_stored(home, "IBM", LAST)
    assert found == replace(appended, added=0, restated=0, unchanged=0)
    assert found.is_reusable()
