"""Every figure of a recorded night, IBM's after the close of February 28, 2013, and of rarer ones;
those of a tutorial."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, time
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from stockml.evaluation.path_scores import Evaluation
from stockml.evaluation.tutorial_report import TutorialReport, seed_table
from stockml.features.origins import OriginSplit, split_origins
from stockml.forecasts.forecast import Forecast, Price
from stockml.forecasts.ledger import Ledger, LedgerEntry
from stockml.forecasts.ledger_scores import RealisedScores
from stockml.models.tutorial_recipe import one_step_errors, path_errors
from stockml.nights.record import Night
from stockml.plots import diagnostics, forecast, night, training, tutorial
from stockml.prices.bars import COLUMNS
from stockml.prices.calendar import sessions_for
from stockml.prices.series import PriceSeries
from stockml.settings import tutorial_settings
from stockml.storage.arrays import Floats
from stockml.training.tutorial import Recipe, TutorialFit
from tests.stockml.plots.drawing import described
from tests.support.nights import SETTINGS, assessed, history, recorded_night, series_until
from tests.support.walks import with_prices

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KEPT = Path(__file__).with_name("figures.txt")
DAY = date(2013, 2, 28)
N, END = 3_300, 3_006  # sessions of the tutorial's walk, and of its training part


def series() -> PriceSeries:
    return series_until("IBM", DAY)


def with_hole(whole: PriceSeries, at: int, sessions: int) -> PriceSeries:
    """The series without as many `sessions` from index `at` on."""
    kept = np.r_[:at, at + sessions : len(whole)]
    return PriceSeries(whole.sessions[kept], *(getattr(whole, name)[kept] for name in COLUMNS))


def both(prices: Floats) -> dict[Price, Floats]:
    """The prices for forecasts of either kind."""
    return {"close": prices, "mid": prices}


def split() -> OriginSplit:
    return split_origins(len(series()), SETTINGS.evaluation)


def rising(said: Forecast, by: float) -> Forecast:
    """The forecast with a path that grows by the share `by` per session; what was published that
    night is flat."""
    path = tuple(said.now * (1 + by) ** lead for lead in range(1, 51))
    return replace(said, path=path, weights=(0.4,) * 50)


def tonight() -> Forecast:
    return rising(assessed("IBM", DAY).forecast, by=0.001)


def night_before() -> Night:
    """February 27's night, with another forecast."""
    day = date(2013, 2, 27)
    said = rising(assessed("IBM", day).forecast, by=-0.0005)
    return replace(recorded_night(day=day), forecast=said)


def last_night() -> Night:
    """February 28's night."""
    return replace(recorded_night(), forecast=tonight())


@cache
def past_forecasts() -> tuple[Forecast, ...]:
    """Five from the last 120 sessions, 24 sessions apart, each with a path of its own."""
    nights = series().sessions[-120::24].tolist()
    return tuple(
        rising(assessed("IBM", day, 0.6).forecast, by=i / 5_000)
        for i, day in enumerate(nights, start=-2)
    )


def publish(ledger: Ledger, said: Forecast, key: str = "") -> None:
    """Publish the forecast on the evening of its origin."""
    evening = datetime.combine(said.origin, time(23), UTC)
    ledger.publish(LedgerEntry("IBM", key or str(said.origin), evening, said))


@cache
def live() -> RealisedScores:
    """How the five turned out."""
    with TemporaryDirectory() as folder:
        ledger = Ledger(Path(folder))
        for said in past_forecasts():
            publish(ledger, said)
        return ledger.live("IBM", series(), sessions_for("IBM"))


def by_epoch() -> Floats:
    """(4, origins, 50): four epochs; the first goes the wrong way, the last is right."""
    found, shares = assessed("IBM", DAY), np.array([-1.0, -0.5, 0.0, 1.0])
    start = series().close[found.test_origins[::5], None]
    return start + shares[:, None, None] * (found.paths["published"][::5] - start)


@cache
def report(name: str = "HPQ", shift: float = 0.0, **more: str) -> TutorialReport:
    """A training of three epochs on a random walk; epoch e predicts the last value plus (2 - e) /
    10 plus `shift`."""
    mid = 20 * np.exp(np.cumsum(np.random.default_rng(0).normal(0, 0.02, N)))
    sessions = np.datetime64("2001-01-01") + np.arange(N)
    recipe = Recipe.of(
        mid, END, tutorial_settings({"training.epochs": 3, "training.seed": 0, **more})
    )
    last = recipe.prepared.values[recipe.test - 1, None]
    said = np.array([0.1, 0.0, -0.1])[:, None, None] + np.repeat(last, 50, axis=1) + shift
    rows = tuple(
        {"test_loss": recipe.error(each, recipe.test), "correlation": 0.2, "seconds": 6.0}
        for each in said
    )
    fitted = TutorialFit(recipe, (), 2, rows, said)
    paths = path_errors(recipe.prepared, recipe.test, 50)
    return TutorialReport(name, sessions, mid, one_step_errors(recipe.prepared), paths, fitted)


def _still(evaluation: Evaluation) -> Evaluation:
    """The evaluation of a price that never moved."""
    nothing = {"skill": None, "mse_by_lead": (None,) * 50}
    scores = {name: replace(score, **nothing) for name, score in evaluation.scores.items()}
    return replace(evaluation, scores=scores)


def makers() -> "dict[str, Callable[[], Figure]]":
    """What draws each figure, by name; nothing is drawn yet."""
    found, whole, past = assessed("IBM", DAY), series(), past_forecasts()
    sessions, close, at = whole.sessions, whole.close, found.test_origins
    paths, outlook = found.paths["published"], found.forecast.outlook[1]
    divided = with_hole(whole, 2_000, 250)
    of_divided = split_origins(len(divided), SETTINGS.evaluation)
    around, few = np.array([1_960, 1_970, 2_040]), np.full(3, 0.2)
    in_pence = with_prices(whole, np.where(np.arange(len(whole)) < 2_000, 100.0, 1.0))
    halved = replace(tonight(), last_value=tonight().now / 2, last_close=tonight().now / 2)
    halved = replace(halved, path=tuple(price / 2 for price in tonight().path))
    nothing = replace(night_before(), forecast=None, metrics={}, verdict=None)
    after_split = replace(last_night(), forecast=halved)
    of_ticker: dict[str, tuple[Any, ...]] = {
        "forecast": (forecast.forecast_fan, tonight(), sessions, close),
        "forecast as it was": (forecast.forecast_fan, found.forecast, sessions, close),
        "volatility": (diagnostics.volatility, whole, found.unseen, found.volatility, outlook, 20),
        "volatility around a hole": (diagnostics.volatility, divided, around, few, outlook, 20),
        "leads": (forecast.skill_by_lead, found.evaluation),
        "leads of a price that never moved": (forecast.skill_by_lead, _still(found.evaluation)),
        "ledger": (diagnostics.ledger, past, live(), sessions, both(close)),
        "ledger after a split": (diagnostics.ledger, past, live(), sessions, both(close / 2)),
        "calibration": (diagnostics.calibration, found.band_scores, found.evaluation.origins),
        "residuals": (diagnostics.residuals, sessions, close, close, at, paths),
        "averages": (training.averages, sessions, close, "close", found.evaluation),
        "history": (training.price_history, whole, split()),
        "history with a hole": (training.price_history, divided, of_divided),
        "history in pence at first": (training.price_history, in_pence, split()),
        "normalised": (training.normalised, whole),
        "normalised with a hole": (training.normalised, divided),
        "training": (training.training_curves, history()),
        "evolution": (training.evolution, sessions, whole.mid, at[::5], by_epoch()),
    }
    of_nights = {
        "changes": (night_before(), last_night(), close),
        "changes on the night of a split": (night_before(), after_split, close / 2),
        "changes after a night without figures": (nothing, last_night(), close),
    }
    better = partial(tutorial.FIGURES["7-predictions"], report(shift=0.02))
    return (
        {name: partial(make, "IBM", *shown) for name, (make, *shown) in of_ticker.items()}
        | {
            name: partial(night.changes, before, after, sessions, both(prices))
            for name, (before, after, prices) in of_nights.items()
        }
        | {"tutorial 7-predictions, better": better}
        | {f"tutorial {name}": partial(make, report()) for name, make in tutorial.FIGURES.items()}
    )


def drawn(name: str) -> "Figure":
    return makers()[name]()


def tables() -> dict[str, str]:
    """The tutorial's, as printed; `better`: a chosen epoch that errs half as much as the last
    value."""
    better = report()
    first, chosen, last = better.fitted.history
    rows = (first, chosen | {"test_loss": better.paths["last value"] / 2}, last)
    better = replace(better, fitted=replace(better.fitted, history=rows))
    return {
        "table of the tutorial": report().table(),
        "table of one decayed on the test part": report(**{"training.decay_on": "test"}).table(),
        "table of seeds": seed_table([better, report("HPQ", 0.05), report("KO", 0.05)]),
    }


def described_figures() -> dict[str, str]:
    """What all of them show; the tables as they are."""
    return {name: described(make()) for name, make in makers().items()} | tables()
