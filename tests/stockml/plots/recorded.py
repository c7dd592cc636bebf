"""Every figure of a recorded night, IBM's after the close of February 28, 2013, and of rarer ones;
those of a tutorial."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

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
    return replace(
        said, path=tuple(said.now * (1 + by) ** lead for lead in range(1, 51)), weights=(0.4,) * 50
    )


def tonight() -> Forecast:
    return rising(assessed("IBM", DAY).forecast, by=0.001)


def night_before() -> Night:
    """February 27's night, with another forecast."""
    night = recorded_night(day=date(2013, 2, 27))
    return replace(night, forecast=rising(assessed("IBM", date(2013, 2, 27)).forecast, by=-0.0005))


def last_night() -> Night:
    """February 28's night."""
    return replace(recorded_night(), forecast=tonight())


@cache
def past_forecasts() -> tuple[Forecast, ...]:
    """Five from the last 120 sessions, 24 sessions apart, each with a path of its own."""
    nights = [series().sessions[i].item() for i in range(-120, 0, 24)]
    return tuple(
        rising(assessed("IBM", day, 0.6).forecast, by=i / 5_000)
        for i, day in enumerate(nights, start=-2)
    )


def live(published: Sequence[Forecast]) -> RealisedScores:
    """How the forecasts turned out, each published on the evening of its origin."""
    with TemporaryDirectory() as folder:
        ledger = Ledger(Path(folder))
        for said in published:
            evening = datetime.combine(said.origin, time(23), UTC)
            ledger.publish(LedgerEntry("IBM", str(said.origin), evening, said))
        return ledger.live("IBM", series(), sessions_for("IBM"))


def by_epoch() -> Floats:
    """(4, origins, 50): four epochs; the first goes the wrong way, the last is right."""
    found = assessed("IBM", DAY)
    start = series().close[found.test_origins[::5], None]
    return np.stack(
        [
            start + share * (found.paths["published"][::5] - start)
            for share in (-1.0, -0.5, 0.0, 1.0)
        ]
    )


@cache
def report(
    name: str = "HPQ",
    shift: float = 0.0,
    seed: int = 0,
    cell: str = "lstm",
    horizon: int = 50,
    **more: str,
) -> TutorialReport:
    """A training of three epochs on a random walk; epoch e predicts the last value plus (2 - e) /
    10 plus `shift`."""
    rng = np.random.default_rng(seed)
    mid = 20 * np.exp(np.cumsum(rng.normal(0, 0.02, N)))
    sessions = np.datetime64("2001-01-01") + np.arange(N)
    changed = {
        "training.epochs": 3,
        "training.seed": seed,
        "network.cell": cell,
        "evaluation.horizon": horizon,
    }
    changed |= {f"training.{name}": value for name, value in more.items()}
    recipe = Recipe.of(mid, END, tutorial_settings(changed))
    last = recipe.prepared.values[recipe.test - 1, None]
    said = np.stack(
        [np.repeat(last, horizon, axis=1) + (2 - epoch) * 0.1 + shift for epoch in (1, 2, 3)]
    )
    rows = tuple(
        {"test_loss": recipe.error(each, recipe.test), "correlation": 0.2, "seconds": 6.0}
        for each in said
    )
    fitted = TutorialFit(recipe, (), 2, rows, said)
    paths = path_errors(recipe.prepared, recipe.test, horizon)
    return TutorialReport(name, sessions, mid, one_step_errors(recipe.prepared), paths, fitted)


def _still(evaluation: Evaluation) -> Evaluation:
    """The evaluation of a price that never moved."""
    scores = {
        name: replace(score, skill=None, mse_by_lead=(None,) * 50)
        for name, score in evaluation.scores.items()
    }
    return replace(evaluation, scores=scores)


def _in_pence(whole: PriceSeries) -> PriceSeries:
    times = np.where(np.arange(len(whole)) < 2_000, 100.0, 1.0)
    return with_prices(whole, times)


def makers() -> "dict[str, Callable[[], Figure]]":
    """What draws each figure, by name; nothing is drawn yet."""
    found, whole = assessed("IBM", DAY), series()
    sessions, close, at = whole.sessions, whole.close, found.test_origins
    paths, outlook = found.paths["published"], found.forecast.outlook[1]
    divided = with_hole(whole, 2_000, 250)
    around = np.array([1_960, 1_970, 2_040])
    halved = replace(tonight(), last_value=tonight().now / 2, last_close=tonight().now / 2)
    halved = replace(halved, path=tuple(price / 2 for price in tonight().path))
    nothing = replace(night_before(), forecast=None, metrics={}, verdict=None)
    past = past_forecasts()
    return {
        "forecast": lambda: forecast.forecast_fan("IBM", tonight(), sessions, close),
        "forecast as it was": lambda: forecast.forecast_fan("IBM", found.forecast, sessions, close),
        "volatility": lambda: diagnostics.volatility(
            "IBM", whole, found.unseen, found.volatility, outlook, 20
        ),
        "volatility around a hole": lambda: diagnostics.volatility(
            "IBM", divided, around, np.full(3, 0.2), outlook, 20
        ),
        "leads": lambda: forecast.skill_by_lead("IBM", found.evaluation),
        "leads of a price that never moved": lambda: forecast.skill_by_lead(
            "IBM", _still(found.evaluation)
        ),
        "ledger": lambda: diagnostics.ledger("IBM", past, live(past), sessions, both(close)),
        "ledger after a split": lambda: diagnostics.ledger(
            "IBM", past, live(past), sessions, both(close / 2)
        ),
        "calibration": lambda: diagnostics.calibration(
            "IBM", found.band_scores, found.evaluation.origins
        ),
        "residuals": lambda: diagnostics.residuals("IBM", sessions, close, close, at, paths),
        "averages": lambda: training.averages("IBM", sessions, close, "close", found.evaluation),
        "history": lambda: training.price_history("IBM", whole, split()),
        "history with a hole": lambda: training.price_history(
            "IBM", divided, split_origins(len(divided), SETTINGS.evaluation)
        ),
        "history in pence at first": lambda: training.price_history(
            "IBM", _in_pence(whole), split()
        ),
        "normalised": lambda: training.normalised("IBM", whole),
        "normalised with a hole": lambda: training.normalised("IBM", divided),
        "training": lambda: training.training_curves("IBM", history()),
        "evolution": lambda: training.evolution("IBM", sessions, whole.mid, at[::5], by_epoch()),
        "changes": lambda: night.changes(night_before(), last_night(), sessions, both(close)),
        "changes on the night of a split": lambda: night.changes(
            night_before(), replace(last_night(), forecast=halved), sessions, both(close / 2)
        ),
        "changes after a night without figures": lambda: night.changes(
            nothing, last_night(), sessions, both(close)
        ),
        "tutorial 7-predictions, better": lambda: tutorial.FIGURES["7-predictions"](
            report(shift=0.02)
        ),
    } | {f"tutorial {name}": partial(make, report()) for name, make in tutorial.FIGURES.items()}


def drawn(name: str) -> "Figure":
    return makers()[name]()


def tables() -> dict[str, str]:
    """The tutorial's, as printed; `better`: a chosen epoch that errs half as much as the last
    value."""
    better = report()
    half = {**better.fitted.history[1], "test_loss": better.paths["last value"] / 2}
    rows = (better.fitted.history[0], half, better.fitted.history[2])
    better = replace(better, fitted=replace(better.fitted, history=rows))
    return {
        "table of the tutorial": report().table(),
        "table of one decayed on the test part": report(decay_on="test").table(),
        "table of seeds": seed_table([better, report("HPQ", 0.05), report("KO", 0.05)]),
    }


def described_figures() -> dict[str, str]:
    """What all of them show; the tables as they are."""
    return {name: described(make()) for name, make in makers().items()} | tables()
