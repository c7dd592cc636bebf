"""The model as MLflow serves it: bars in, the path with its intervals out.

MLflow runs this file as a script ("models from code", no pickle); nothing else imports it. The stockml package of its
night lies beside the weights, zipped, and what is needed of it is imported once that is on the path.
"""

import json
import sys
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext


class ServedModel(PythonModel):
    """Loads the night's network and bands once, then predicts after the last bar that it is given."""

    def load_context(self, context: PythonModelContext) -> None:
        sys.path.insert(0, context.artifacts["code"])
        from stockml.forecasts.shrinkage import ShrunkForecast
        from stockml.models.trained_model import load_model
        from stockml.storage.records import read_record

        assessment = json.loads((Path(context.artifacts["evaluation"]) / "assessment.json").read_text())
        self.model = load_model(Path(context.artifacts["model"]))
        self.combination = read_record(ShrunkForecast, json.dumps(assessment["model"]))
        self.ticker = context.model_config["ticker"]

    def predict(self, context: PythonModelContext, model_input: pd.DataFrame, params: Any = None) -> pd.DataFrame:
        """One row a lead: lead, session, path, low and high of three bands, and the chance of a price above the last.

        The path is the one that a night would publish of this model: drawn to the last close as its skill asks.
        Where the strongest simple distribution is better, the night publishes that instead.

        model_input: columns session, open, high, low, close, volume; split-adjusted, at least the network's look-back
        (60 sessions), better 300, so that the trailing figures are what they were in training.
        """
        from stockml.errors import TooFewBars
        from stockml.forecasts.conformal import COVERAGES, percent
        from stockml.forecasts.error_scaling import absolute_volatility
        from stockml.prices.bars import COLUMNS
        from stockml.prices.calendar import sessions_for
        from stockml.prices.series import PriceSeries

        bars = model_input.set_index(pd.DatetimeIndex(model_input["session"]))[list(COLUMNS)].sort_index()
        needed = self.model.settings.network.look_back
        if len(bars) < needed:
            raise TooFewBars(needed, len(bars), "a forecast")
        series = PriceSeries.from_bars(bars)
        now, last = float(absolute_volatility(series.mid)[-1]), series.close[-1]
        path = self.combination.path(last, self.model.published.paths(series, [len(series) - 1])[0])
        bands = self.combination.bands
        leads = range(1, len(path) + 1)
        days = sessions_for(self.ticker).after(bars.index[-1].date(), len(path))
        found = pd.DataFrame({"lead": list(leads), "session": pd.to_datetime(list(days)), "path": path})
        for coverage in COVERAGES:
            low, high = bands.quantiles(path, now, coverage)
            found[f"low_{percent(coverage)}"], found[f"high_{percent(coverage)}"] = low, high
        rises = [float(bands.probability_of_rise(path, now, last, lead)) for lead in leads]
        return found.assign(probability_of_rise=rises)


set_model(ServedModel())
