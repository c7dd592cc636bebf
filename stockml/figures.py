"""Which plots a night has, and what each is drawn from."""

from pathlib import Path
from typing import Any

import pandas as pd

from stockml import plots, plots_night
from stockml.assessment import Assessment
from stockml.normalise import PriceSeries


def draw(
    folder: Path, ticker: str, series: PriceSeries, assessment: Assessment, model: Any, scored: pd.DataFrame
) -> None:
    """Write the night's figures as PNG files into `folder`. scored: the ledger's steps that came due."""
    drawn = {
        "forecast": plots_night.forecast_fan(ticker, assessment.forecast, series.sessions, series.mid),
        "leads": plots_night.skill_by_lead(ticker, assessment.evaluation),
    }
    plots.save(drawn, folder)
