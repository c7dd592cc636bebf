"""What is believed of what was recorded: holes are named, judgements hold, a split that no bar
shows is left out."""

from datetime import date, timedelta

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stockml.errors import NoBars
from stockml.prices.adjusted_series import AdjustedSeries
from stockml.prices.bars import Split, checked, days_of, make_bars
from stockml.prices.calendar import sessions_for
from tests.stockml.prices.stored import NOW, append, imported, record_listed, restated
from tests.stockml.prices.test_bars import DAYS, flat_bars
from tests.stockml.prices.test_revisions import empty_store
from tests.stockml.prices.test_screening import ALL, IBM, MIDDLE, altered
from tests.support import strategies
from tests.support.recordings import recorded
from tests.support.strategies import RECORDING_STARTS

NEW_YORK = sessions_for("IBM")


def test_missing_sessions_are_named_and_not_invented():
    bars = flat_bars().drop(flat_bars().index[[2, 5]])
    assert AdjustedSeries(bars, (), (), "", ()).holes(NEW_YORK) == (DAYS[2], DAYS[5])
    assert len(checked("IBM", bars, NEW_YORK)) == 8


def test_the_adjustment_hash_changes_exactly_when_the_past_changes(store):
    bars = recorded("MSFT")
    hashes = []

    def now_differs() -> bool:
        hashes.append(store.view("MSFT").adjustment)
        return len(hashes) > 1 and hashes[-1] != hashes[-2]

    before_the_split = bars.loc[:"2003-02-14"]
    append(store, before_the_split.iloc[:-10], ticker="MSFT")
    assert not now_differs()
    append(store, before_the_split, ticker="MSFT")
    assert not now_differs()
    append(
        store, restated(before_the_split, -1, "volume", 1.1), NOW + timedelta(days=1), ticker="MSFT"
    )
    assert not now_differs()
    record_listed(store, [Split(date(2003, 2, 18), 2.0)])
    assert not now_differs()  # announced, not yet effective
    append(store, bars.loc[:"2003-02-18"], NOW + timedelta(days=2), ticker="MSFT")
    assert now_differs()
    append(store, bars, NOW + timedelta(days=3), ticker="MSFT")
    assert not now_differs()
    history = make_bars(
        days_of(bars)[:2000], {name: bars[name].to_numpy()[:2000] for name in bars.columns}
    )
    imported(store, history, ticker="MSFT")
    assert not now_differs()


@pytest.mark.parametrize(("factor", "off", "applied"), [(2.0, 3, True), (10.0, 200, False)])
def test_a_split_that_no_nearby_close_shows_is_named_and_not_applied(store, factor, off, applied):
    """If such a 10:1 split were applied, all earlier prices would be a tenth for good."""
    bars = recorded("MSFT")
    append(store, bars, ticker="MSFT")
    at = bars.index.get_loc(pd.Timestamp("2003-02-18"))
    split = Split(bars.index[at + off].date(), factor)
    record_listed(store, [split])
    view = store.view("MSFT")
    assert view.contradicted == (() if applied else (split,))
    assert (view.bars["close"].iloc[0] == bars["close"].iloc[0]) is not applied
    earlier = store.view("MSFT", until=bars.index[at - 10].date())
    assert earlier.contradicted == (), "the split is not effective yet"


@given(
    strategies.series(min_size=2),
    st.builds(Split, st.sampled_from(strategies.CALENDAR), strategies.factors),
)
def test_the_adjustment_hash_changes_exactly_when_the_adjusted_past_does(bars, split):
    with empty_store() as store:
        append(store, bars, RECORDING_STARTS)
        before, hash_before = store.adjusted("IBM"), store.view("IBM").adjustment
        store.record_splits("IBM", [split], recorded_at=RECORDING_STARTS, source="test")
        changed = not store.adjusted("IBM").equals(before)
        is_within = bars.index[0].date() < split.effective <= bars.index[-1].date()
        assert changed == (is_within and split.factor != 1 and not store.view("IBM").contradicted)
        assert (store.view("IBM").adjustment != hash_before) == changed


def test_a_persons_judgement_of_a_bar_holds_until_its_prices_are_restated(store):
    bars, day = altered([MIDDLE], **dict.fromkeys(ALL, 10.0)), IBM.index[MIDDLE].date()
    append(store, bars)
    store.judge("IBM", day, accepted=True, recorded_at=NOW + timedelta(hours=1), source="by hand")
    assert store.adjusted("IBM").equals(bars)
    assert len(store.view("IBM", as_of=NOW).set_aside) == 1
    append(
        store, altered([MIDDLE], **dict.fromkeys(ALL, 10.0), volume=1.1), NOW + timedelta(days=1)
    )
    assert store.view("IBM").set_aside == ()
    append(store, altered([MIDDLE], **dict.fromkeys(ALL, 100.0)), NOW + timedelta(days=2))
    assert len(store.view("IBM").set_aside) == 1
    append(store, IBM, NOW + timedelta(days=3))
    store.judge("IBM", day, accepted=False, recorded_at=NOW + timedelta(days=4), source="by hand")
    (rejected,) = store.view("IBM").set_aside
    assert str(rejected) == f"{day}: rejected by hand"
    assert day not in days_of(store.adjusted("IBM")).tolist()


def test_a_judgement_made_after_the_clock_was_set_back_changes_no_earlier_view(store):
    append(store, IBM)
    store.judge(
        "IBM",
        IBM.index[-1].date(),
        accepted=False,
        recorded_at=NOW + timedelta(days=2),
        source="by hand",
    )
    store.judge("IBM", IBM.index[-2].date(), accepted=False, recorded_at=NOW, source="by hand")
    assert [
        len(store.view("IBM", as_of=NOW + timedelta(days=days)).set_aside) for days in (1, 2, 3)
    ] == [0, 1, 2]


def test_where_no_bar_is_believed_the_error_says_so(store):
    append(store, altered([0], high=0.5).iloc[:2])
    store.judge("IBM", IBM.index[1].date(), accepted=False, recorded_at=NOW, source="by hand")
    for until in (IBM.index[0].date(), None):
        with pytest.raises(NoBars, match="no bar of IBM is believed"):
            store.view("IBM", until=until)
