"""Which plots a night has, and what each is drawn from."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from stockml.evaluation.assessment import Assessment
from stockml.evaluation.evaluate import PUBLISHED
from stockml.features.windows import watched_origins
from stockml.forecasts.ledger import LedgerEntry
from stockml.models.trained_model import TrainedModel
from stockml.plots import diagnostics, forecast, training, tutorial
from stockml.prices.series import PriceSeries

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def figures(
    ticker: str,
    series: PriceSeries,
    assessment: Assessment,
    model: TrainedModel,
    published: Sequence[LedgerEntry],
) -> "dict[str, Callable[[], Figure]]":
    """What makes each figure that the night has. published: the ledger before tonight, oldest first."""
    sessions, mid, evaluation = series.sessions, series.mid, assessment.evaluation
    tonight = next((each for each in assessment.forecast.outlook if each.sessions == 20), None)
    at, paths = assessment.test_origins, assessment.paths[PUBLISHED]
    made: dict[str, Callable[[], Figure]] = {
        "forecast": lambda: forecast.forecast_fan(ticker, assessment.forecast, sessions, mid),
        "volatility": lambda: diagnostics.volatility(ticker, series, assessment.unseen, assessment.volatility, tonight),
        "leads": lambda: forecast.skill_by_lead(ticker, evaluation),
        "calibration": lambda: diagnostics.calibration(ticker, assessment.band_scores, evaluation.origins),
        "residuals": lambda: diagnostics.residuals(ticker, sessions, mid, series.close, at, paths),
        "averages": lambda: training.averages(ticker, sessions, mid, evaluation),
        "history": lambda: training.price_history(ticker, sessions, mid, model.parts),
        "normalised": lambda: _normalised(ticker, series, model),
    }
    if any(np.datetime64(entry.forecast.sessions[0]) <= sessions[-1] for entry in published):
        made["ledger"] = lambda: diagnostics.ledger(ticker, [entry.forecast for entry in published], sessions, mid)
    if sum(row["network"] == "held_out" for row in model.history) > 1:  # one epoch is no curve
        steps = model.settings.network.look_back  # its loss is their sum
        rows = [{**row, "loss": row["loss"] / steps} for row in model.history]
        made["training"] = lambda: training.training_curves(ticker, rows)
    by_epoch = [row["watched"] for row in model.history if row.get("watched")]
    if len(by_epoch) > 1:
        watched = watched_origins(model.parts, evaluation.horizon)
        made["evolution"] = lambda: training.evolution(ticker, sessions, mid, watched, np.array(by_epoch))
    return made


def _normalised(ticker: str, series: PriceSeries, model: TrainedModel) -> "Figure":
    """The series as it is scaled: daily moves by their volatility, or by the `tutorial` profile its windows."""
    if model.settings.profile == "tutorial":
        learned: Any = model.held_out
        end = int(np.searchsorted(series.sessions, learned.learned_until, side="right"))
        return tutorial.normalised_series(ticker, series.sessions, series.mid, learned.scale.prepared(series, end))
    return training.normalised(ticker, series)
