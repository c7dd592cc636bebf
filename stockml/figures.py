"""Which plots a night has, and what each is drawn from."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from stockml import plots, plots_changes, plots_night, plots_quality, plots_series
from stockml.assessment import Assessment
from stockml.evaluation import LSTM
from stockml.fitting import watched_origins
from stockml.forecaster import TrainedModel
from stockml.ledger import LedgerEntry
from stockml.night import Night
from stockml.normalise import FEATURES, PriceSeries, features

SMOOTHING = 0.1
SCALING = "Daily return of the mid price in units of trailing volatility; below, smoothed by EMA 0.1"


def draw(
    folder: Path,
    ticker: str,
    series: PriceSeries,
    assessment: Assessment,
    model: TrainedModel,
    published: Sequence[LedgerEntry],
) -> None:
    """Write the night's figures as PNG files into `folder`. published: the ledger before tonight, oldest first."""
    sessions, mid, evaluation = series.sessions, series.mid, assessment.evaluation
    scaled = features(series)[:, FEATURES.index("return")]
    smoothed = pd.Series(scaled).ewm(alpha=SMOOTHING).mean().to_numpy()
    at, paths = assessment.test_origins, assessment.paths[LSTM]
    drawn = {
        "forecast": plots_night.forecast_fan(ticker, assessment.forecast, sessions, mid),
        "leads": plots_night.skill_by_lead(ticker, evaluation),
        "ledger": plots_quality.ledger(ticker, [entry.forecast for entry in published], sessions, mid),
        "calibration": plots_quality.calibration(ticker, assessment.band_scores, evaluation.origins),
        "residuals": plots_quality.residuals(ticker, sessions, mid, at, paths),
        "averages": plots_series.averages(ticker, sessions, mid, evaluation),
        "history": plots_series.price_history(ticker, sessions, mid, model.parts),
        "normalised": plots_series.normalised(ticker, sessions, scaled, smoothed, SCALING),
    }
    if sum(row["network"] == "held_out" for row in model.history) > 1:  # one epoch is no curve
        drawn["training"] = plots_series.training_curves(ticker, model.history)
    by_epoch = [row["watched"] for row in model.history if row.get("watched")]
    if len(by_epoch) > 1:
        watched = watched_origins(model.parts, evaluation.horizon)
        drawn["evolution"] = plots_series.evolution(ticker, sessions, mid, watched, np.array(by_epoch))
    plots.save(drawn, folder)


def draw_changes(folder: Path, before: Night, tonight: Night, series: PriceSeries) -> None:
    """Add last night against tonight."""
    plots.save({"changes": plots_changes.nights(before, tonight, series.sessions, series.mid)}, folder)
