"""A forecast or champion past its age limit is named; one within it is not."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from stockml.forecasts.ledger import Ledger
from stockml.home import HomePaths
from stockml.models.registry import Promotion, Registry
from stockml.nights.status import too_old
from stockml.prices.calendar import sessions_for
from stockml.settings import AgeingSettings
from tests.support.forecasts import day, entry

NEW_YORK = sessions_for("IBM")


@pytest.mark.parametrize(
    ("sessions", "limits", "said"),
    [
        (5, AgeingSettings(), []),
        (1, AgeingSettings(old_forecast=0), ["the forecast has expired, 1 session old (limit 0)"]),
        (6, AgeingSettings(), ["the forecast has expired, 6 sessions old (limit 5)"]),
        (
            6,
            AgeingSettings(old_forecast=9, old_champion=5),
            ["the champion is 6 sessions old (limit 5)"],
        ),
        (6, AgeingSettings(old_forecast=9, old_champion=6), []),
    ],
)
def test_a_forecast_or_champion_past_its_age_limit_is_named(
    home: HomePaths, sessions: int, limits: AgeingSettings, said: list[str]
) -> None:
    made = entry(60)
    Ledger(home.ledger).publish(made)
    folder = str(Path(home.models) / "IBM" / "a")
    at = made.published_at
    line = Promotion("IBM", "promote", "a" * 64, folder, "b" * 64, None, day(60), "the first", at)
    Registry(home.models).promote(line)
    then = NEW_YORK.after(day(60), sessions)[-1]
    now = datetime(then.year, then.month, then.day, 12, tzinfo=UTC) + timedelta(days=1)
    assert too_old(home, "IBM", NEW_YORK, now, limits) == said
    Ledger(home.ledger).file("IBM").write_bytes(b"damaged")
    assert too_old(home, "IBM", NEW_YORK, now, limits) == [], "the night that reads it says so"


def test_a_ticker_without_a_forecast_or_champion_has_nothing_too_old(home: HomePaths) -> None:
    assert (
        too_old(home, "IBM", NEW_YORK, datetime(2026, 11, 24, tzinfo=UTC), AgeingSettings()) == []
    )
