"""Track records: one run per ticker in the experiment `stockml`, one step per session, by its last finished night."""

import colorsys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from itertools import chain
from typing import TYPE_CHECKING
from zlib import crc32

from stockml.nights.key_figures import KeyFigures
from stockml.redaction import escape_markdown
from stockml.tracking.connection import without_retries
from stockml.tracking.run_content import SOURCE, Point, metric_points
from stockml.tracking.runs import INSTALLATION, log_points, milliseconds
from stockml.tracking.views import NOTE

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


COLOUR = "mlflow.runColor"  # the tag by which MLflow's page remembers a colour that somebody chose
GOLDEN_ANGLE = 0.381966  # of a turn: the next hue is always far from those before
DISTINCT_COLOURS = 30


@dataclass(frozen=True)
class TrackRecord:
    """The run of a ticker's record; homes that log to one MLflow keep one each. One process per ticker at a time."""

    client: "MlflowClient"
    experiment_id: str
    ticker: str
    installation: str

    def keep(self, tonight: KeyFigures, earlier: Callable[[], Iterable[KeyFigures]], page: str) -> None:
        """Add the session as its last finished night had it, replacing other figures that are logged for it.

        earlier: the ticker's kept sessions, asked for unless tonight's is the newest.  page: the link to its nights.
        """
        run = self._whole()
        if run and str(tonight.session) > run.data.tags["session"]:
            log_points(self.client, run.info.run_id, points(tonight), self._coloured(run, _tags(tonight, page)))
            return
        finished = sorted([*earlier(), tonight], key=lambda each: each.finished_at)
        nights = {each.session: each for each in finished}
        if run:
            self._insert(run, nights, tonight.session, page)
        else:
            known = [point for each in nights.values() for point in points(each)]
            self._begin(known, _tags(nights[max(nights)], page))

    def _whole(self) -> "Run | None":
        """The ticker's finished run; what a killed process left unfinished, or failed to delete, goes to the trash.

        So does one whose newest session a person deleted among its tags: it is made anew from the kept nights.
        """
        mine = f"tags.ticker = '{self.ticker}' AND tags.`{INSTALLATION}` = '{self.installation}'"
        found = self.client.search_runs([self.experiment_id], mine)
        whole = [run for run in found if run.info.status == "FINISHED" and "session" in run.data.tags][:1]
        for run in found:
            if run not in whole:
                self.client.delete_run(run.info.run_id)
        return next(iter(whole), None)

    def _begin(self, known: list[Point], tags: Mapping[str, str]) -> None:
        times = [at for _, _, at, _ in known] or [milliseconds(datetime.fromisoformat(tags["session"] + "T12:00Z"))]
        own = {**self._coloured(None, tags), INSTALLATION: self.installation}
        with without_retries():
            run = self.client.create_run(self.experiment_id, min(times), own, self.ticker)
        log_points(self.client, run.info.run_id, known)
        self.client.set_terminated(run.info.run_id, "FINISHED", end_time=max(times))

    def _coloured(self, run: "Run | None", tags: Mapping[str, str]) -> dict[str, str]:
        """The tags, with a colour if neither they nor the run has one: MLflow's own, by run id, often look alike.

        It is far from those of earlier records, while an eye can tell so many apart; after that it is by the ticker.
        """
        if COLOUR in (run.data.tags if run else tags):
            return dict(tags)
        runs = self.client.search_runs([self.experiment_id], max_results=DISTINCT_COLOURS)
        count = sum(COLOUR in each.data.tags for each in runs)
        count = crc32(self.ticker.encode()) if count == DISTINCT_COLOURS else count
        light, saturation = 0.36 + 0.08 * (count % 3), 0.65
        rgb = colorsys.hls_to_rgb(count * GOLDEN_ANGLE % 1, light, saturation)
        return {COLOUR: "#" + "".join(f"{round(255 * part):02x}" for part in rgb), **tags}

    def _insert(self, run: "Run", nights: Mapping[date, KeyFigures], session: date, page: str) -> None:
        """Add an earlier session; if other figures are logged for it, which cannot be changed, a new run takes over.

        That one has every session as its kept night has it, so that a rebuild begins one and not one a session.
        """
        run_id, newest = run.info.run_id, run.data.tags["session"]
        known = [point for name in run.data.metrics for point in self.client.get_metric_history(run_id, name)]
        stands = [(point.key, point.value, point.timestamp, point.step) for point in known]
        new = {step_of(each): points(key_figures) for each, key_figures in nights.items() if str(each) <= newest}
        here = [point for point in stands if point[3] == step_of(session)]
        if not here:
            log_points(self.client, run_id, new[step_of(session)])
        elif sorted(here) != sorted(new[step_of(session)]):
            others = [point for point in stands if point[3] not in new]
            colour = {COLOUR: run.data.tags[COLOUR]} if COLOUR in run.data.tags else {}
            tags = _tags(nights[session], page) if str(session) == newest else run.data.tags
            self._begin([*others, *chain.from_iterable(new.values())], {**colour, **tags})
            self.client.delete_run(run_id)


def points(key_figures: KeyFigures) -> list[Point]:
    """The session's figures; step: its date as a number; time: its noon in UTC, by which the page draws."""
    at, step = milliseconds(datetime.combine(key_figures.session, time(12), UTC)), step_of(key_figures.session)
    return metric_points(key_figures.metrics(), at, step)


def step_of(session: date) -> int:
    """20130301 for 2013-03-01."""
    return int(f"{session:%Y%m%d}")


def _tags(newest: KeyFigures, page: str) -> dict[str, str]:
    verdict = {True: "promoted", False: "not promoted", None: ""}[newest.promoted]
    note = (
        f"{newest.ticker}'s track record: a step a session (its date as YYYYMMDD), in percent. "
        f"Newest: {newest.session}, {escape_markdown(newest.headline)}. [Every night]({page})"
    )
    found = {
        "ticker": newest.ticker,
        "session": str(newest.session),
        "verdict": verdict,
        "published": newest.headline.removeprefix("published: "),
        **SOURCE,
        NOTE: note,
    }
    return {name: value for name, value in found.items() if value}
