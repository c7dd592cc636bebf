"""A forecast says how many sessions old it is and, past a limit, that it has expired; a position is
the largest that keeps to the risk."""

from dataclasses import replace
from datetime import date, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stockml.errors import InvalidSetting, StockmlError, UnusableForecast
from stockml.forecasts.forecast import Age, Band, age_of, position, price_text, width_against_usual
from stockml.prices.bars import COLUMNS, PRICES
from stockml.prices.calendar import A_DAY, sessions_for
from stockml.prices.series import PriceSeries
from tests.support.forecasts import forecast
from tests.support.nights import recorded_night
from tests.support.walks import walk


def test_age_is_counted_in_sessions_whose_bar_is_final():
    for now, limit, sessions, expired in (
        ("2013-03-04T21:00Z", (), 0, False),  # Monday's bar is not final
        ("2013-03-05T04:00Z", (), 1, False),
        ("2013-03-09T12:00Z", (), 5, False),
        ("2013-03-12T12:00Z", (), 6, True),
        ("2013-03-09T12:00Z", (0,), 5, True),
    ):
        age = age_of(date(2013, 3, 1), sessions_for("IBM"), datetime.fromisoformat(now), *limit)
        assert (age.sessions, age.expired) == (sessions, expired)
        assert ("expired" in str(age)) == expired


def test_the_usual_width_ignores_bars_before_a_long_hole_and_moves_by_rounding_alone():
    wild, calm = walk(1_000, volatility=0.05), walk(600)
    calm = replace(calm, sessions=calm.sessions + 1_400 * A_DAY)
    both = {
        name: np.concatenate([getattr(wild, name), getattr(calm, name)])
        for name in ("sessions", *COLUMNS)
    }
    found = width_against_usual(forecast(100), PriceSeries(**both))
    assert found == width_against_usual(forecast(100), calm)
    prices = 91.4 + np.random.default_rng(1).normal(scale=1e-13, size=600)
    still = replace(calm, **dict.fromkeys(PRICES, prices))
    assert width_against_usual(forecast(100), still) is None


def test_a_price_is_written_with_the_digits_that_matter_and_can_be_read():
    prices = (754296.25, 9855.1, 1.0, 0.0289, 2e-5)
    assert [*map(price_text, prices)] == ["754,296", "9,855.10", "1.00", "0.02890", "0.00002000"]


DAY = date(2013, 2, 28)
FORECAST = recorded_night().forecast
FRESH = Age(DAY, 0, 5)


@given(st.floats(1, 1e9), st.floats(0.0001, 1), st.integers(1, 50))
def test_it_is_the_largest_that_keeps_to_the_risk_and_the_capital(capital, risk, lead):
    found = position("IBM", FORECAST, FRESH, capital=capital, risk=risk, lead=lead)
    over_risk = found.at_risk - capital * risk, found.close * found.loss  # and of one more share
    over_capital = found.cost - capital, found.close
    assert max(over_risk[0], over_capital[0]) <= 1e-9 * capital
    assert max(sum(over_risk), sum(over_capital)) > -1e-9 * capital


def test_the_loss_is_that_of_the_5_percent_quantile_and_the_session_that_of_the_lead():
    found = position("IBM", FORECAST, FRESH, capital=50_000, risk=0.01, lead=5)
    low, lowest = FORECAST.band(80).low[4], FORECAST.band(95).low[4]
    assert lowest < found.close * (1 - found.loss) < low
    assert found.loss == pytest.approx(1 - np.exp(FORECAST.quantiles()[4, 1]))
    assert (found.session, found.close) == (FORECAST.sessions[4], FORECAST.last_close)
    assert "Not advice" in found.text()
    assert f"{found.shares} shares at" in found.text()


@pytest.mark.parametrize(
    ("changes", "age", "says"),
    [
        ({"risk": 0}, FRESH, "risk to be a share of the capital above 0"),
        ({"risk": float("nan")}, FRESH, "risk"),
        ({"capital": 0}, FRESH, "capital to be an amount above 0"),
        ({"capital": float("inf")}, FRESH, "capital"),
        ({"lead": 51}, FRESH, "lead"),
        ({}, Age(DAY, 6, 5), "counts still, found expired"),
        ({}, Age(DAY, 1, 5), "whose session 1 is to come"),
    ],
)
def test_what_it_cannot_rest_on_is_refused(changes, age, says):
    with pytest.raises((InvalidSetting, UnusableForecast), match=says):
        position("IBM", FORECAST, age, **{"capital": 50_000, "risk": 0.01, **changes})


def test_a_forecast_of_mid_prices_gives_no_size_and_a_price_that_stands_still_takes_the_capital():
    with pytest.raises(StockmlError, match="of mid prices"):
        position("IBM", replace(FORECAST, price="mid"), FRESH, capital=50_000, risk=0.01)
    still = (FORECAST.now,) * 50
    bands = tuple(Band(each, still, still) for each in (50, 80, 95))
    standing = replace(FORECAST, path=still, bands=bands)
    assert position("IBM", standing, FRESH, capital=10 * FORECAST.now, risk=0.01).shares == 10
