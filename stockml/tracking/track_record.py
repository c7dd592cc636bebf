"""Track records: one run per ticker in the experiment `stockml`, one step per session, by its last
finished night."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from itertools import chain
from typing import TYPE_CHECKING

from stockml.nights.key_figures import KeyFigures
from stockml.redaction import escape_markdown
from stockml.tracking.connection import without_retries
from stockml.tracking.run_content import SOURCE, Point, metric_points
from stockml.tracking.runs import log_points, milliseconds
from stockml.tracking.views import NOTE

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


@dataclass(frozen=True)
class TrackRecord:
    """The run of a ticker's record. One process per ticker at a time."""

    client: "MlflowClient"
    experiment_id: str
    ticker: str

    def write(
        self, key_figures: KeyFigures, earlier: Callable[[], Iterable[KeyFigures]], page: str
    ) -> None:
        """Add the session's figures, of its last finished night, in place of other figures logged
        for it.

        earlier: gives the ticker's other sessions, needed unless this is the newest.  page: the
        link to its nights.
        """
        run = self._finished_run()
        if run and str(key_figures.session) > run.data.tags["session"]:
            log_points(self.client, run.info.run_id, points(key_figures), _tags(key_figures, page))
            return
        by_end = sorted([*earlier(), key_figures], key=lambda figures: figures.finished_at)
        nights = {figures.session: figures for figures in by_end}
        if run:
            self._insert(run, nights, key_figures.session, page)
        else:
            all_points = [point for figures in nights.values() for point in points(figures)]
            self._begin(nights, all_points, _tags(nights[max(nights)], page))

    def _finished_run(self) -> "Run | None":
        """The ticker's finished run; what a killed process left unfinished, or failed to delete,
        goes to the trash.

        So does one whose tag of the newest session a person deleted: it is made again from the
        nights' records.
        """
        runs = self.client.search_runs([self.experiment_id], f"tags.ticker = '{self.ticker}'")
        finished = [
            run for run in runs if run.info.status == "FINISHED" and "session" in run.data.tags
        ][:1]
        for run in runs:
            if run not in finished:
                self.client.delete_run(run.info.run_id)
        return next(iter(finished), None)

    def _begin(
        self, nights: Mapping[date, KeyFigures], measured: list[Point], tags: Mapping[str, str]
    ) -> None:
        """Begin a run, as of when the nights ended and not their sessions."""
        times = [milliseconds(figures.finished_at) for figures in nights.values()]
        with without_retries():
            run = self.client.create_run(self.experiment_id, min(times), dict(tags), self.ticker)
        log_points(self.client, run.info.run_id, measured)
        self.client.set_terminated(run.info.run_id, "FINISHED", end_time=max(times))

    def _insert(
        self, run: "Run", nights: Mapping[date, KeyFigures], session: date, page: str
    ) -> None:
        """Add an earlier session; if other figures are logged for it, which cannot be changed,
        begin a new run.

        That one gets every session's record at once.
        """
        run_id, newest = run.info.run_id, run.data.tags["session"]
        measurements = [
            point
            for name in run.data.metrics
            for point in self.client.get_metric_history(run_id, name)
        ]
        logged = [(point.key, point.value, point.timestamp, point.step) for point in measurements]
        expected = {
            step_of(day): points(key_figures)
            for day, key_figures in nights.items()
            if str(day) <= newest
        }
        of_session = [point for point in logged if point[3] == step_of(session)]
        if not of_session:
            log_points(self.client, run_id, expected[step_of(session)])
        elif sorted(of_session) != sorted(expected[step_of(session)]):
            others = [point for point in logged if point[3] not in expected]
            tags = _tags(nights[session], page) if str(session) == newest else run.data.tags
            self._begin(nights, [*others, *chain.from_iterable(expected.values())], tags)
            self.client.delete_run(run_id)


def points(key_figures: KeyFigures) -> list[Point]:
    """The session's figures; step: its date as a number; time: its noon in UTC, by which the page
    draws."""
    at, step = (
        milliseconds(datetime.combine(key_figures.session, time(12), UTC)),
        step_of(key_figures.session),
    )
    return metric_points(key_figures.metrics(), at, step)


def step_of(session: date) -> int:
    """20130301 for 2013-03-01."""
    return int(f"{session:%Y%m%d}")


def _tags(newest: KeyFigures, page: str) -> dict[str, str]:
    note = (
        f"{newest.ticker}'s track record: a step a session (its date as YYYYMMDD), in percent. "
        f"Newest: {newest.session}, {escape_markdown(newest.headline)}. [Every night]({page})"
    )
    values = {
        "ticker": newest.ticker,
        "session": str(newest.session),
        "verdict": {True: "promoted", False: "not promoted", None: ""}[newest.promoted],
        "published": newest.headline,
        **SOURCE,
        NOTE: note,
    }
    return {name: value for name, value in values.items() if value}
