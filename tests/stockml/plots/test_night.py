"""A night has every figure it can have, drawn with it, once, from its own values, and no other."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from stockml.features.origins import OriginSplit, every_nth
from stockml.forecasts.forecast import Forecast
from stockml.forecasts.ledger import Ledger, LedgerEntry
from stockml.home import HomePaths
from stockml.models.trained_model import Evidence, TrainedModel
from stockml.models.tutorial_recipe import TutorialForecaster, TutorialScale, prepare
from stockml.nights.key_figures import keep_newest
from stockml.nights.record import Night, night_path, write_night
from stockml.plots import training, tutorial
from stockml.plots.night import Makers, draw, figures, gain_of, makers
from stockml.plots.style import png
from stockml.prices.series import PriceSeries
from stockml.settings import Settings, settings_for
from stockml.tracking.run_content import plot_names
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


def made(home: HomePaths, night: Night, prices: PriceSeries | None = None) -> Makers:
    learned = cast(TrainedModel, Learned(split(), ()))
    return makers(home, night, prices or series(), assessed("IBM", DAY), learned)


@pytest.mark.slow
def test_each_figure_is_drawn_once_from_the_nights_own_values(tmp_path: Path) -> None:
    rows = trained("IBM", DAY).history
    expected = {name: drawn(name) for name in DRAWN}
    expected |= {
        "forecast": drawn("forecast as it was"),
        "training": training.loss_curve("IBM", rows, gain_of(trained("IBM", DAY))),
    }
    found = figures_of(rows)
    assert set(found) == set(expected)
    [first] = draw(found, ["forecast"], tmp_path)
    before = first.stat()
    assert {path.stem for path in draw(found, found, tmp_path)} == set(expected) - {"forecast"}
    assert first.stat() == before
    assert plot_names(recorded_night(plots_folder=str(tmp_path))) == tuple(sorted(expected))
    assert [
        name
        for name, figure in expected.items()
        if (tmp_path / f"{name}.png").read_bytes() != png(figure)
    ] == []


def test_changes_are_plotted_only_where_there_is_an_earlier_night(home: HomePaths) -> None:
    night = recorded_night("IBM", DAY)
    assert "changes" not in made(home, night)
    before = recorded_night(day=date(2013, 2, 27))
    kept = night_path(home.nights, "IBM", before.key)
    write_night(before, kept)
    keep_newest(home.nights, before)
    assert "changes" in made(home, night)
    whole = kept.read_bytes()
    kept.write_text("{")
    assert "changes" not in made(home, night), "a damaged record does not end tonight's"
    kept.write_bytes(whole)
    keep_newest(home.nights, recorded_night(day=date(2013, 3, 1)))
    assert "changes" in made(home, night), "a later night does not hide the earlier one"


def test_averages_drift_and_earlier_forecasts_are_drawn_in_tonights_units(home: HomePaths) -> None:
    """Pence until four weeks ago, then pounds; what was published in pence has a hundred times the
    price."""
    prices = with_prices(
        series(), np.where(np.arange(len(series())) < len(series()) - 22, 100.0, 1.0)
    )
    usual, found = figures_of(()), figures_of((), prices)
    for name in ("forecast", "averages"):
        assert png(found[name]()) == png(usual[name]())
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
    assert "ledger" not in made(home, night)
    for said in past_forecasts():
        publish(home, said, str(said.origin))
    assert png(made(home, night)["ledger"]()) == png(drawn("ledger"))


def publish(home: HomePaths, said: Forecast, key: str) -> None:
    """Publish the forecast on the evening of its origin."""
    evening = datetime.combine(said.origin, time(23), UTC)
    Ledger(home.ledger).publish(LedgerEntry("IBM", key, evening, said))


def test_a_model_that_was_not_trained_or_learned_for_one_epoch_has_no_training_curve() -> None:
    tutorials = {"settings": settings_for("tutorial")}
    for rows, changes in (((), {}), ((history()[0], *history()[5:]), tutorials)):
        assert "training" not in figures_of(rows, **changes)


def test_a_tutorial_night_draws_what_its_network_was_fed_and_how_its_predictions_changed() -> None:
    end, settings = split().train_end + 50, settings_for("tutorial")
    prepared = prepare(series().mid, end)
    scale = TutorialScale.of(prepared, series().sessions)
    learned = TutorialForecaster(settings, (), scale, series().sessions[end - 1])
    watched = every_nth(split().test, 50)
    last, leads = series().mid[watched, None], np.arange(1, 51)
    by_epoch = [np.round(last * (1 + rise * leads / 1_000), 4) for rise in (3, 1, 2, 4, 5)]
    of_held_out = zip(history()[:5], by_epoch, strict=True)
    rows = tuple({**row, "watched": paths.tolist()} for row, paths in of_held_out) + history()[5:]
    found = figures_of(rows, settings=settings, held_out=learned)
    sessions, mid = series().sessions, series().mid
    per_step = [{**row, "loss": row["loss"] / 50} for row in rows]
    expected = {
        "normalised": tutorial.normalised_series("IBM", sessions, mid, prepared, "validation"),
        "training": training.training_curves("IBM", per_step),
        "evolution": training.evolution("IBM", sessions, mid, watched, np.array(by_epoch)),
    }
    for name, figure in expected.items():
        assert png(found[name]()) == png(figure), name
    assert "evolution" not in figures_of(history()), "a nightly network has no epochs to show"
