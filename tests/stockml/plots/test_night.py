"""A night has every figure it can have, drawn with it, once, from its own values, and no other."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from stockml.features.origins import every_nth
from stockml.forecasts.ledger import Ledger
from stockml.models.trained_model import Evidence
from stockml.models.tutorial_recipe import TutorialForecaster, TutorialScale, prepare
from stockml.nights.key_figures import keep_newest
from stockml.nights.record import night_path, write_night
from stockml.plots import training, tutorial
from stockml.plots.night import draw, figures, gain_of, makers
from stockml.plots.style import png
from stockml.settings import settings_for
from stockml.tracking.run_content import plot_names
from tests.stockml.plots.recorded import DAY, drawn, past_forecasts, publish, series, split
from tests.support.nights import assessed, history, recorded_night, trained
from tests.support.walks import with_prices

TUTORIALS = settings_for("tutorial")
DRAWN = ("volatility", "leads", "calibration", "residuals", "averages", "history", "normalised")


Rows = tuple[Mapping[str, Any], ...]


def learned(rows=(), **of_model):
    """What the figures show of a trained model; `rows` are its epochs."""
    usual = {"settings": settings_for("nightly"), "held_out": None}
    usual |= {"evidence": Evidence(0.0012, 100), **of_model}
    return SimpleNamespace(parts=split(), history=rows, **usual)


def figures_of(rows, prices=None, **of_model):
    """What makes the night's figures."""
    return figures("IBM", prices or series(), assessed("IBM", DAY), learned(rows, **of_model))


def made(home, night, prices=None):
    return makers(home, night, prices or series(), assessed("IBM", DAY), learned())


@pytest.mark.slow
def test_each_figure_is_drawn_once_from_the_nights_own_values(tmp_path):
    rows = trained("IBM", DAY).history
    expected = {name: drawn(name) for name in DRAWN}
    expected |= {
        "forecast": drawn("forecast as it was"),
        "training": training.loss_curve("IBM", rows, gain_of(trained("IBM", DAY))),
    }
    found = figures_of(rows)
    [first] = draw(found, ["forecast"], tmp_path)
    before = first.stat()
    assert {path.stem for path in draw(found, found, tmp_path)} == set(expected) - {"forecast"}
    assert first.stat() == before
    assert plot_names(recorded_night(plots_folder=str(tmp_path))) == tuple(sorted(expected))
    for name, figure in expected.items():
        assert (tmp_path / f"{name}.png").read_bytes() == png(figure), name


def test_changes_are_plotted_only_where_there_is_an_earlier_night(home):
    night = recorded_night("IBM", DAY)
    assert "changes" not in made(home, night)
    before = recorded_night(day=date(2013, 2, 27))
    kept = night_path(home.nights, "IBM", before.key)
    write_night(before, kept)
    keep_newest(home.nights, before)
    assert "changes" in made(home, night)
    keep_newest(home.nights, recorded_night(day=date(2013, 3, 1)))
    assert "changes" in made(home, night), "a later night does not hide the earlier one"
    kept.write_text("{")
    assert "changes" not in made(home, night), "a damaged record does not end tonight's"


def test_averages_drift_and_earlier_forecasts_are_drawn_in_tonights_units(home):
    """Pence until four weeks ago, then pounds; what was published in pence has a hundred times the
    price."""
    prices = with_prices(series(), np.where(np.arange(len(series()))[::-1] < 22, 1.0, 100.0))
    usual, found = figures_of(()), figures_of((), prices)
    for name in ("forecast", "averages"):
        assert png(found[name]()) == png(usual[name]())
    for said in past_forecasts():
        then = float(prices.close[prices.sessions == np.datetime64(said.origin)][0])
        publish(Ledger(home.ledger), replace(said, last_value=then))
    (axes,) = made(home, recorded_night("IBM", DAY), prices)["ledger"]().axes
    assert axes.get_ylim()[1] < 2 * series().close.max()


def test_the_ledger_figure_shows_what_was_published_before_tonight_once_some_of_it_is_due(home):
    night = recorded_night("IBM", DAY)
    publish(Ledger(home.ledger), assessed("IBM", DAY).forecast, night.key)
    assert "ledger" not in made(home, night)
    for said in past_forecasts():
        publish(Ledger(home.ledger), said)
    assert png(made(home, night)["ledger"]()) == png(drawn("ledger"))


def test_a_model_that_was_not_trained_or_learned_for_one_epoch_has_no_training_curve():
    one_epoch = (history()[0], *history()[5:])
    assert (
        "training" not in figures_of(()).keys() | figures_of(one_epoch, settings=TUTORIALS).keys()
    )


def test_a_tutorial_night_draws_what_its_network_was_fed_and_how_its_predictions_changed():
    end, sessions, mid = split().train_end + 50, series().sessions, series().mid
    prepared = prepare(mid, end)
    scale = TutorialScale.of(prepared, sessions)
    fitted = TutorialForecaster(TUTORIALS, (), scale, sessions[end - 1])
    watched = every_nth(split().test, 50)
    rises = np.array([3, 1, 2, 4, 5])[:, None, None] * np.arange(1, 51) / 1_000
    by_epoch = np.round(mid[watched, None] * (1 + rises), 4)
    of_held_out = zip(history()[:5], by_epoch.tolist(), strict=True)
    rows = (*(row | {"watched": paths} for row, paths in of_held_out), *history()[5:])
    found = figures_of(rows, settings=TUTORIALS, held_out=fitted)
    per_step = [{**row, "loss": row["loss"] / 50} for row in rows]
    expected = {
        "normalised": tutorial.normalised_series("IBM", sessions, mid, prepared, "validation"),
        "training": training.training_curves("IBM", per_step),
        "evolution": training.evolution("IBM", sessions, mid, watched, by_epoch),
    }
    for name, figure in expected.items():
        assert png(found[name]()) == png(figure), name
    assert "evolution" not in figures_of(history()), "a nightly network has no epochs to show"
