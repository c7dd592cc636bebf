"""Replaying past nights under a policy; the library, and TensorFlow with it, is loaded where it works."""

import tempfile
import time
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger

from stockml.home import home
from stockml.settings import Mode, Settings
from tasks.tables import time_left

if TYPE_CHECKING:
    from stockml.evaluation.backtest import PolicyScore
    from stockml.models.trained_model import TrainedModel


@task(name="replay", task_run_name="replay {ticker} {policy}", cache_policy=NO_CACHE)
def replay_policy(
    ticker: str, policy: Mode, settings: Settings, *, nights: int, every: int, calendar: str | None
) -> "PolicyScore":
    """Walk the newest nights of the stored series whose outcome is known, under one policy."""
    from stockml.evaluation.backtest import backtest, nights_of
    from stockml.prices.series import PriceSeries
    from stockml.prices.store import bar_store

    series = PriceSeries.from_bars(bar_store(home(), ticker, calendar).adjusted(ticker))
    logger, walked = get_run_logger(), nights_of(series, settings, nights, every)
    done, began = count(1), time.monotonic()

    def on_night(night: int, model: "TrainedModel") -> None:
        left = time_left(at := next(done), len(walked), time.monotonic() - began)
        logger.info("%s, %s: %d of %d, %s", policy, series.sessions[night], at, len(walked), left)

    with tempfile.TemporaryDirectory() as folder:
        return backtest(
            ticker,
            series,
            settings,
            policy,
            walked,
            folder=Path(folder),
            on_night=on_night,
        )
