"""Replaying past nights under a policy; the library, and TensorFlow with it, is loaded where it works."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger

from stockml.home import home
from stockml.settings import Mode, Settings

if TYPE_CHECKING:
    from stockml.evaluation.backtest import PolicyScore


@task(name="replay", task_run_name="replay {ticker} {policy}", cache_policy=NO_CACHE)
def replay_policy(
    ticker: str, policy: Mode, settings: Settings, *, nights: int, every: int, calendar: str | None
) -> "PolicyScore":
    """Walk the newest nights of the stored series whose outcome is known, under one policy."""
    from stockml.evaluation.backtest import backtest, nights_of
    from stockml.prices.series import PriceSeries
    from stockml.prices.store import bar_store

    series = PriceSeries.from_bars(bar_store(home(), ticker, calendar).adjusted(ticker))
    logger = get_run_logger()
    with tempfile.TemporaryDirectory() as folder:
        return backtest(
            ticker,
            series,
            settings,
            policy,
            nights_of(series, settings, nights, every),
            folder=Path(folder),
            on_night=lambda night, model: logger.info("%s: %s", series.sessions[night], model.decision.reason),
        )
