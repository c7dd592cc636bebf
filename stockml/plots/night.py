"""A night's figures, all drawn with it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stockml.evaluation.assessment import VOLATILITY_SESSIONS, Assessment
from stockml.evaluation.path_scores import PUBLISHED
from stockml.features.origins import every_nth
from stockml.features.segments import to_newest_units
from stockml.forecasts.forecast import Forecast, Price
from stockml.forecasts.ledger import Ledger, entries_of
from stockml.home import HomePaths
from stockml.models.trained_model import TrainedModel
from stockml.nights.key_figures import newest
from stockml.nights.record import Night, kept_night, kept_nights
from stockml.plots import comparison, diagnostics, forecast, style, training, tutorial
from stockml.prices.series import PriceSeries
from stockml.prices.store import BarStore
from stockml.storage.arrays import Floats

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Makers = Mapping[str, "Callable[[], Figure]"]


def makers(
    home: HomePaths, night: Night, series: PriceSeries, assessment: Assessment, model: TrainedModel
) -> Makers:
    """The function that makes each figure of the night, including the change since the night
    before."""
    ledger, store = Ledger(home.ledger), BarStore.of(home, night.calendar)
    calendar, units = (
        store.sessions(night.ticker),
        store.restated_price_factors(night.ticker, until=night.session),
    )
    sessions, units_now = series.sessions, to_newest_units(series)
    prices: dict[Price, Floats] = {"close": units_now * series.close, "mid": units_now * series.mid}
    live, by_name = (
        ledger.live(night.ticker, series, calendar, units),
        figures(night.ticker, series, assessment, model),
    )

    def published() -> list[Forecast]:
        counting = ledger.counting(night.ticker, calendar)
        return [
            entry.forecast
            for entry in entries_of(night.ticker, counting[counting["timing"] == "live"])
        ]

    if live.steps:
        # as in the night's text
        coverage = night.metrics.get("live/first_known_coverage_80", live.coverage_80)
        live = replace(live, coverage_80=coverage)
        by_name["ledger"] = lambda: diagnostics.ledger(
            night.ticker, published(), live, sessions, prices
        )
    if previous := _before(home, night):
        by_name["changes"] = lambda: comparison.nights(previous, night, sessions, prices)
    return by_name


def figures(
    ticker: str, series: PriceSeries, assessment: Assessment, model: TrainedModel
) -> "dict[str, Callable[[], Figure]]":
    """What draws each plot that the night has, by name; nothing is drawn yet."""
    price, sessions, evaluation = assessment.forecast.price, series.sessions, assessment.evaluation
    forecast_of = getattr(series, price)
    prices = to_newest_units(series) * forecast_of
    span = min(VOLATILITY_SESSIONS, evaluation.horizon)
    outlook = next((one for one in assessment.forecast.outlook if one.sessions == span), None)
    unseen, expected = assessment.unseen, assessment.volatility
    origins, paths = assessment.test_origins, assessment.paths[PUBLISHED]
    by_name: dict[str, Callable[[], Figure]] = {
        "forecast": lambda: forecast.forecast_fan(
            ticker, assessment.forecast, sessions, prices, stands_still=evaluation.stands_still
        ),
        "volatility": lambda: diagnostics.volatility(
            ticker, series, unseen, expected, outlook, span
        ),
        "leads": lambda: forecast.skill_by_lead(ticker, evaluation),
        "calibration": lambda: diagnostics.calibration(
            ticker, assessment.band_scores, evaluation.origins
        ),
        "residuals": lambda: diagnostics.residuals(
            ticker, sessions, forecast_of, series.close, origins, paths
        ),
        "averages": lambda: training.averages(ticker, sessions, prices, price, evaluation),
        "history": lambda: training.price_history(ticker, series, model.parts),
        "normalised": lambda: _normalised(ticker, series, model),
    }
    if model.history and model.settings.profile == "nightly":
        by_name["training"] = lambda: training.loss_curve(ticker, model.history, gain_of(model))
    elif sum(row["network"] == "held_out" for row in model.history) > 1:  # one epoch is no curve
        steps = model.settings.network.look_back  # its loss is their sum
        rows = [{**row, "loss": row["loss"] / steps} for row in model.history]
        by_name["training"] = lambda: training.training_curves(ticker, rows)
    by_epoch = [row["watched"] for row in model.history if row.get("watched")]
    if len(by_epoch) > 1:
        watched = every_nth(model.parts.test, evaluation.horizon)
        by_name["evolution"] = lambda: training.evolution(
            ticker, sessions, series.mid, watched, np.array(by_epoch)
        )
    return by_name


def gain_of(model: TrainedModel) -> str:
    """What the training gained on the validation part, in words."""
    gain = model.evidence.skill if model.evidence else 0.0
    return f"tonight's training gained {gain:+z.3%} of CRPS on the validation part"


def _normalised(ticker: str, series: PriceSeries, model: TrainedModel) -> "Figure":
    """The series as it is scaled: daily moves by their volatility; in the `tutorial` profile,
    prices by windows."""
    if model.settings.profile == "tutorial":
        network: Any = model.held_out
        end = int(np.searchsorted(series.sessions, network.learned_until, side="right"))
        scaled, next_part = (
            network.scale.prepared(series, end),
            "validation" if model.parts.validation else "test",
        )
        return tutorial.normalised_series(ticker, series.sessions, series.mid, scaled, next_part)
    return training.normalised(ticker, series)


def draw(by_name: Makers, names: Iterable[str], folder: Path) -> tuple[Path, ...]:
    """Write these figures as <name>.png where they are missing; returns the files drawn."""
    return style.save(
        {name: by_name[name] for name in names if not (folder / f"{name}.png").exists()}, folder
    )


def _before(home: HomePaths, night: Night) -> Night | None:
    """The newest kept night of an earlier session; reads one record when nights come in order."""
    last = newest(home.nights, night.ticker)
    if (
        last
        and last.session < night.session
        and (previous := kept_night(home.nights, night.ticker, last.key))
    ):
        return previous
    earlier = [
        other for other in kept_nights(home.nights, night.ticker) if other.session < night.session
    ]
    return earlier[-1] if earlier else None
