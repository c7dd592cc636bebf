"""The series, the averages and the course of the training are drawn as they were."""

import numpy as np
import pandas as pd
import pytest

from stockml.features.origins import split_origins
from stockml.plots import training
from stockml.plots.style import ACCENT, BEHIND, COLOURS, MODEL, MUTED, TRUTH
from stockml.prices.series import PriceSeries
from tests.stockml.plots.drawing import (
    as_numbers,
    check_curves,
    check_holds,
    curves,
    days_shown,
    in_order,
    labels,
    levels,
    marks,
)
from tests.stockml.plots.recorded import (
    DAY,
    by_epoch,
    drawn,
    moves,
    series,
    split,
    with_hole,
)
from tests.support.nights import SETTINGS, assessed, history


def test_the_price_and_its_parts_are_drawn_on_a_logarithmic_axis() -> None:
    (axes,), days = drawn("history").axes, as_numbers(series().sessions)
    check_curves(axes, (TRUTH, series().sessions, series().close))
    starts = {
        "train": (MUTED, days[0]),
        "validation": (COLOURS["drift"], days[split().validation.start]),
        "test": (MODEL, days[split().test.start]),
    }
    assert marks(axes) == list(starts.values())
    named = {
        text.get_text().strip(): (text.get_color(), *as_numbers(text.xy[0])) for text in axes.texts
    }  # type: ignore[attr-defined]
    assert named == starts
    years = (days[-1] - days[0]) / 365
    growth = (series().close[-1] / series().close[0]) ** (1 / years) - 1
    told = f"IBM: {series().close[-1]:.2f} after {len(days):,} sessions, {growth:+.1%} a year"
    assert drawn("history").texts[0].get_text() == told
    assert axes.get_yscale() == "log"
    assert axes.yaxis.get_major_formatter()(150.0) == "150"
    assert days_shown(axes) == (days[0], days[-1])
    check_holds(axes, series().close)
    assert axes.get_ylabel() == "close, $"


def test_a_change_of_units_is_no_loss_in_the_title() -> None:
    whole = series()
    times = np.where(np.arange(len(whole)) < 2_000, 100.0, 1.0)  # in pence until then, say
    in_pence = (getattr(whole, name) * times for name in ("open", "high", "low", "close"))
    figure = training.price_history(
        "IBM", PriceSeries(whole.sessions, *in_pence, whole.volume), split()
    )
    assert figure.texts[0].get_text() == drawn("history").texts[0].get_text()


def test_no_line_is_drawn_across_a_long_hole() -> None:
    divided = with_hole(series(), 2_000, 250)
    shown = [
        training.price_history("IBM", divided, split_origins(len(divided), SETTINGS.evaluation))
    ]
    shown.append(training.normalised("IBM", divided))
    for axes in (axes for figure in shown for axes in figure.axes):
        drawn_apart = [
            as_numbers(line.get_xdata())
            for line in curves(axes)
            if len(as_numbers(line.get_xdata())) > 2
        ]
        assert [len(days) for days in drawn_apart] == [2_000, len(divided) - 2_000]
        assert np.concatenate(drawn_apart).tolist() == as_numbers(divided.sessions).tolist()


def test_the_scaled_series_is_drawn_above_and_a_smoothed_one_below() -> None:
    axes, below = drawn("normalised").axes
    smoothed = pd.Series(moves()).ewm(alpha=0.1).mean()
    check_curves(axes, (BEHIND, series().sessions, moves()))
    check_curves(below, (MODEL, series().sessions, smoothed))
    assert levels(axes) == levels(below) == [(TRUTH, 0.0)]
    check_holds(axes, moves()[1:])
    check_holds(below, smoothed[1:])
    days, (first, last) = as_numbers(series().sessions[1:]), days_shown(below)
    assert first <= days[0] < days[-1] <= last
    assert days_shown(axes) == (first, last)
    assert (axes.get_ylabel(), below.get_ylabel()) == ("scaled", "smoothed")
    inside = sum(abs(move) <= 3 for move in moves()[1:]) / len(moves()[1:])
    title, unit = (text.get_text() for text in drawn("normalised").texts)
    assert (title, unit) == (
        f"IBM: scaled by what was known, {inside:.1%} of the moves stay within ±3",
        "Daily return of the close in units of trailing volatility; below, smoothed by EMA 0.1",
    )


def test_an_average_is_drawn_at_the_session_it_forecasts() -> None:
    """Entry i of each was known one session before."""
    (axes,), mid = drawn("averages").axes, series().close
    ema, said = mid[0], []
    for price in mid:
        ema = 0.5 * ema + 0.5 * price
        said.append(ema)
    standard = [mid[i - 100 : i].mean() for i in range(len(mid) - 400, len(mid))]
    days = series().sessions[-400:]
    check_curves(
        axes, (TRUTH, days, mid[-400:]), (ACCENT, days, said[-401:-1]), (MODEL, days, standard)
    )
    ends = [
        ("price", mid[-1], TRUTH),
        ("EMA", said[-2], ACCENT),
        ("standard average", standard[-1], MODEL),
    ]
    assert labels(axes) == in_order(ends)
    assert days_shown(axes) == tuple(as_numbers(days[[0, -1]]))
    check_holds(axes, mid[-400:])
    assert axes.get_ylabel() == "close, $"


def test_losses_and_learning_rate_are_drawn_epoch_by_epoch() -> None:
    axes, below = drawn("training").axes
    rows = history()[:5]
    epochs, loss, validation = (
        [1, 2, 3, 4, 5],
        [row["loss"] for row in rows],
        [row["validation_loss"] for row in rows],
    )
    best = (MODEL, [5], [min(validation)])
    check_curves(axes, (BEHIND, epochs, loss), (MODEL, epochs, validation), best)
    check_curves(below, (ACCENT, epochs, [row["learning_rate"] for row in rows]))
    assert labels(axes) == in_order(
        [("training", loss[-1], MUTED), ("validation", validation[-1], MODEL)]
    )
    assert [text.get_text() for text in below.get_yticklabels()] == ["0.00025", "0.0005", "0.001"]
    assert below.get_yticks() == pytest.approx([0.00025, 0.0005, 0.001])
    assert (axes.get_ylabel(), below.get_ylabel(), below.get_xlabel()) == (
        "loss",
        "learning rate",
        "epoch",
    )
    assert curves(below)[0].get_drawstyle() == "steps-mid"


def test_every_epochs_paths_are_drawn_above_and_the_best_epochs_below() -> None:
    """Below is only the epoch nearest to what happened, here the last; above, later epochs are
    darker."""
    above, below = drawn("evolution").axes
    sessions, mid, at = series().sessions, series().mid, assessed("IBM", DAY).test_origins[::5]
    shown = slice(at[0] - 50, at[-1] + 51)
    truth = (TRUTH, sessions[shown], mid[shown])
    paths = [
        [(ACCENT, sessions[o + 1 : o + 51], path) for o, path in zip(at, epoch, strict=True)]
        for epoch in by_epoch()
    ]
    check_curves(above, truth, *paths[0], *paths[1], *paths[2], *paths[3])
    check_curves(below, truth, *paths[3])
    shades = [line.get_alpha() for line in curves(above)[1 :: len(at)]]
    assert shades == pytest.approx([0.12, 0.38, 0.64, 0.9])
    assert {line.get_alpha() for line in curves(below)[1:]} == {1.0}
    for axes in (above, below):
        check_holds(axes, mid[shown])
        assert days_shown(axes) == tuple(as_numbers(sessions[shown][[0, -1]]))
        assert axes.get_ylabel() == "mid price, $"
        assert labels(axes) == in_order(
            [("price", mid[shown][-1], TRUTH), ("predicted", by_epoch()[3][-1, -1], ACCENT)]
        )
