"""A forecast says how many sessions old it is and, past a limit, that it has expired."""

from dataclasses import replace
from datetime import UTC, date, datetime

import numpy as np
import pytest

from stockml.forecasts.forecast import age_of, price_text, width_against_usual
from stockml.prices.bars import COLUMNS, PRICES
from stockml.prices.calendar import sessions_for
from tests.support.forecasts import forecast
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
