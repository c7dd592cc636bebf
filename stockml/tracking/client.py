"""MLflow: one experiment per ticker, one flat run per night's key, one model version per trained
model.

`run_content` decides what a run holds; this module logs it, in such a way that a run killed
anywhere is resumed and logging a night twice adds nothing.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from filelock import FileLock
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random

from stockml.errors import TrackingUnavailable
from stockml.home import HomePaths
from stockml.models.registry import Registry
from stockml.nights import key_figures
from stockml.nights.record import Night, model_name, night_in, night_path, write_night
from stockml.tracking import connection, experiments, models, runs, views

if TYPE_CHECKING:
    from mlflow import MlflowClient

WAITING = "waiting"  # beside a night's record until MLflow has it


@dataclass(frozen=True)
class Tracking:
    """A home's MLflow, a database or a server.

    pages: where people read it, for the links in nights' records.  Every method raises
    TrackingUnavailable.
    """

    home: HomePaths
    pages: str | None = None
    retry_for_s: float = 60.0  # a server that is restarted is back by then

    def client(self) -> "AbstractContextManager[MlflowClient]":
        """MLflow's own client; whatever keeps it from answering within the block becomes
        TrackingUnavailable."""
        return connection.client(self.home)

    def prepare(self) -> None:
        """Create MLflow's tables and its overview page where they are missing."""
        with self.client() as client:
            self._overview(client)

    def check(self) -> None:
        """Raise what keeps MLflow from taking nights, also where the home was moved away from its
        files."""
        with self.client() as client:
            experiments.check_files(client, self.home.artifacts)

    def keep_and_log(self, night: Night) -> Night:
        """Write the night's record, log it, and return it as `log_night` does.

        Waits for a server that goes away meanwhile, but not for one away from the start. If that
        raises TrackingUnavailable, the next run's `log_pending` logs the record.
        """
        path = night_path(self.home.nights, night.ticker, night.key)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_name(WAITING).touch()  # first: if the process dies here, the record still waits
        write_night(night, path)
        with self.client():
            pass
        attempts = Retrying(
            retry=retry_if_exception_type(TrackingUnavailable),
            wait=wait_random(1, 2),
            stop=stop_after_delay(
                self.retry_for_s if connection.is_server(self.home.tracking_uri) else 0
            ),
            reraise=True,
        )
        logged = attempts(self.log_night, night)
        write_night(logged, path)
        path.with_name(WAITING).unlink(missing_ok=True)
        return logged

    def log_night(self, night: Night) -> Night:
        """Log the night in a new or resumed run, unless it is logged already; returns it with run,
        version and links.

        The version is None if no model of the night was ever registered.
        """
        with (
            self.client() as client,
            FileLock(self.home.locks / f"mlflow-{night.ticker}.lock", timeout=60),
        ):
            experiment_id = self._experiment(client, night.ticker)
            run = runs.find(client, experiment_id, night.key)
            if run is None or run.info.status != "FINISHED":
                run = runs.begin_or_resume(client, experiment_id, night, run)
                model_id = models.log(client, run, night)
                scored = model_id or models.id_of_key(client, experiment_id, self._maker(night))
                runs.fill(client, run, night, scored)
                if model_id:
                    models.register(client, run, night, model_id)
                client.set_terminated(
                    run.info.run_id, "FINISHED", end_time=runs.milliseconds(night.finished_at)
                )
            version = models.version_of_key(client, model_name(night.ticker), self._maker(night))
            earlier_nights = partial(key_figures.history, self.home.nights, night.ticker)
            record = runs.TrackRecord(client, self._overview(client), night.ticker)
            record.write(
                key_figures.KeyFigures.of(night), earlier_nights, views.view_url("", experiment_id)
            )
        return replace(
            night,
            mlflow_run_id=run.info.run_id,
            mlflow_run_url=run_url(self.pages, experiment_id, run.info.run_id)
            if self.pages
            else None,
            mlflow_nights_url=views.view_url(self.pages, experiment_id) if self.pages else None,
            model_version=str(version.version) if version else None,
        )

    @contextmanager
    def study(self, name: str, view: str, about: str) -> "Iterator[tuple[MlflowClient, str]]":
        """A client, and the id of the experiment `name`, arranged; `about` stands above it, unless
        a text does."""
        with self.client() as client:
            experiment = experiments.get_or_create(client, self.home.artifacts, name)
            text = (
                experiment.tags.get(views.NOTE)
                or f"{about} {views.links(experiment.experiment_id)}"
            )
            views.arrange(client, self.home.locks, experiment, view, lambda: text)
            yield client, str(experiment.experiment_id)

    def pending(self, ticker: str = "*") -> tuple[Night, ...]:
        """The kept nights (of one ticker) that MLflow lacks, oldest first; damaged ones are left
        out and wait on."""
        waiting = (
            night_in(mark.with_name("night.json"))
            for mark in self.home.nights.glob(f"{ticker}/*/{WAITING}")
        )
        return tuple(
            sorted((night for night in waiting if night), key=lambda night: night.finished_at)
        )

    def log_pending(self, ticker: str = "*") -> tuple[Night, ...]:
        """Log what an unreachable MLflow missed; returns those nights as they are now."""
        return tuple(self.keep_and_log(night) for night in self.pending(ticker))

    def show_overview(self, page: Callable[[Mapping[str, str]], str]) -> None:
        """Write what `page` makes of the links to the tickers' nights above all tickers."""
        with self.client() as client:
            overview, ids = self._overview(client), runs.experiment_ids(client)
            links = {name: views.view_url("", experiment_id) for name, experiment_id in ids.items()}
            client.set_experiment_tag(
                overview, views.NOTE, experiments.record_note(page(links), overview)
            )
            # first in MLflow's list, by last change
            client.rename_experiment(overview, views.EXPERIMENT)

    def resume(self) -> tuple[Night, ...]:
        """Log what an unreachable MLflow missed, of all tickers, and let their champions' aliases
        follow."""
        logged, registry = self.log_pending(), Registry(self.home.models)
        for ticker in sorted({night.ticker for night in logged}):
            if champion := registry.champion(ticker):
                self.follow_champion(ticker, champion.key)
        return logged

    def follow_champion(self, ticker: str, key: str, *, over_hand: bool = False) -> str | None:
        """Point the alias `champion` at the version of the night `key`; returns its number, None if
        there is none.

        An alias that a person moved stays, for the next night's `models.honour`.  over_hand:
        move it too.
        """
        with self.client() as client:
            return models.follow(client, ticker, key, over_hand=over_hand)

    def rename(self, old: str, new: str) -> list[str]:
        """Rename the experiment and the registered model of `old` to `new`; returns what moved, in
        words."""
        with self.client() as client:
            return experiments.rename(client, old, new)

    def _maker(self, night: Night) -> str:
        """The key of the night that made this night's model: for one that kept the champion, the
        champion's."""
        champion = (
            Registry(self.home.models).champion(night.ticker) if night.keeps_champion else None
        )
        return champion.key if champion else night.key

    def _experiment(self, client: "MlflowClient", ticker: str) -> str:
        """The id of the ticker's experiment, with its page arranged as this version does."""
        experiment = experiments.get_or_create(client, self.home.artifacts, ticker)
        note = partial(experiments.nights_note, ticker, experiment.experiment_id)
        view, locks = views.nights_view(), self.home.locks
        views.arrange(client, locks, experiment, view, lambda: note(self._overview(client)))
        return str(experiment.experiment_id)

    def _overview(self, client: "MlflowClient") -> str:
        experiment = experiments.get_or_create(client, self.home.artifacts, None)
        text = experiment.tags.get(views.NOTE) or experiments.record_note(
            "No night yet.", experiment.experiment_id
        )
        views.arrange(client, self.home.locks, experiment, views.record_view(), lambda: text)
        return str(experiment.experiment_id)


def run_url(address: str, experiment_id: str, run_id: str) -> str:
    """The run's page in the model-training layout."""
    page = f"#/experiments/{experiment_id}/runs/{run_id}?workflowType=machine_learning"
    return f"{address.rstrip('/')}/{page}"
