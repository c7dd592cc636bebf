"""The forecast of a model that MLflow serves, after the last bar of its input."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException

from stockml.evaluation.candidates import quantiles_after, vintages_of
from stockml.features.origins import check_newest, starts
from stockml.forecasts.outlook import chance_above
from stockml.forecasts.proper_scores import COVERAGES, band, percent
from stockml.models.regressions import MEDIAN
from stockml.models.trained_model import TrainedModel, load_model
from stockml.prices.bars import COLUMNS, broken, exceeds_share, without_set_aside
from stockml.prices.calendar import A_DAY, Sessions, sessions_for
from stockml.prices.screening import doubtful, other_scale, sparse, suspicions
from stockml.prices.series import PriceSeries


@dataclass(frozen=True)
class Forecaster:
    """A night's model.  folder: where its vintages are.  calendar: that of the ticker's
    exchange."""

    folder: Path
    model: TrainedModel
    ticker: str
    calendar: str | None

    @classmethod
    def read(cls, folder: Path, ticker: str, calendar: str | None) -> Self:
        return cls(folder, load_model(folder), ticker, calendar)

    def predict(self, raw_bars: pd.DataFrame) -> pd.DataFrame:
        """One row per lead; columns and errors as in `ServedModel.predict`."""
        sessions = sessions_for(self.ticker, self.calendar)
        bars = valid_bars(raw_bars, sessions)
        series, horizon = PriceSeries.from_bars(bars), self.model.settings.evaluation.horizon
        check_newest(series)
        network, tomorrow = self.model.published, (series.sessions[-1] + A_DAY).item()
        newest, vintages = (
            np.array([len(series) - 1]),
            vintages_of(network, tomorrow, [self.folder]),
        )
        quantiles = quantiles_after(series, newest, horizon, vintages, network)[0]
        prices = series.close[-1] * np.exp(quantiles)
        days = sessions.after(bars.index[-1].date(), horizon)
        leads = range(1, horizon + 1)
        frame = pd.DataFrame(
            {"lead": leads, "session": pd.to_datetime(list(days)), "path": prices[:, MEDIAN]}
        )
        for coverage in COVERAGES:
            for side, values in zip(("low", "high"), band(prices, coverage), strict=True):
                frame[f"{side}_{percent(coverage)}"] = values
        return frame.assign(probability_of_rise=chance_above(quantiles, 0.0))


def valid_bars(raw_bars: pd.DataFrame, sessions: Sessions) -> pd.DataFrame:
    """The bars by session, oldest first, without a few that no night believes; a newest one is
    refused."""
    days = pd.to_datetime(
        raw_bars["session"].astype(str).str[:10], format="%Y-%m-%d", errors="coerce"
    )
    for found in raw_bars["session"][days.isna()]:
        expected = "expected each session as a date, or as text such as 2013-02-22"
        raise _refused(
            f"{expected}, found {found}; pandas writes such text with to_json(date_format='iso')"
        )
    try:
        bars = raw_bars.set_index(pd.DatetimeIndex(days))[list(COLUMNS)].astype(float).sort_index()
    except ValueError as error:
        raise _refused(
            f"expected prices and volumes as numbers, found {error}; write them without units"
        ) from error
    for day in bars.index[bars.index.duplicated()]:
        raise _refused(
            f"expected one bar a session, found another of {day.date()}; leave one of them out"
        )
    if gap := sparse(bars, sessions):
        raise _refused(f"expected daily bars, found {gap}; give those of every session")
    unbroken = without_set_aside(bars, wrong := broken(bars, sessions))
    invalid = sorted((*wrong, *doubtful(unbroken)), key=lambda bar: bar.session)
    if invalid and (
        exceeds_share(len(wrong), len(bars)) or invalid[-1].session == bars.index[-1].date()
    ):
        raise _refused(f"{invalid[-1]}; correct the bar or leave it out")
    believed = without_set_aside(bars, invalid)
    # those before may be in other units
    segment = believed.iloc[starts(PriceSeries.from_bars(believed))[-1] :]
    if step := other_scale(segment, unbroken):
        raise _refused(
            f"expected prices of one scale, found {step}; adjust for splits, or leave out all up "
            "to then"
        )
    # such as a split that was not applied, or a crash
    if doubts := suspicions(segment, len(unbroken) - len(believed)):
        warnings.warn(f"look at these prices: {doubts}", stacklevel=3)
    return believed


def _refused(why: str) -> MlflowException:
    refused: MlflowException = MlflowException.invalid_parameter_value(why)
    return refused
