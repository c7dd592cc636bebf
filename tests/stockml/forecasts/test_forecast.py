"""A forecast says how many sessions old it is and, past a limit, that it has expired; a position is
the largest that keeps to the risk."""

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stockml.errors import InvalidSetting, StockmlError, UnusableForecast
from stockml.forecasts.forecast import Age, age_of, position, price_text, width_against_usual
from stockml.prices.bars import COLUMNS, PRICES
from stockml.prices.calendar import sessions_for
from tests.support.forecasts import forecast
from tests.support.nights import recorded_night
from tests.support.walks import walk

FRIDAY = date(2013, 3, 1)


@pytest.mark.parametrize(
    ("now", "limit", "sessions", "expired"),
    [
        ("2013-03-04T21:00", (), 0, False),  # Monday's bar is not final
        ("2013-03-05T04:00", (), 1, False),
        ("2013-03-09T12:00", (), 5, False),
        ("2013-03-12T12:00", (), 6, True),
        ("2013-03-09T12:00", (0,), 5, True),
    ],
)
def test_age_is_counted_in_sessions_whose_bar_is_final(
    now: str, limit: tuple[int, ...], sessions: int, expired: bool
) -> None:
    at = datetime.fromisoformat(now).replace(tzinfo=UTC)
    age = age_of(FRIDAY, sessions_for("IBM"), at, *limit)
    assert (age.sessions, age.expired) == (sessions, expired)
    assert ("expired" in str(age)) == expired


def test_the_usual_width_ignores_bars_before_a_long_hole() -> None:
    wild, calm = walk(1_000, volatility=0.05), walk(600)
    calm = replace(
        calm, sessions=wild.sessions[-1] + np.arange(400, 1_000).astype("timedelta64[D]")
    )
    both = {
        name: np.concatenate([getattr(wild, name), getattr(calm, name)])
        for name in ("sessions", *COLUMNS)
    }
    assert width_against_usual(forecast(100), replace(wild, **both)) == width_against_usual(
        forecast(100), calm
    )


def test_a_price_that_moves_by_rounding_alone_has_no_usual_width() -> None:
    prices = 91.4 + np.random.default_rng(1).normal(scale=1e-13, size=600)
    assert (
        width_against_usual(forecast(100), replace(walk(600), **dict.fromkeys(PRICES, prices)))
        is None
    )


@pytest.mark.parametrize(
    ("price", "said"),
    [
        (754296.25, "754,296"),
        (9855.1, "9,855.10"),
        (1.0, "1.00"),
        (0.0289, "0.02890"),
        (2e-5, "0.00002000"),
    ],
)
def test_a_price_is_written_with_the_digits_that_matter_and_can_be_read(
    price: float, said: str
) -> None:
    assert price_text(price) == said


DAY = date(2013, 2, 28)
FORECAST = recorded_night().forecast
assert FORECAST
FRESH = Age(DAY, 0, 5)


@given(st.floats(1, 1e9), st.floats(0.0001, 1), st.integers(1, 50))
def test_it_is_the_largest_that_keeps_to_the_risk_and_the_capital(
    capital: float, risk: float, lead: int
) -> None:
    assert FORECAST
    found = position("IBM", FORECAST, FRESH, capital=capital, risk=risk, lead=lead)
    allowed, more = capital * risk, found.close * found.loss
    assert found.at_risk <= allowed * (1 + 1e-9)
    assert found.cost <= capital * (1 + 1e-9)
    assert found.at_risk + more > allowed * (1 - 1e-9) or found.cost + found.close > capital * (
        1 - 1e-9
    )


def test_the_loss_is_that_of_the_5_percent_quantile_and_the_session_that_of_the_lead() -> None:
    assert FORECAST
    found = position("IBM", FORECAST, FRESH, capital=50_000, risk=0.01, lead=5)
    low, lowest = FORECAST.band(80).low[4], FORECAST.band(95).low[4]
    assert lowest < found.close * (1 - found.loss) < low
    assert found.loss == pytest.approx(1 - np.exp(FORECAST.quantiles()[4, 1]))
    assert (found.session, found.close, found.lead) == (
        FORECAST.sessions[4],
        FORECAST.last_close,
        5,
    )
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
def test_what_it_cannot_rest_on_is_refused(changes: dict[str, Any], age: Age, says: str) -> None:
    assert FORECAST
    with pytest.raises((InvalidSetting, UnusableForecast), match=says):
        position("IBM", FORECAST, age, **{"capital": 50_000, "risk": 0.01, **changes})


def test_a_forecast_of_mid_prices_gives_no_size_and_a_price_that_stands_still_takes_the_capital() -> (
    None
):
    assert FORECAST
    with pytest.raises(StockmlError, match="of mid prices"):
        position("IBM", replace(FORECAST, price="mid"), FRESH, capital=50_000, risk=0.01)
    still = (FORECAST.now,) * 50
    bands = tuple(replace(band, low=still, high=still) for band in FORECAST.bands)
    standing = replace(FORECAST, path=still, bands=bands)
    assert position("IBM", standing, FRESH, capital=10 * FORECAST.now, risk=0.01).shares == 10
