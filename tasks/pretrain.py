"""Learning a base network; the library, and TensorFlow with it, is loaded where it works."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger

from stockml.errors import TrackingUnavailable
from stockml.home import home
from stockml.tracking.client import Tracking
from tasks.artifacts import ProgressBar

if TYPE_CHECKING:
    from stockml.models.base_network import BaseNetwork
    from stockml.prices.series import PriceSeries
    from stockml.training.pretrain import PretrainProgress


@task(name="pretrain", cache_policy=NO_CACHE)
def learn_base(series: "Mapping[str, PriceSeries]", until: date, seeds: int) -> "BaseNetwork":
    """Learn, keep and log one vintage; an interrupted one goes on from its last epoch."""
    from stockml.pipeline.pretrain import pretrain_base

    report = PretrainReport()
    base, path = pretrain_base(home(), series, until, seeds=seeds, on_epoch=report.on_epoch)
    try:
        version = Tracking.of(home()).log_base(base, path, report.losses, now=datetime.now(UTC))
        report.logger.info("lstm-base version %s: %s", version, path)
    except TrackingUnavailable as error:
        report.logger.warning("%s; the base is kept in %s, and used all the same", error, path)
    return base


class PretrainReport:
    """A progress bar on the run's page, and a log line an epoch with the time left."""

    def __init__(self) -> None:
        self.bar = ProgressBar("pretraining", "the base network")
        self.spent = 0.0
        self.losses: list[tuple[str, float]] = []
        self.logger = get_run_logger()

    def on_epoch(self, row: "PretrainProgress") -> None:
        self.losses.append((row.member, row.loss))
        self.spent += row.seconds
        told = f"{row.member}: epoch {row.epoch} of {row.epochs}, loss {row.loss:.5f}"
        self.logger.info("%s (%.0f s, about %.0f s left)", told, row.seconds, row.seconds_left)
        self.bar.move(100 * self.spent / max(self.spent + row.seconds_left, 1e-9))
