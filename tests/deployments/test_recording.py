"""The recording is complete, in order, and jumps exactly where its splits say."""

import exchange_calendars
import pytest

from deployments.replay.recording import recorded_rows, recorded_splits
from tests.support.recordings import recorded


@pytest.mark.parametrize("symbol", ["AAPL", "FB", "GOOG", "IBM", "MSFT"])
def test_every_session_of_the_exchange_has_one_sound_bar(symbol: str) -> None:
    bars = recorded(symbol)
    calendar = exchange_calendars.get_calendar("XNYS", start="2000-01-01", end="2013-12-31")
    assert list(bars.index) == list(calendar.sessions_in_range(bars.index[0], bars.index[-1]))
    assert bars.index.name == "session"
    assert [str(kind) for kind in bars.dtypes] == ["float64"] * 5
    assert (bars.low <= bars[["open", "close"]].min(axis=1)).all()
    assert (bars.high >= bars[["open", "close"]].max(axis=1)).all()
    assert (bars > 0).all().all()
    played = [(str(day), *values) for day, *values in recorded_rows(symbol)]
    assert played == [
        (f"{day:%Y-%m-%d}", *values)
        for day, values in zip(bars.index, bars.to_numpy().tolist(), strict=True)
    ]


@pytest.mark.parametrize("symbol", ["AAPL", "MSFT"])
def test_a_split_divides_the_raw_close_by_its_factor(symbol: str) -> None:
    raw = recorded(symbol).close
    for split in recorded_splits(symbol):
        at = list(raw.index.date).index(split.effective)
        assert raw.iloc[at - 1] / raw.iloc[at] == pytest.approx(split.factor, rel=0.1)
