"""Nights on recorded prices, to log and draw: with a ticker's own network, or with a stand-in that
forecasts a path."""

import hashlib
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stockml.evaluation.assessment import Assessment, assess, write_assessment
from stockml.features.origins import split_origins
from stockml.models.regressions import RIDGE, baseline_paths
from stockml.models.trained_model import Decision, Provenance, TrainedModel, save
from stockml.models.tutorial_recipe import TutorialForecaster, TutorialScale, prepare
from stockml.nights.record import Night
from stockml.prices.calendar import sessions_for
from stockml.prices.series import PriceSeries
from stockml.settings import Settings
from stockml.storage.files import sha256_of
from stockml.tracking import run_content
from stockml.training.ticker_training import split_after_vintages
from stockml.training.train import training_part
from tests.support.models import trained_model
from tests.support.recordings import recorded

SETTINGS = Settings()
LIVE = {
    "live/matured": 12.0,
    "live/steps": 1825.0,
    "live/independent": 2.0,
    "live/skill": 0.021,
    "live/coverage_80": 0.78,
}


@dataclass(frozen=True)
class DriftPart:
    """A forecaster of a path, like the tutorial's; its path is `share` times the drift."""

    share: float

    forecasts_path, vintages, width_by, forecast = True, None, RIDGE, TutorialForecaster.forecast

    @property
    def learned_until(self) -> np.datetime64:
        return np.datetime64("2003-01-01")

    def paths(self, series: PriceSeries, origins: np.ndarray, horizon: int) -> np.ndarray:
        start = series.mid[origins][:, None]
        drift = baseline_paths(series.mid, origins, horizon)["drift"]
        return start + self.share * (drift - start)


@dataclass(frozen=True)
class StandIn:
    """A night's model whose two networks follow the same share of the drift."""

    held_out: DriftPart
    published: DriftPart

    @classmethod
    def of(cls, share: float) -> "StandIn":
        return cls(DriftPart(share), DriftPart(share))


@cache
def series_until(ticker: str, day: date) -> PriceSeries:
    return PriceSeries.from_bars(recorded(ticker).loc[: pd.Timestamp(day)])


@cache
def trained(ticker: str, day: date) -> TrainedModel:
    """The ticker's networks, as if a training had made them a little wider."""
    return trained_model(series_until(ticker, day), Settings())


def tutorial_model(series: PriceSeries, settings: Settings) -> TrainedModel:
    """A night's model of the tutorial, with random weights of one LSTM layer: no TensorFlow is
    needed to train it."""
    rng, [units] = np.random.default_rng(0), settings.network.units
    shapes = ((1, 4 * units), (units, 4 * units), 4 * units, (units, 1), 1)
    weights = tuple(rng.normal(0, 0.3, shape).astype(np.float32) for shape in shapes)

    def network(end: int) -> TutorialForecaster:
        scale = TutorialScale.of(prepare(series.mid, end), series.sessions)
        return TutorialForecaster(settings, weights, scale, series.sessions[end - 1])

    return TrainedModel(
        held_out=network(len(training_part(series, settings))),
        published=network(len(series)),
        settings=settings,
        decision=Decision("retrain", "asked for"),
        parts=split_origins(len(series), settings.evaluation),
        sessions=len(series),
        last_session=series.sessions[-1],
        retrained_at=series.sessions[-1],
        history=(),
    )


@cache
def assessed(ticker: str, day: date, share: float | None = None) -> Assessment:
    """Assess the ticker's network against the pretrained one as champion; with `share`, a stand-in
    against another."""
    upcoming = sessions_for(ticker).after(day, SETTINGS.evaluation.horizon)
    model: Any = StandIn.of(share) if share else trained(ticker, day)
    rival: Any = StandIn.of(0.4)
    if isinstance(model, TrainedModel):
        left = {
            name: replace(getattr(model, name), used=False) for name in ("held_out", "published")
        }
        rival = replace(model, **left)
    series, settings = series_until(ticker, day), SETTINGS.evaluation
    return assess(series, model, rival, settings, upcoming, split_after_vintages(series, settings))


def recorded_night(
    ticker: str = "IBM", day: date = date(2013, 2, 28), share: float | None = None, **changes: Any
) -> Night:
    """A completed night of `day`. share: use a stand-in that forecasts a path, with a history of
    epochs."""
    found, series = assessed(ticker, day, share), series_until(ticker, day)
    key = hashlib.sha256(f"{ticker} {day} {share}".encode()).hexdigest()
    night = Night(
        ticker=ticker,
        session=day,
        key=key,
        data_hash=hashlib.sha256(series.mid.tobytes()).hexdigest(),
        config_hash=SETTINGS.sha256(),
        code_hash=hashlib.sha256(b"code").hexdigest(),
        finished_at=datetime.combine(day, time(23, 31), UTC),
        settings=SETTINGS.flat(),
        mode="fine-tune",
        reason="1 new session",
        rows_added=1,
        sessions=len(series),
        evaluation=found.evaluation,
        metrics=run_content.metrics(found, LIVE, {}),
        history=history() if share else trained(ticker, day).history,
        verdict=found.verdict,
        forecast=found.forecast,
        distributions=found.distributions,
        outlook_scores=found.outlook_scores,
        publisher=found.publisher,
        model_sha256=hashlib.sha256(key.encode()).hexdigest(),
        git_commit="d82736010f4f7ab6f6a4f0e5d4b0f7d1f6f1a0b2",
        flow_run_url="http://127.0.0.1:4200/runs/flow-run/0f6f",
        seconds=41.5,
    )
    return replace(night, **changes)


def with_files(night: Night, folder: Path) -> Night:
    """Write the night's series, assessment and network to `folder`; return the night with their
    paths."""
    series_until(night.ticker, night.session).write(folder / "series.parquet")
    write_assessment(assessed(night.ticker, night.session), folder / "evaluation")
    save(trained(night.ticker, night.session), folder / "model")
    Provenance("", "", sha256_of(folder / "series.parquet") or "").write(folder / "model")
    return replace(
        night,
        dataset_path=str(folder / "series.parquet"),
        evaluation_folder=str(folder / "evaluation"),
        model_folder=str(folder / "model"),
    )


def history() -> tuple[dict[str, Any], ...]:
    """Five epochs of the held-out network, then five of the published one."""
    losses = ((0.31, 1e-3), (0.262, 1e-3), (0.248, 5e-4), (0.243, 5e-4), (0.241, 2.5e-4))
    rows = []
    for network, times in (("held_out", 1.0), ("published", 0.97)):
        for n, (loss, rate) in enumerate(losses, start=1):
            told = {"network": network, "epoch": n, "loss": loss * times, "learning_rate": rate}
            validation = loss * 1.04 + 0.002 * n if network == "held_out" else None
            rows.append({**told, "validation_loss": validation, "seconds": 1.1})
    return tuple(rows)
