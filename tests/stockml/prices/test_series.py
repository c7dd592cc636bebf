"""The series is kept exactly; a file that cannot be read is named."""

import numpy as np
import pytest

from stockml.errors import InvalidFile
from stockml.prices.bars import COLUMNS
from stockml.prices.series import PriceSeries
from tests.support.recordings import recorded
from tests.support.walks import walk


def test_read_gives_what_was_written_and_equal_series_give_equal_bytes(tmp_path):
    series = walk(300)
    series.write(tmp_path / "one.parquet")
    series.write(tmp_path / "two.parquet")
    again = PriceSeries.read(tmp_path / "one.parquet")
    for name in ("sessions", *COLUMNS):
        np.testing.assert_array_equal(getattr(again, name), getattr(series, name))
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()


def test_a_bars_frame_becomes_a_series_with_mid_prices():
    bars = recorded("IBM")
    series = PriceSeries.from_bars(bars)
    assert len(series) == len(bars)
    assert series.sessions.dtype == np.dtype("datetime64[D]")
    np.testing.assert_allclose(series.mid, (bars["high"] + bars["low"]) / 2)
    assert len(series.until(10)) == 10
    assert len(series.between(1, len(series))) == len(series) - 1
    assert series.until(len(series)) is series, "what is cached by identity"
    with pytest.raises(TypeError, match="sessions as DatetimeIndex, found RangeIndex"):
        PriceSeries.from_bars(bars.reset_index())


def test_an_unreadable_file_is_named(tmp_path):
    (tmp_path / "broken.parquet").write_bytes(b"no parquet")
    for name in ("broken.parquet", "missing.parquet"):
        with pytest.raises(InvalidFile, match=name):
            PriceSeries.read(tmp_path / name)
