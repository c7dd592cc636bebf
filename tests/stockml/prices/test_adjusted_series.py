"""What is believed of what was recorded: holes are named, judgements hold, a split that no bar
shows is left out."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stockml.errors import NoBars
from stockml.prices.adjusted_series import AdjustedSeries
from stockml.prices.bars import Split, checked
from tests.stockml.prices.stored import (
    MSFT,
    NOW,
    SPLIT_DAY,
    append,
    imported,
    judge,
    record_listed,
    restated,
    scaled,
)
from tests.stockml.prices.test_bars import DAYS, flat_bars
from tests.stockml.prices.test_revisions import empty_store
from tests.stockml.prices.test_screening import IBM, MIDDLE, altered
from tests.support import strategies
from tests.support.strategies import NEW_YORK, RECORDING_STARTS


def test_missing_sessions_are_named_and_not_invented():
    bars = flat_bars().drop(flat_bars().index[[2, 5]])
    assert AdjustedSeries(bars, (), (), "", ()).holes(NEW_YORK) == (DAYS[2], DAYS[5])
    assert len(checked("IBM", bars, NEW_YORK)) == 8


def test_the_adjustment_hash_changes_with_a_join_and_not_with_new_or_restated_bars(store):
    hashes = []
    for bars in (IBM.iloc[50:-10], restated(IBM.iloc[50:], 60, "volume", 1.1)):
        append(store, bars)
        hashes.append(store.view("IBM").adjustment)
    imported(store, scaled(IBM.iloc[:80], 0.25))
    assert hashes[0] == hashes[1] != store.view("IBM").adjustment


def test_a_split_that_no_nearby_close_shows_is_named_and_not_applied(store):
    """If it were applied, all earlier prices would be a tenth for good."""
    append(store, MSFT, ticker="MSFT")
    split = Split(date(2004, 2, 18), 10.0)
    record_listed(store, [split])
    view = store.view("MSFT")
    assert view.contradicted == (split,)
    assert view.bars.equals(MSFT)
    earlier = store.view("MSFT", until=SPLIT_DAY)
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
    day, tenfold = IBM.index[MIDDLE].date(), altered([MIDDLE], 10.0)
    append(store, tenfold)
    judge(store, day, accepted=True, days=1)
    assert store.adjusted("IBM").equals(tenfold)
    assert len(store.view("IBM", as_of=NOW).set_aside) == 1
    append(store, altered([MIDDLE], 10.0, volume=1.1), days=2)
    assert store.view("IBM").set_aside == ()
    append(store, altered([MIDDLE], 100.0), days=3)
    assert len(store.view("IBM").set_aside) == 1
    append(store, IBM, days=4)
    judge(store, day, days=5)
    (rejected,) = store.view("IBM").set_aside
    assert str(rejected) == f"{day}: rejected by hand"
    assert store.adjusted("IBM").equals(IBM.drop(IBM.index[MIDDLE]))


def test_where_no_bar_is_believed_the_error_says_so(store):
    append(store, altered([0], high=0.5).iloc[:2])
    judge(store, IBM.index[1].date())
    for until in (IBM.index[0].date(), None):
        with pytest.raises(NoBars, match="no bar of IBM is believed"):
            store.view("IBM", until=until)
