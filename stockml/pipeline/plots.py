"""A night's figures: the forecast is drawn with the night, the others when somebody opens its page."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np

from stockml.errors import InvalidFile
from stockml.evaluation.assessment import VOLATILITY_SESSIONS, Assessment, read_assessment
from stockml.evaluation.path_scores import PUBLISHED
from stockml.features.origins import every_nth
from stockml.features.segments import to_newest_units
from stockml.forecasts.forecast import Forecast
from stockml.forecasts.ledger import Ledger, entries_of
from stockml.home import HomePaths
from stockml.models.trained_model import Provenance, TrainedModel, load_model
from stockml.nights.key_figures import newest
from stockml.nights.record import Night, kept_night, kept_nights
from stockml.plots import comparison, diagnostics, forecast, style, training, tutorial
from stockml.prices.series import PriceSeries
from stockml.prices.store import BarStore
from stockml.storage.objects import sha256_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Makers = Mapping[str, "Callable[[], Figure]"]


def makers(home: HomePaths, night: Night, series: PriceSeries, assessment: Assessment, model: TrainedModel) -> Makers:
    """The function that makes each figure of the night, including the change since the night before."""
    ledger, store = Ledger(home.ledger), BarStore.of(home, night.calendar)
    exchange, units = store.sessions(night.ticker), store.restated_price_factors(night.ticker, until=night.session)
    sessions, mid = series.sessions, to_newest_units(series) * series.mid
    scores, made = ledger.live(night.ticker, series, exchange, units), figures(night.ticker, series, assessment, model)

    def published() -> list[Forecast]:
        counting = ledger.counting(night.ticker, exchange)
        return [each.forecast for each in entries_of(night.ticker, counting[counting["timing"] == "live"])]

    if scores.steps:
        held = night.metrics.get("live/first_known_coverage_80", scores.coverage_80)  # as the night's text has it
        scores = replace(scores, coverage_80=held)
        made["ledger"] = lambda: diagnostics.ledger(night.ticker, published(), scores, sessions, mid)
    if before := _before(home, night):
        made["changes"] = lambda: comparison.nights(before, night, sessions, mid)
    return made


def figures(
    ticker: str, series: PriceSeries, assessment: Assessment, model: TrainedModel
) -> "dict[str, Callable[[], Figure]]":
    """What draws each plot that the night has, by name; nothing is drawn yet."""
    sessions, mid, evaluation = series.sessions, series.mid, assessment.evaluation
    prices = to_newest_units(series) * mid
    span = min(VOLATILITY_SESSIONS, evaluation.horizon)
    tonight = next((each for each in assessment.forecast.outlook if each.sessions == span), None)
    unseen, expected = assessment.unseen, assessment.volatility
    at, paths = assessment.test_origins, assessment.paths[PUBLISHED]
    made: dict[str, Callable[[], Figure]] = {
        "forecast": lambda: forecast.forecast_fan(ticker, assessment.forecast, assessment.publisher, sessions, prices),
        "volatility": lambda: diagnostics.volatility(ticker, series, unseen, expected, tonight, span),
        "leads": lambda: forecast.skill_by_lead(ticker, evaluation),
        "calibration": lambda: diagnostics.calibration(ticker, assessment.band_scores, evaluation.origins),
        "residuals": lambda: diagnostics.residuals(ticker, sessions, mid, series.close, at, paths),
        "averages": lambda: training.averages(ticker, sessions, prices, evaluation),
        "history": lambda: training.price_history(ticker, series, model.parts),
        "normalised": lambda: _normalised(ticker, series, model),
    }
    if sum(row["network"] == "held_out" for row in model.history) > 1:  # one epoch is no curve
        steps = model.settings.network.look_back  # its loss is their sum
        rows = [{**row, "loss": row["loss"] / steps} for row in model.history]
        made["training"] = lambda: training.training_curves(ticker, rows)
    by_epoch = [row["watched"] for row in model.history if row.get("watched")]
    if len(by_epoch) > 1:
        watched = every_nth(model.parts.test, evaluation.horizon)
        made["evolution"] = lambda: training.evolution(ticker, sessions, mid, watched, np.array(by_epoch))
    return made


def _normalised(ticker: str, series: PriceSeries, model: TrainedModel) -> "Figure":
    """The series as it is scaled: daily moves by their volatility; in the `tutorial` profile, prices by windows."""
    if model.settings.profile == "tutorial":
        learned: Any = model.held_out
        end = int(np.searchsorted(series.sessions, learned.learned_until, side="right"))
        prepared, then = learned.scale.prepared(series, end), "validation" if model.parts.validation else "test"
        return tutorial.normalised_series(ticker, series.sessions, series.mid, prepared, then)
    return training.normalised(ticker, series)


def draw(made: Makers, names: Iterable[str], folder: Path) -> tuple[Path, ...]:
    """Write these figures as <name>.png where they are missing; returns the files drawn."""
    return style.save({name: made[name] for name in names if not (folder / f"{name}.png").exists()}, folder)


def draw_rest(home: HomePaths, night: Night) -> tuple[Path, ...]:
    """Draw the night's missing figures; returns the files drawn.

    Raises InvalidFile if their sources are gone, or the series is another: the session's, as a later run found it.
    """
    folder = Path(night.plots_folder or home.plots / night.ticker / night.key[:16])
    there = {path.stem for path in folder.glob("*.png")}
    if there and there >= {*night.figures}:  # an earlier version's record names none: all were drawn with it
        return ()
    sources = (night.dataset_path, night.evaluation_folder, night.model_folder)
    series, evaluation, model = (_existing(night, path) for path in sources)
    if sha256_of(series) != Provenance.read(model).dataset:  # the evaluation's origins are rows of that one
        why = "expected the series that the night saw, found another: damage, or what a later run of its session saw"
        raise InvalidFile(str(series), f"{why}; run that night again")
    learned = load_model(model, to_forecast=False)
    made = makers(home, night, PriceSeries.read(series), read_assessment(evaluation), learned)
    return draw(made, (name for name in night.figures or made if name in made), folder)


def drawn_when_opened(home: HomePaths) -> bool:
    """Whether MLflow's pages draw figures once opened: those of `stockml up` do, if one home has all evaluations."""
    if home.state:
        return False
    if urlsplit(home.tracking_uri).scheme not in {"http", "https"}:
        return True
    return home.server("mlflow") == home.tracking_uri


def _existing(night: Night, path: str | None) -> Path:
    if path is None or not Path(path).exists():
        name = path or f"what {night.run_name} was drawn from"
        raise InvalidFile(name, "expected what the night's plots are drawn from, found nothing; run that night again")
    return Path(path)


def _before(home: HomePaths, tonight: Night) -> Night | None:
    """The newest kept night of an earlier session; reads one record when nights come in order."""
    last = newest(home.nights, tonight.ticker)
    if last and last.session < tonight.session and (night := kept_night(home.nights, tonight.ticker, last.key)):
        return night
    earlier = [each for each in kept_nights(home.nights, tonight.ticker) if each.session < tonight.session]
    return earlier[-1] if earlier else None
