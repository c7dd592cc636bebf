"""A width that leaves the share's usual ones is told once; a close outside its band is told
whatever was split."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from stockml.forecasts.forecast import Band
from stockml.forecasts.ledger_scores import (
    AT_LEAST,
    RECENT,
    missed_band,
    unusual_width,
    wrong_coverage,
)
from tests.support.nights import recorded_night

DAYS = pd.bdate_range("2013-01-01", periods=80)


def steps(widths):
    """The first lead of a forecast after each day, from a price of 100."""
    low, high = (100 * np.exp(np.array(widths) / 2 * sign) for sign in (-1, 1))
    frame = {"session": DAYS[: len(widths)], "due": DAYS[1 : len(widths) + 1], "lead": 1}
    prices = {"last_value": 100.0, "low_80": low, "high_80": high, "low_95": low, "high_95": high}
    return pd.DataFrame({**frame, **prices, "published_at": frame["session"].tz_localize("UTC")})


def tonight(width, day):
    low, high = 100 * np.exp([-width / 2, width / 2])
    return replace(recorded_night().forecast, origin=day, bands=(Band(80, (low,), (high,)),))


PRICES = ["last_value", "low_80", "high_80"]
USUAL = [0.02, 0.03] * 15


def test_an_unusual_width_is_told_until_it_returns_only_once():
    for past, width, side in (
        (USUAL, 0.025, None),
        (USUAL, 0.05, "wide"),
        (USUAL, 0.01, "narrow"),
        ([*USUAL, 0.05], 0.06, None),  # it was wide already
        ([*USUAL, 0.05, 0.025], 0.06, "wide"),  # it has been usual since
        ([*USUAL, 0.01], 0.06, "wide"),
        (USUAL[: AT_LEAST - 1], 0.05, None),
    ):
        found = unusual_width(steps(past), tonight(width, DAYS[len(past)].date()))
        assert (found and found.side) == side


def test_of_two_forecasts_of_a_session_the_later_is_its_width():
    before = steps([*USUAL, 0.05])
    later = before.tail(1).assign(low_80=99.0, high_80=101.5, published_at=pd.Timestamp.now("UTC"))
    assert unusual_width(pd.concat([later, before]), tonight(0.06, DAYS[31].date())) is not None


@pytest.mark.parametrize(("close", "missed"), [(100.5, False), (102.0, True), (98.0, True)])
@pytest.mark.parametrize("split", [1.0, 0.5])
def test_a_close_outside_the_band_of_the_forecast_before_is_told(close, missed, split):
    """Adjusted prices of both days are halved by a split of that day; the band is in the shares
    before it."""
    closes = pd.Series([100.0 * split, close * split], index=DAYS[2:4])
    found = missed_band(steps([0.02] * 3), closes, DAYS[3].date())
    assert (found is not None) == missed
    if found:
        assert (found.close, found.origin) == (pytest.approx(close), DAYS[2].date())


def test_without_a_forecast_for_the_day_or_a_close_none_is_missed():
    closes = pd.Series([100.0, 200.0], index=[DAYS[2], DAYS[4]])
    for widths, day in ((3, 4), (3, 3), (0, 3)):
        assert missed_band(steps([0.02] * widths), closes, DAYS[day].date()) is None


def test_a_coverage_is_told_when_it_leaves_its_range_and_not_again_until_it_has_returned():
    """Of 60 bands, 48 hold; then those that held turn into misses one by one, and after 20 of these
    all hold again."""
    missed = [0, *(day % 5 == 0 for day in range(RECENT)), *[True] * 12]
    closes = pd.Series(100 * 1.03 ** np.cumsum(missed), index=DAYS[: len(missed)])
    before = steps([0.02] * (len(missed) - 1))
    before[PRICES] = before[PRICES].mul(closes.to_numpy()[:-1] / 100, axis=0)
    told = [wrong_coverage(before, closes, day.date()) for day in DAYS[1 : len(missed) + 1]]
    assert [each for each in told if each] == pytest.approx([41 / 60])
    assert not any(told[:RECENT])
    assert told[-1] is None  # no forecast was due that day
