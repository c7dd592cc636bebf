"""The series that a night's model sees, what makes it another night besides the bars, and what is
said of it: each hole, each bar set aside, each import that disagrees."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from stockml.errors import NoBars, TooFewBars
from stockml.features.origins import check_newest
from stockml.models.vintage_store import SHIPPED
from stockml.nights import states
from stockml.nights.dataset import data_notes, renormalise
from stockml.nights.ingest import why_no_forecast
from stockml.prices.bars import Split
from stockml.prices.series import PriceSeries
from stockml.prices.store import BarStore
from tests.support.recordings import recorded

NOW = datetime(2026, 11, 24, 4, 0, tzinfo=UTC)
IBM = recorded("IBM").iloc[-1_000:]
DAYS = [day.date() for day in IBM.index]


def append(home, bars, day=0):
    at = NOW + timedelta(days=day)
    last = bars.index[-1].date()
    return store_of(home).append("IBM", bars, recorded_at=at, source="test", session=last)


def store_of(home):
    return BarStore.of(home)


def imported(home, bars):
    store_of(home).record_import("IBM", bars, recorded_at=NOW, source="test")


def notes(home, until=None):
    store = store_of(home)
    return "\n".join(data_notes("IBM", store.view("IBM", until=until), store.sessions("IBM")))


def test_new_holes_are_named_older_ones_counted_and_a_long_one_divides_the_series(home):
    append(home, IBM.drop(IBM.index[[*range(100, 250), 400, 950, 990]]))
    said = notes(home)
    assert f"no bar of {DAYS[950]}, {DAYS[990]}: asked for again every night" in said
    assert "no bar of 151 older sessions: `stockml bars IBM --holes`" in said
    hole = f"a hole of 150 sessions between {DAYS[99]} and {DAYS[250]}"
    assert f"the series is divided by {hole}: {50 + 21} of 847 sessions" in said


def test_a_change_of_units_divides_the_series_and_the_refusal_names_it(home):
    bars = IBM.copy()
    bars.iloc[:-21, :4] *= 100
    append(home, bars)
    series = PriceSeries.from_bars(store_of(home).view("IBM").bars)
    assert "the series is divided by a change of units" in notes(home)
    assert f"between {DAYS[-22]} and {DAYS[-21]}" in notes(home)
    with pytest.raises(TooFewBars, match=f"from {DAYS[-22]} to {DAYS[-21]}, found 21"):
        check_newest(series)


def test_a_jump_is_named_for_a_week_unless_a_split_explains_it(home):
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
    assert named not in notes(home, until=DAYS[994])


def test_bars_that_repeat_the_one_before_volume_included_are_named_while_they_are_recent(home):
    bars, stood_still = IBM.copy(), [DAYS[at] for at in (-101, -100, -3, -2)]
    bars.iloc[-3:-1] = bars.iloc[-4].to_numpy()
    bars.iloc[-101:-99] = bars.iloc[-102].to_numpy()
    bars.iloc[-6:-4] = [*4 * [bars.iloc[-7, 3]], 1_000.0]  # two round trades may be real
    append(home, bars)
    named = ", ".join(map(str, stood_still[1:]))
    assert notes(home).startswith(f"prices and volume of {named} are those")
    assert notes(home).endswith(f"`stockml bars IBM --reject {DAYS[-100]}`")
    for day in stood_still:
        store_of(home).judge("IBM", day, accepted=False, recorded_at=NOW, source="test")
    assert "once more" not in notes(home)


def test_history_that_is_joined_by_one_close_is_named(home):
    append(home, IBM.iloc[500:])
    imported(home, IBM.iloc[:501])
    assert f"imported history is joined by the close of {DAYS[500]} alone" in notes(home)
    imported(home, IBM.iloc[:502])
    assert notes(home) == "", "sound bars"


def test_a_restated_close_in_an_imports_overlap_is_named_and_the_join_still_holds(home):
    append(home, IBM.iloc[-500:])
    imported(home, IBM.iloc[:900])
    assert notes(home) == ""
    restated = IBM.iloc[-500:].copy()
    restated.iloc[100, :4] *= 1.03
    append(home, restated, 1)
    assert f"imported history disagrees with the bars on {DAYS[600]}" in notes(home)
    assert store_of(home).view("IBM").bars.iloc[:500].equals(IBM.iloc[:500])


def test_a_bar_set_aside_is_named_with_its_reason_and_what_settles_it(home):
    bars = IBM.copy()
    bars.iloc[[300, 980], :4] *= 10
    receipt = append(home, bars)
    said = renormalise(home, receipt, calendar=None)
    assert "1 older bar is set aside" in said.notes[1]
    assert said.notes[0].startswith(f"{DAYS[980]}: open ")
    assert said.notes[0].endswith(f"`stockml bars IBM --accept {DAYS[980]}`")
    assert len(PriceSeries.read(Path(said.path))) == said.sessions == 998


def test_a_vintage_learned_by_a_nights_session_makes_it_another_night_and_a_later_one_does_not(
    home,
):
    receipt = append(home, IBM)
    before = renormalise(home, receipt, calendar=None)
    home.pretrained.mkdir()
    shutil.copy(SHIPPED / "regression-2011-06.json", home.pretrained)
    after = renormalise(home, receipt, calendar=None)
    assert after.sha256 == before.sha256
    assert after.identity() != before.identity()
    (home.pretrained / "regression-2011-06.json").unlink()
    shutil.copy(SHIPPED / "regression-2017-06.json", home.pretrained)
    assert renormalise(home, receipt, calendar=None) == before


def test_a_night_whose_own_bar_is_not_believed_makes_no_dataset(home):
    bars = IBM.copy()
    bars.iloc[-1, :4] *= 100
    receipt = append(home, bars)
    status = why_no_forecast(home, receipt, None, 1)
    assert status.state == states.SET_ASIDE
    assert f"`stockml bars IBM --accept {DAYS[-1]}`" in status.text
    with pytest.raises(NoBars, match=f"no bar of {DAYS[-1]}"):
        renormalise(home, receipt, calendar=None)
    whole = append(home, IBM, 1)
    assert why_no_forecast(home, whole, None, len(IBM)) is None
    assert why_no_forecast(home, whole, None, len(IBM) + 1).state == states.TOO_FEW_SESSIONS
