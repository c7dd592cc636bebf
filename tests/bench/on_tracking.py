"""The log step alone: plots, record, run and model version of nights that were really trained."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deployments.servers.environment import set_environment
from stockml.evaluation.assessment import read_assessment
from stockml.forecasts.ledger import Ledger, LedgerEntry
from stockml.home import HomePaths, current_home
from stockml.nights import promote
from stockml.nights.dataset import renormalise
from stockml.nights.evaluate import evaluate_night
from stockml.nights.night_key import night_key
from stockml.nights.record import read_night
from stockml.nights.train import decide_mode, train_night
from stockml.prices.bars import Bars
from stockml.prices.calendar import sessions_for
from stockml.prices.store import BarStore
from stockml.provider.client import AlphaVantage
from stockml.settings import Settings
from stockml.storage.receipts import RunReceipt
from stockml.tracking.night_log import StepReceipts, log_night
from tests.bench.material import TICKER
from tests.bench.measuring import Measured, Scene, timed
from tests.support.recordings import recorded

SETTINGS = Settings()


def log_nights(scene: Scene) -> Iterator[Measured]:
    """Run successive nights of one ticker by the flow's own steps; time only the log step."""
    place = current_home({"STOCKML_HOME": str(scene.folder / "tracking")})
    set_environment(place, os.environ)
    runs = scene.runs(6, 2)
    nights = Nights(place, recorded(TICKER), runs + 1)
    remark = "the first run makes the database and imports MLflow and Matplotlib"
    yield timed("log", nights.log, runs=runs, prepare=nights.made, remark=remark)


@dataclass
class Nights:
    """Nights over the last `count` sessions of the bars, each promoted and published before the
    next."""

    place: HomePaths
    bars: Bars
    count: int
    before: tuple[StepReceipts, RunReceipt] | None = None

    def made(self, run: int) -> StepReceipts:
        """Run night number `run` up to its log step."""
        if self.before:
            self._end(*self.before)
        stop = len(self.bars) - self.count + 1 + run
        session = self.bars.index[stop - 1].date()
        store = BarStore.of(self.place)
        known = self.bars.iloc[:stop]
        stored = store.append(
            TICKER, known, recorded_at=datetime.now(UTC), source=AlphaVantage.name, session=session
        )
        dataset = renormalise(self.place, stored, calendar=None)
        decision = decide_mode(self.place, dataset, SETTINGS)
        model = train_night(self.place, dataset, decision, SETTINGS)
        upcoming = sessions_for(TICKER).after(session, SETTINGS.evaluation.horizon)
        evaluation = evaluate_night(
            self.place, dataset, decision, model, SETTINGS.evaluation, upcoming=upcoming
        )
        return StepReceipts(
            stored, dataset, model, evaluation, SETTINGS, night_key(dataset, SETTINGS)
        )

    def log(self, done: StepReceipts) -> RunReceipt:
        now = datetime.now(UTC)
        missed: list[Exception] = []
        facts: dict[str, Any] = {"now": now, "seconds": 40.0, "flow_run_url": None, "pages": None}
        run = log_night(self.place, done, **facts, missed=missed.append)
        assert run.run_id, missed
        self.before = (done, run)
        return run

    def _end(self, done: StepReceipts, run: RunReceipt) -> None:
        """Do what the flow does after logging: promote and publish."""
        now, verdict = datetime.now(UTC), read_night(Path(run.path)).verdict
        assert verdict
        promote.promote(self.place, done.model, run.key, run.model_version, verdict, at=now)
        entry = LedgerEntry(
            done.evaluation.ticker,
            run.key,
            now,
            read_assessment(Path(done.evaluation.path)).forecast,
        )
        Ledger(self.place.ledger).publish(entry)
