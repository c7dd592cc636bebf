"""The model as MLflow serves it: bars in, the path with its intervals out.

MLflow runs this file as a script ("models from code", no pickle); nothing else imports it. The stockml modules that it
needs, as they were that night, lie zipped beside the weights and are imported once the zip is on the path.
"""

import sys
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext


class ServedModel(PythonModel):
    """Loads the night's network and bands once, then predicts after the last bar that it is given."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the model, by the code that was logged with it unless a stockml is imported already."""
        sys.path.insert(0, context.artifacts["code"])
        from stockml.forecasts.publishing import Calibration
        from stockml.models.trained_model import load_model
        from stockml.storage.records import read_record

        self.folder = Path(context.artifacts["model"])
        self.model = load_model(self.folder)
        self.calibration = read_record(Calibration, Path(context.artifacts["calibration"]).read_bytes())
        self.ticker, self.calendar = context.model_config["ticker"], context.model_config.get("calendar")

    def predict(self, context: PythonModelContext, model_input: pd.DataFrame, params: Any = None) -> pd.DataFrame:
        """One row per lead: lead, session, path, low and high of three bands, chance of a price above the last close.

        This is what a night would publish of this model, except where it does worse than the same forecast without a
        network: the night then publishes that instead.

        model_input: columns session, open, high, low, close, volume; split-adjusted; at least a month, better 1,000
        sessions for the long volatilities; for the tutorial's network, from the first bar that it learned from.
        Raises MlflowException for bars that no night would believe, TooFewBars.
        """
        import numpy as np

        from stockml.evaluation.candidates import forecast_after, pool_of
        from stockml.features.origins import check_newest
        from stockml.forecasts.outlook import chance_above
        from stockml.forecasts.proper_scores import COVERAGES, band, percent
        from stockml.models.lead_grid import MEDIAN
        from stockml.prices.calendar import A_DAY, sessions_for
        from stockml.prices.series import PriceSeries

        bars = believed(model_input)
        series, leads = PriceSeries.from_bars(bars), np.arange(1, len(self.calibration.shares) + 1)
        check_newest(series)
        network, tomorrow = self.model.published, (series.sessions[-1] + A_DAY).item()
        newest, pool = np.array([len(series) - 1]), pool_of(network, tomorrow, [self.folder])
        said = forecast_after(series, newest, pool.simple(series, newest, leads), network)
        quantiles = self.calibration.applied(said)[0]
        prices = series.close[-1] * np.exp(quantiles)
        days = sessions_for(self.ticker, self.calendar).after(bars.index[-1].date(), len(leads))
        found = pd.DataFrame({"lead": leads.tolist(), "session": pd.to_datetime(list(days)), "path": prices[:, MEDIAN]})
        for coverage in COVERAGES:
            for side, values in zip(("low", "high"), band(prices, coverage), strict=True):
                found[f"{side}_{percent(coverage)}"] = values
        return found.assign(probability_of_rise=[chance_above(row, 0.0) for row in quantiles])


def believed(given: pd.DataFrame) -> pd.DataFrame:
    """The bars by session, oldest first, without the few that are broken; a broken newest one is refused."""
    from stockml.prices.bars import COLUMNS, broken, too_many, without

    days = pd.to_datetime(given["session"].astype(str).str[:10], format="%Y-%m-%d", errors="coerce")
    for found in given["session"][days.isna()]:
        expected = "expected each session as a date, or as text such as 2013-02-22"
        raise _refused(f"{expected}, found {found}; pandas writes such text with to_json(date_format='iso')")
    bars = given.set_index(pd.DatetimeIndex(days))[list(COLUMNS)].sort_index()
    for day in bars.index[bars.index.duplicated()]:
        raise _refused(f"expected one bar a session, found another of {day.date()}; leave one of them out")
    wrong = broken(bars, None)
    if wrong and (too_many(len(wrong), len(bars)) or wrong[-1].session == bars.index[-1].date()):
        raise _refused(f"{wrong[-1]}; correct the bar or leave it out")
    return without(bars, wrong)


def _refused(why: str) -> MlflowException:
    refused: MlflowException = MlflowException.invalid_parameter_value(why)
    return refused


set_model(ServedModel())
