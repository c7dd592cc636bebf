"""MLflow: one experiment per ticker, one flat run per night's key, one model version per trained model.

`run_content` decides what a run holds; this module logs it, in such a way that a run killed anywhere is resumed and
logging a night twice adds nothing.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from filelock import FileLock
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed, wait_random

from stockml.errors import TrackingUnavailable
from stockml.home import HomePaths
from stockml.models.registry import Registry
from stockml.nights import key_figures
from stockml.nights.record import Night, kept_night, model_name, night_in, night_path, write_night
from stockml.tracking import connection, experiments, models, retention, runs, track_record, views
from stockml.tracking.experiments import experiment_name

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

WAITING = "waiting"  # beside a night's record until MLflow has it
RETURN_S = 60.0  # a server that is restarted is back by then


@dataclass(frozen=True)
class Tracking:
    """A home's MLflow, a database or a server.

    pages: where people read it, for the links in nights' records.  Every method raises TrackingUnavailable.
    """

    home: HomePaths
    pages: str | None = None
    retry_for_s: float = RETURN_S

    def client(self) -> "AbstractContextManager[MlflowClient]":
        """MLflow's own client; whatever keeps it from answering within the block becomes TrackingUnavailable."""
        return connection.client(self.home)

    def prepare(self) -> None:
        """Create MLflow's tables and its overview page where they are missing."""
        with self.client() as client:
            self._overview(client)

    def keep_and_log(self, night: Night) -> Night:
        """Write the night's record, log it, and return it as `log_night` does.

        Waits at most `retry_for_s` seconds for a server that goes away meanwhile. If that raises TrackingUnavailable,
        the next run's `log_pending` logs the record.
        """
        path = night_path(self.home.nights, night.ticker, night.key)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_name(WAITING).touch()  # first: if the process dies here, the record still waits
        write_night(night, path)
        logged = self._log_patiently(night)
        write_night(logged, path)
        path.with_name(WAITING).unlink(missing_ok=True)
        return logged

    def log_night(self, night: Night, experiment_id: str | None = None, *, is_champion: bool = False) -> Night:
        """Log the night in a new or resumed run, unless it is logged already; returns it with run, version and links.

        experiment_id: if known.  is_champion: log its model even if that was cleared away.
        The version is None if no model of the night was ever registered.
        """
        with self.client() as client, FileLock(self.home.locks / f"mlflow-{night.ticker}.lock", timeout=60):
            experiment_id = experiment_id or self._experiment(client, night.ticker)
            installation = self.installation
            run = runs.find_deduplicated(client, experiment_id, night.key, installation)
            if run and run.info.status == "FINISHED":
                version = models.version_of(client, night)
                is_lost = version is None or not models.has_model(client, model_name(night.ticker), version)
                if is_lost and (is_champion or retention.CLEARED not in run.data.tags):  # a person deleted it
                    version = models.log(client, run, night, is_new=False)
            else:
                is_new = run is None
                run = runs.start_or_resume(client, experiment_id, night, run, installation)
                if run is None:
                    address = connection.without_password(self.home.tracking_uri)
                    raise TrackingUnavailable(address, "another home logs this very night")
                runs.fill(client, run, night)
                version = models.log(client, run, night, is_new=is_new)
                client.set_terminated(run.info.run_id, "FINISHED", end_time=runs.milliseconds(night.finished_at))
            earlier_nights = partial(key_figures.history, self.home.nights, night.ticker)
            record = track_record.TrackRecord(client, self._overview(client), night.ticker, installation)
            record.write(key_figures.KeyFigures.of(night), earlier_nights, views.view_url("", experiment_id))
        return replace(
            night,
            mlflow_run_id=run.info.run_id,
            mlflow_run_url=run_url(self.pages, experiment_id, run.info.run_id) if self.pages else None,
            mlflow_nights_url=views.view_url(self.pages, experiment_id) if self.pages else None,
            model_version=version,
        )

    def log_plots(self, night: Night) -> None:
        """Add the plots drawn since to the night's run, if MLflow has it."""
        with self.client() as client:
            experiment = client.get_experiment_by_name(experiment_name(night.ticker))
            run = experiment and runs.find_deduplicated(client, experiment.experiment_id, night.key, self.installation)
            if run:
                runs.log_plots(client, run, night)

    def _log_patiently(self, night: Night) -> Night:
        """Log the night, waiting for a server that goes away meanwhile, but not for one away from the start."""
        if urlsplit(self.home.tracking_uri).scheme not in {"http", "https"}:
            return self.log_night(night)
        with self.client() as client:
            experiment_id = self._experiment(client, night.ticker)
        attempts = Retrying(
            retry=retry_if_exception_type(TrackingUnavailable),
            wait=wait_fixed(1) + wait_random(0, 1),  # random: two homes that gave way do not meet again
            stop=stop_after_delay(self.retry_for_s),
            reraise=True,
        )
        return attempts(self.log_night, night, experiment_id)

    @contextmanager
    def study(self, name: str, view: str, note: Callable[[str], str]) -> "Iterator[tuple[MlflowClient, str]]":
        """A client, and the id of the experiment `name`, arranged; `note` makes the text above it of that id, unless a
        person wrote another."""
        with self.client() as client:
            experiment = experiments.get_or_create(client, self.home.artifacts, name)
            written = experiment.tags.get(views.NOTE, views.GLOSSARY)
            text = note(experiment.experiment_id) if views.GLOSSARY in written else written
            experiments.arrange(client, self.home.locks, experiment, view, lambda: text)
            yield client, str(experiment.experiment_id)

    def sweep_orphans(self, *, now: datetime) -> dict[str, str]:
        """End the runs that dead processes left RUNNING; run id → "resumed" if its record is here, else "failed"."""
        with self.client() as client:
            return {run.info.run_id: self._end(client, run) for run in runs.orphans(client, now)}

    def pending(self, ticker: str = "*") -> tuple[Night, ...]:
        """The kept nights (of one ticker) that MLflow lacks, oldest first; damaged ones are left out and wait on."""
        waiting = (night_in(mark.with_name("night.json")) for mark in self.home.nights.glob(f"{ticker}/*/{WAITING}"))
        return tuple(sorted((night for night in waiting if night), key=lambda night: night.finished_at))

    def log_pending(self, ticker: str = "*") -> tuple[Night, ...]:
        """Log what an unreachable MLflow missed; returns those nights as they are now."""
        return tuple(self.keep_and_log(night) for night in self.pending(ticker))

    def show_overview(self, page: Callable[[Mapping[str, str]], str]) -> None:
        """Write what `page` makes of the links to the tickers' nights above all tickers."""
        with self.client() as client:
            overview, ids = self._overview(client), runs.experiment_ids(client)
            links = {name: views.view_url("", experiment_id) for name, experiment_id in ids.items()}
            client.set_experiment_tag(overview, views.NOTE, views.record_note(page(links), overview))
            client.rename_experiment(overview, views.EXPERIMENT)  # first in MLflow's list, by last change

    def rebuild(self) -> tuple[Night, ...]:
        """Log every readable night record; only the run, if the model was cleared away."""
        for path in self.home.nights.glob("*/*/night.json"):
            if night_in(path):
                path.with_name(WAITING).touch()
        return self.resume()

    def resume(self) -> tuple[Night, ...]:
        """Log what an unreachable MLflow missed, of all tickers, and let their champions' aliases follow."""
        logged, registry = self.log_pending(), Registry(self.home.models)
        for ticker in sorted({night.ticker for night in logged}):
            if champion := registry.champion(ticker):
                self.follow_champion(ticker, champion.key)
        return logged

    def follow_champion(self, ticker: str, key: str) -> str | None:
        """Point the alias `champion` at the version of the night `key`; returns its number, None if there is none."""
        with self.client() as client:
            name = model_name(ticker)
            champion = models.version_by_alias(client, name, "champion")
            if champion and champion.tags.get("stockml.key") == key:
                return str(champion.version)
            version = models.version_of_key(client, name, key)
            if version is None and (night := kept_night(self.home.nights, ticker, key)):  # deleted, or cleared away
                version = self.log_night(night, is_champion=True).model_version
            if version:
                models.set_alias(client, name, "champion", version)
            return version

    def rename(self, old: str, new: str) -> list[str]:
        """Rename the experiment and the registered model of `old` to `new`; returns what moved, in words."""
        with self.client() as client:
            return experiments.rename(client, old, new)

    def is_own(self, run: "Run") -> bool:
        """Whether the run is not another home's that logs to the same MLflow and clears up its own runs."""
        tags = run.data.tags
        if runs.INSTALLATION not in tags or tags[runs.INSTALLATION] == self.installation:
            return True
        ticker, key = (tags.get(name, "") for name in ("stockml.ticker", "stockml.key"))  # a person may delete tags
        return night_path(self.home.nights, ticker, key).exists()  # a restored home's

    @property
    def installation(self) -> str:
        return runs.installation(self.home)

    def _end(self, client: "MlflowClient", run: "Run") -> str:
        tags = run.data.tags
        if night := kept_night(self.home.nights, tags["stockml.ticker"], tags["stockml.key"]):
            self.keep_and_log(night)
            return "resumed"
        client.set_tag(run.info.run_id, "stockml.swept", "its process is gone, and so is the night's record")
        client.set_terminated(run.info.run_id, "FAILED")
        return "failed"

    def _experiment(self, client: "MlflowClient", ticker: str) -> str:
        """The id of the ticker's experiment, with its page arranged as this version does."""
        experiment = experiments.get_or_create(client, self.home.artifacts, ticker)
        note = partial(views.nights_note, ticker, experiment.experiment_id)
        view, locks = views.nights_view(), self.home.locks
        experiments.arrange(client, locks, experiment, view, lambda: note(self._overview(client)))
        return str(experiment.experiment_id)

    def _overview(self, client: "MlflowClient") -> str:
        experiment = experiments.get_or_create(client, self.home.artifacts, None)
        page_text, empty = experiment.tags.get(views.NOTE), views.record_note("No night yet.", experiment.experiment_id)
        experiments.arrange(client, self.home.locks, experiment, views.record_view(), lambda: page_text or empty)
        return str(experiment.experiment_id)


def run_url(address: str, experiment_id: str, run_id: str) -> str:
    """The run's page in the model-training layout."""
    return f"{address.rstrip('/')}/#/experiments/{experiment_id}/runs/{run_id}?workflowType=machine_learning"
