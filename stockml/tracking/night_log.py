"""The log step: a night's record, its plots, and its run in MLflow; and the promotion that a killed
night lacked."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from stockml import clock
from stockml.code_version import checkout
from stockml.errors import TrackingUnavailable
from stockml.evaluation.assessment import read_assessment
from stockml.features.origins import starts
from stockml.forecasts.forecast import width_against_usual
from stockml.forecasts.ledger import Ledger
from stockml.forecasts.ledger_scores import restated_bars
from stockml.home import HomePaths
from stockml.models.registry import Registry
from stockml.models.trained_model import load_model
from stockml.nights.key_figures import keep_newest, newest
from stockml.nights.night_key import evaluation_code
from stockml.nights.promote import final_verdict, promote
from stockml.nights.record import Night, kept_night, night_path, put_aside
from stockml.plots import night as plots
from stockml.prices.series import PriceSeries
from stockml.prices.store import BarStore
from stockml.settings import Settings
from stockml.storage.files import sha256_of
from stockml.storage.receipts import (
    DatasetReceipt,
    EvaluationReceipt,
    ModelReceipt,
    RunReceipt,
    StoreReceipt,
)
from stockml.tracking import run_content
from stockml.tracking.client import Tracking


@dataclass(frozen=True)
class StepReceipts:
    """What a night's steps left, its settings and its key: all that is logged of it."""

    bars: StoreReceipt
    dataset: DatasetReceipt
    model: ModelReceipt
    evaluation: EvaluationReceipt
    settings: Settings
    key: str


def log_night(
    home: HomePaths,
    receipts: StepReceipts,
    *,
    now: datetime,
    seconds: float,
    flow_run_url: str | None,
    pages: str | None,
    missed: Callable[[TrackingUnavailable], None],
) -> RunReceipt:
    """Draw what no page will, keep the night's record, and log it once under its key; `missed` gets
    MLflow's error."""
    tracking = Tracking(home, pages)
    path = night_path(home.nights, receipts.dataset.ticker, receipts.key)
    night = kept_night(home.nights, receipts.dataset.ticker, receipts.key)
    if night is None:
        put_aside(path)
        night = _night(home, receipts, now=now, seconds=seconds, url=flow_run_url)
    keep_newest(home.nights, night)
    try:
        night = tracking.keep_and_log(night)
        _catch_up(home, tracking, night)
    except TrackingUnavailable as error:
        missed(error)
    sha256 = sha256_of(path) or ""
    return RunReceipt(
        night.ticker, str(path), sha256, receipts.key, night.mlflow_run_id, night.model_version
    )


def _catch_up(home: HomePaths, tracking: Tracking, night: Night) -> None:
    """Do what an unreachable MLflow or a killed process left undone for this ticker: waiting
    nights, the alias.

    A night to be promoted has its alias set by the promotion. Runs without a record are left to the
    weekly clean-up, which looks for those of all tickers.
    """
    tracking.log_pending(night.ticker)
    if not (night.verdict and night.verdict.promoted) and (
        champion := Registry(home.models).champion(night.ticker)
    ):
        tracking.follow_champion(night.ticker, champion.key)


def promote_pending(home: HomePaths, ticker: str) -> None:
    """Promote the newest night's model if its record says so and the night was killed before it
    could."""
    last = newest(home.nights, ticker)
    if not (last and last.promoted) or any(
        line.key == last.key for line in Registry(home.models).history(ticker)
    ):
        return
    night = kept_night(home.nights, ticker, last.key)
    if not (night and night.verdict and night.model_folder):
        return
    content = sha256_of(night.model_folder)
    if content is None or content != night.model_sha256:
        return
    model = ModelReceipt(
        ticker, night.model_folder, content, night.session, night.mode, night.reason
    )
    promote(home, model, night.key, night.model_version, night.verdict, at=clock.now())


def _night(
    home: HomePaths, receipts: StepReceipts, *, now: datetime, seconds: float, url: str | None
) -> Night:
    dataset, assessment = receipts.dataset, read_assessment(Path(receipts.evaluation.path))
    model = load_model(Path(receipts.model.path))
    series = PriceSeries.read(Path(dataset.path))
    fractions = {
        "width_against_usual": width_against_usual(assessment.forecast, series),
        "day_change": float(series.close[-1] / series.close[-2] - 1),
    }
    live, (commit, diff) = live_metrics(home, dataset.ticker, series, dataset.calendar), checkout()
    night = Night(
        ticker=dataset.ticker,
        session=dataset.session,
        key=receipts.key,
        data_hash=dataset.sha256,
        config_hash=receipts.settings.sha256(),
        code_hash=evaluation_code(),
        finished_at=now,
        settings=receipts.settings.flat(),
        mode=receipts.model.mode,
        reason=receipts.model.reason,
        rows_added=receipts.bars.added,
        rows_restated=receipts.bars.restated,
        sessions=dataset.sessions,
        evaluation=assessment.evaluation,
        metrics=run_content.metrics(assessment, live, fractions),
        history=tuple(
            {name: row[name] for name in row if name != "watched"} for row in model.history
        ),
        verdict=final_verdict(
            home, dataset.ticker, dataset.session, receipts.key, assessment.verdict
        ),
        forecast=assessment.forecast,
        distributions=assessment.distributions,
        outlook_scores=assessment.outlook_scores,
        publisher=assessment.publisher,
        champion_kept=assessment.kept,
        model_folder=receipts.model.path,
        model_sha256=receipts.model.sha256,
        evaluation_folder=receipts.evaluation.path,
        dataset_path=dataset.path,
        calendar=dataset.calendar,
        plots_folder=str(home.plots / dataset.ticker / receipts.key[:16]),
        flow_run_url=url,
        git_commit=commit,
        git_diff=diff,
        seconds=seconds,
        data_notes=dataset.notes + tutorial_notes(series, receipts.settings.profile),
    )
    figures = plots.makers(home, night, series, assessment, model)
    plots.draw(figures, figures, Path(night.plots_folder or ""))
    return replace(night, figures=tuple(sorted(figures)))


def live_metrics(
    home: HomePaths, ticker: str, series: PriceSeries, calendar: str | None
) -> dict[str, float]:
    """The ledger's live scores against the bars as known tonight and, where these differ, as first
    known."""
    store, ledger = BarStore.of(home, calendar), Ledger(home.ledger)
    first_known = PriceSeries.from_bars(store.first_known(ticker, until=series.sessions[-1].item()))
    sessions = store.sessions(ticker)
    units = store.restated_price_factors(ticker, until=series.sessions[-1].item())
    then, now = (ledger.live(ticker, bars, sessions, units) for bars in (first_known, series))
    if not restated_bars(ledger.counting(ticker, sessions), first_known, series):
        return now.metrics()
    return {**now.metrics(), **then.metrics("live/first_known_")}


def tutorial_notes(series: PriceSeries, profile: str) -> tuple[str, ...]:
    """The note that the tutorial profile adds on a divided series."""
    is_divided = profile == "tutorial" and len(starts(series)) > 1
    return (
        ("the tutorial's recipe knows no calendar: its network learns across every hole",)
        if is_divided
        else ()
    )
