"""What a night says about its data: each hole, each bar set aside, each import that disagrees."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from stockml.errors import TooFewBars
from stockml.features.origins import check_newest
from stockml.home import HomePaths
from stockml.nights.dataset import data_notes, renormalise
from stockml.prices.bars import Bars, Split
from stockml.prices.series import PriceSeries
from stockml.prices.store import BarStore
from stockml.storage.receipts import StoreReceipt
from tests.support.recordings import recorded

NOW = datetime(2026, 11, 24, 4, 0, tzinfo=UTC)
IBM = recorded("IBM").iloc[-1_000:]
DAYS = [day.date() for day in IBM.index]


def append(home: HomePaths, bars: Bars, day: int = 0) -> StoreReceipt:
    at = NOW + timedelta(days=day)
    return store_of(home).append(
        "IBM", bars, recorded_at=at, source="test", session=bars.index[-1].date()
    )


def store_of(home: HomePaths) -> BarStore:
    return BarStore.of(home)


def notes(home: HomePaths) -> str:
    return "\n".join(data_notes("IBM", store_of(home).view("IBM"), store_of(home).sessions("IBM")))


def test_sound_bars_give_no_notes(home: HomePaths) -> None:
    append(home, IBM)
    assert notes(home) == ""


def test_new_holes_are_named_older_ones_counted_and_a_long_one_divides_the_series(
    home: HomePaths,
) -> None:
    append(home, IBM.drop(IBM.index[[*range(100, 250), 400, 950, 990]]))
    said = notes(home)
    assert f"no bar of {DAYS[950]}, {DAYS[990]}: asked for again every night" in said
    assert "no bar of 151 older sessions: `stockml bars IBM --holes`" in said
    hole = f"a hole of 150 sessions between {DAYS[99]} and {DAYS[250]}"
    assert f"the series is divided by {hole}: {50 + 21} of 847 sessions" in said


def test_a_change_of_units_divides_the_series_and_the_refusal_names_it(home: HomePaths) -> None:
    bars = IBM.copy()
    bars.iloc[:-21, :4] *= 100
    append(home, bars)
    series = PriceSeries.from_bars(store_of(home).view("IBM").bars)
    assert "the series is divided by a change of units" in notes(home)
    assert f"between {DAYS[-22]} and {DAYS[-21]}" in notes(home)
    with pytest.raises(TooFewBars, match=f"from {DAYS[-22]} to {DAYS[-21]}, found 21"):
        check_newest(series)


def test_a_jump_is_named_for_a_week_unless_a_split_explains_it(home: HomePaths) -> None:
    bars = IBM.copy()
    bars.iloc[990:, :4] *= 2
    append(home, bars.iloc[:995])
    named = f"the open of {DAYS[990]} moved as at a split"
    assert named in notes(home)
    append(home, bars.iloc[995:])
    assert named not in notes(home)
    splits = [Split(DAYS[990], 0.5), Split(DAYS[500], 3.0)]
    store_of(home).record_splits("IBM", splits, recorded_at=NOW, source="test")
    assert f"a split of 3 to 1 on {DAYS[500]} is listed, and no close near it" in notes(home)
    until = store_of(home).view("IBM", until=DAYS[994])
    assert named not in "\n".join(data_notes("IBM", until, store_of(home).sessions("IBM")))


def test_bars_that_repeat_the_one_before_volume_included_are_named_while_they_are_recent(
    home: HomePaths,
) -> None:
    bars = IBM.copy()
    bars.iloc[-3:-1] = bars.iloc[-4].to_numpy()
    bars.iloc[500] = bars.iloc[499].to_numpy()
    bars.iloc[-6:-4] = [*4 * [bars.iloc[-7, 3]], 1_000.0]  # two round trades may be real
    append(home, bars)
    assert notes(home).startswith(f"prices and volume of {DAYS[-3]}, {DAYS[-2]} are those")
    assert notes(home).endswith(f"`stockml bars IBM --reject {DAYS[-3]}`")
    for day in DAYS[-3:-1]:
        store_of(home).judge("IBM", day, accepted=False, recorded_at=NOW, source="test")
    assert "once more" not in notes(home)


def test_history_that_is_joined_by_one_close_is_named(home: HomePaths) -> None:
    append(home, IBM.iloc[500:])
    store_of(home).record_import("IBM", IBM.iloc[:501], recorded_at=NOW, source="test")
    assert f"imported history is joined by the close of {DAYS[500]} alone" in notes(home)
    store_of(home).record_import("IBM", IBM.iloc[:502], recorded_at=NOW, source="test")
    assert "alone" not in notes(home)


def test_a_restated_close_in_an_imports_overlap_is_named_and_the_join_still_holds(
    home: HomePaths,
) -> None:
    append(home, IBM.iloc[-500:])
    store_of(home).record_import("IBM", IBM.iloc[:900], recorded_at=NOW, source="test")
    before = store_of(home).view("IBM")
    restated = IBM.iloc[-500:].copy()
    restated.iloc[100, :4] *= 1.03
    append(home, restated, 1)
    after = store_of(home).view("IBM")
    assert (before.joins[0].odd, after.joins[0].odd) == ((), (DAYS[600],))
    assert after.bars.iloc[:500].equals(before.bars.iloc[:500])
    assert f"imported history disagrees with the bars on {DAYS[600]}" in notes(home)


def test_a_bar_set_aside_is_named_with_its_reason_and_what_settles_it(home: HomePaths) -> None:
    bars = IBM.copy()
    bars.iloc[[300, 980], :4] *= 10
    receipt = append(home, bars)
    said = renormalise(home, receipt, calendar=None)
    assert "1 older bar is set aside" in said.notes[1]
    assert said.notes[0].startswith(f"{DAYS[980]}: open ")
    assert said.notes[0].endswith(f"`stockml bars IBM --accept {DAYS[980]}`")
    assert len(PriceSeries.read(Path(said.path))) == said.sessions == 998
