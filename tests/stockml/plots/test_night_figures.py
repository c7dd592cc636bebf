"""A night has every figure it can have, drawn from its own values, and no other."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time
from typing import Any, cast

import numpy as np
import pytest

from stockml.features.origins import OriginSplit, every_nth
from stockml.forecasts.forecast import Forecast
from stockml.forecasts.ledger import Ledger, LedgerEntry
from stockml.home import HomePaths
from stockml.models.trained_model import Evidence, TrainedModel
from stockml.models.tutorial.recipe import TutorialForecaster, TutorialScale, prepare
from stockml.nights.record import Night
from stockml.plots import forecast, training, tutorial
from stockml.plots.night import Makers, figures, gain_of, makers
from stockml.plots.style import png
from stockml.prices.series import PriceSeries
from stockml.settings import Settings, settings_for
from tests.stockml.plots.recorded import DAY, drawn, past_forecasts, series, split
from tests.support.nights import assessed, history, recorded_night, trained
from tests.support.walks import with_prices

NIGHTLY, GAINED = settings_for("nightly"), Evidence(0.0012, 100)
DRAWN = ("volatility", "leads", "calibration", "residuals", "averages", "history", "normalised")


@dataclass(frozen=True)
class Learned:
    """What the figures show of a trained model."""

    parts: OriginSplit
    history: tuple[Mapping[str, Any], ...]
    settings: Settings = NIGHTLY
    held_out: TutorialForecaster | None = None
    evidence: Evidence | None = GAINED


def figures_of(
    rows: tuple[Mapping[str, Any], ...], prices: PriceSeries | None = None, **of_model: Any
) -> Makers:
    """What makes the night's figures; `rows` are the model's epochs."""
    learned = cast(TrainedModel, Learned(split(), rows, **of_model))
    return figures("IBM", prices or series(), assessed("IBM", DAY), learned)


@pytest.mark.slow
def test_each_figure_is_drawn_from_the_nights_own_values() -> None:
    found, sessions, mid = assessed("IBM", DAY), series().sessions, series().close
    rows = trained("IBM", DAY).history
    expected = {name: drawn(name) for name in DRAWN}
    expected |= {
        "forecast": forecast.forecast_fan("IBM", found.forecast, sessions, mid),
        "training": training.loss_curve("IBM", rows, gain_of(trained("IBM", DAY))),
    }
    found_figures = figures_of(rows)
    assert set(found_figures) == set(expected)
    assert [
        name for name, figure in expected.items() if png(found_figures[name]()) != png(figure)
    ] == []


def test_averages_drift_and_earlier_forecasts_are_drawn_in_tonights_units(home: HomePaths) -> None:
    """Pence until four weeks ago, then pounds; what was published in pence has a hundred times the
    price."""
    prices = with_prices(
        series(), np.where(np.arange(len(series())) < len(series()) - 22, 100.0, 1.0)
    )
    usual, found = figures_of(()), figures_of((), prices)
    assert [
        name for name in ("forecast", "averages") if png(found[name]()) != png(usual[name]())
    ] == []
    titles = (
        training.price_history("IBM", each, split()).texts[0].get_text()
        for each in (prices, series())
    )
    assert len(set(titles)) == 1
    for said in past_forecasts():
        then = float(prices.close[prices.sessions == np.datetime64(said.origin)][0])
        publish(home, replace(said, last_value=then), str(said.origin))
    (axes,) = made(home, recorded_night("IBM", DAY), prices)["ledger"]().axes
    assert axes.get_ylim()[1] < 2 * series().close.max()


def test_the_ledger_figure_shows_what_was_published_before_tonight_once_some_of_it_is_due(
    home: HomePaths,
) -> None:
    night = recorded_night("IBM", DAY)
    publish(home, assessed("IBM", DAY).forecast, night.key)
    assert "ledger" not in made(home, night, series())
    for said in past_forecasts():
        publish(home, said, str(said.origin))
    assert png(made(home, night, series())["ledger"]()) == png(drawn("ledger"))


def made(home: HomePaths, night: Night, prices: PriceSeries) -> Makers:
    return makers(
        home, night, prices, assessed("IBM", DAY), cast(TrainedModel, Learned(split(), ()))
    )


def publish(home: HomePaths, said: Forecast, key: str) -> None:
    """Publish the forecast on the evening of its origin."""
    evening = datetime.combine(said.origin, time(23), UTC)
    Ledger(home.ledger).publish(LedgerEntry("IBM", key, evening, said))


def test_a_model_that_was_not_trained_or_learned_for_one_epoch_has_no_training_curve() -> None:
    tutorials = {"settings": settings_for("tutorial")}
    for rows, changes in (((), {}), ((history()[0], *history()[5:]), tutorials)):
        found = figures_of(rows, **changes)
        assert len(found) == 8
        assert "training" not in found


def test_a_tutorial_night_draws_what_its_network_was_fed() -> None:
    end = split().train_end + 50
    prepared = prepare(series().mid, end)
    scale = TutorialScale.of(prepared, series().sessions)
    learned = TutorialForecaster(settings_for("tutorial"), (), scale, series().sessions[end - 1])
    found = figures_of(history(), settings=settings_for("tutorial"), held_out=learned)
    assert [text.get_text() for text in found["normalised"]().axes[0].texts[-1:]] == [
        " validation"
    ], "not yet the test"
    expected = tutorial.normalised_series(
        "IBM", series().sessions, series().mid, prepared, then="validation"
    )
    assert png(found["normalised"]()) == png(expected)
    assert png(found["training"]()) == png(training.training_curves("IBM", per_step(history(), 50)))


def test_a_tutorial_night_draws_how_its_test_predictions_changed() -> None:
    watched = every_nth(split().test, assessed("IBM", DAY).evaluation.horizon)
    last, leads = series().mid[watched, None], np.arange(1, 51)
    by_epoch = [np.round(last * (1 + rise * leads / 1_000), 4) for rise in (3, 1, 2, 4, 5)]
    of_held_out = zip(history()[:5], by_epoch, strict=True)
    rows = tuple({**row, "watched": paths.tolist()} for row, paths in of_held_out) + history()[5:]
    expected = training.evolution(
        "IBM", series().sessions, series().mid, watched, np.array(by_epoch)
    )
    assert png(figures_of(rows)["evolution"]()) == png(expected)
    assert "evolution" not in figures_of(history()), "a nightly network has no epochs to show"


def per_step(rows: tuple[Mapping[str, Any], ...], steps: int) -> list[dict[str, Any]]:
    return [{**row, "loss": row["loss"] / steps} for row in rows]
