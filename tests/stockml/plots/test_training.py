"""The series, the averages and the course of the training are drawn as they were."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgba

from stockml.features.origins import split_origins
from stockml.plots import comparison, diagnostics, training
from stockml.plots.forecast import forecast_fan
from stockml.plots.style import ACCENT, BEHIND, COLOURS, MODEL, MUTED, TRUTH
from stockml.prices.series import PriceSeries
from stockml.settings import EvaluationSettings
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
    both,
    by_epoch,
    drawn,
    last_night,
    live,
    moves,
    night_before,
    past_forecasts,
    series,
    split,
    tonight,
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
    named = {text.get_text().strip(): (text.get_color(), *as_numbers(text.xy[0])) for text in axes.texts}  # type: ignore[attr-defined]
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


@pytest.mark.parametrize("decades", [1.5, 3, 5, 8])
def test_the_prices_of_a_share_that_rose_or_fell_a_thousandfold_can_be_told_apart(decades: float) -> None:
    """As those of AAPL since 1980, or of one that consolidated its shares again and again."""
    whole = series()
    times = np.geomspace(0.0001, 0.0001 * 10**decades, len(whole)) / whole.close
    risen = PriceSeries(
        whole.sessions, *(getattr(whole, name) * times for name in ("open", "high", "low", "close")), whole.volume
    )
    figure = training.price_history("UP", risen, split())
    figure.draw_without_rendering()
    axes = figure.axes[0]
    low, high = axes.get_ylim()
    shown = [text for text in axes.get_yticklabels() if low <= text.get_position()[1] <= high and text.get_text()]
    assert 3 <= len(shown) <= 16
    boxes = [text.get_window_extent() for text in shown]
    assert all(lower.y1 <= upper.y0 + 1 for lower, upper in pairwise(boxes))
    assert [text.get_text() for text in shown if "e" in text.get_text()] == []


def test_a_change_of_units_is_no_loss_in_the_title() -> None:
    whole = series()
    times = np.where(np.arange(len(whole)) < 2_000, 100.0, 1.0)  # in pence until then, say
    in_pence = (getattr(whole, name) * times for name in ("open", "high", "low", "close"))
    figure = training.price_history("IBM", PriceSeries(whole.sessions, *in_pence, whole.volume), split())
    assert figure.texts[0].get_text() == drawn("history").texts[0].get_text()


def test_the_change_of_a_few_months_is_not_told_as_a_years() -> None:
    short = series().until(100)
    figure = training.price_history("IBM", short, split_origins(100, EvaluationSettings()))
    change = f"{short.close[-1] / short.close[0] - 1:+.1%}"
    assert figure.texts[0].get_text() == f"IBM: {short.close[-1]:.2f} after 100 sessions, {change}"


def test_a_short_history_names_only_the_parts_it_has() -> None:
    parts = split_origins(100, EvaluationSettings())
    assert not parts.validation
    days = series().sessions[:100]
    (axes,) = training.price_history("IBM", series().until(100), parts).axes
    assert [text.get_text().strip() for text in axes.texts] == ["test"]
    assert marks(axes) == [(MODEL, as_numbers(days)[parts.test.start])]


def test_no_line_is_drawn_across_a_long_hole() -> None:
    divided = with_hole(series(), 2_000, 250)
    shown = [training.price_history("IBM", divided, split_origins(len(divided), SETTINGS.evaluation))]
    shown.append(training.normalised("IBM", divided))
    for axes in (axes for figure in shown for axes in figure.axes):
        drawn_apart = [as_numbers(line.get_xdata()) for line in curves(axes) if len(as_numbers(line.get_xdata())) > 2]
        assert [len(days) for days in drawn_apart] == [2_000, len(divided) - 2_000]
        assert np.concatenate(drawn_apart).tolist() == as_numbers(divided.sessions).tolist()


def test_prices_beside_forecasts_and_averages_break_at_a_long_hole_too() -> None:
    """A straight line over months without a bar looked like a price."""
    divided, found = with_hole(series(), len(series()) - 70, 40), assessed("IBM", DAY)
    sessions, mid = divided.sessions, divided.close
    shown = [forecast_fan("IBM", tonight(), sessions, mid)]
    shown.append(training.averages("IBM", sessions, mid, "close", found.evaluation))
    shown.append(comparison.nights(night_before(), last_night(), sessions, both(mid)))
    shown.append(diagnostics.ledger("IBM", past_forecasts(), live(past_forecasts()), sessions, both(mid)))
    for figure in shown:
        truth = next(line for line in curves(figure.axes[0]) if len(as_numbers(line.get_xdata())) not in {1, 51})
        days, prices = as_numbers(truth.get_xdata()), np.asarray(truth.get_ydata(), dtype=np.float64)
        assert days[np.flatnonzero(np.isnan(prices))].tolist() == as_numbers(sessions[-30:-29]).tolist()


def test_where_no_price_moved_no_skill_of_the_averages_is_stated() -> None:
    found = assessed("IBM", DAY).evaluation
    still = {name: replace(step, skill=None) for name, step in found.one_step.items()}
    figure = training.averages("IBM", series().sessions, series().close, "close", replace(found, one_step=still))
    assert figure.texts[1].get_text() == "One step ahead, last 400 sessions"
    short = training.averages(
        "IBM", series().sessions[:100], series().close[:100], "close", replace(found, one_step=still)
    )
    assert short.texts[1].get_text() == "One step ahead, last 99 sessions"


@pytest.mark.parametrize(
    ("skills", "claim"),
    [
        ((-0.2, -0.1), "both averages lag, the last close alone is closer"),
        ((-0.2, 0.1), "how close plain averages come"),
        ((-0.2, None), "how close plain averages come"),
    ],
)
def test_both_averages_are_said_to_lag_only_if_both_do(skills: tuple[float | None, ...], claim: str) -> None:
    found = assessed("IBM", DAY).evaluation
    steps = {
        name: replace(found.one_step[name], skill=skill) for name, skill in zip(training.AVERAGES, skills, strict=True)
    }
    figure = training.averages("IBM", series().sessions, series().close, "close", replace(found, one_step=steps))
    assert figure.texts[0].get_text() == f"IBM: {claim}"


def test_the_skill_of_the_averages_names_the_origins_it_is_of_not_the_sessions_drawn() -> None:
    found = assessed("IBM", DAY).evaluation
    ema, standard = (found.one_step[name].skill or 0 for name in ("EMA", "standard average"))
    assert drawn("averages").texts[1].get_text() == (
        f"One step ahead, last 400 sessions; skill on {found.origins} origins of the test part: "
        f"EMA {ema:+.1f}, standard average {standard:+.1f}"
    )


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
    check_curves(axes, (TRUTH, days, mid[-400:]), (ACCENT, days, said[-401:-1]), (MODEL, days, standard))
    ends = [("price", mid[-1], TRUTH), ("EMA", said[-2], ACCENT), ("standard average", standard[-1], MODEL)]
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
    assert labels(axes) == in_order([("training", loss[-1], MUTED), ("validation", validation[-1], MODEL)])
    assert [text.get_text() for text in below.get_yticklabels()] == ["0.00025", "0.0005", "0.001"]
    assert below.get_yticks() == pytest.approx([0.00025, 0.0005, 0.001])
    assert (axes.get_ylabel(), below.get_ylabel(), below.get_xlabel()) == ("loss", "learning rate", "epoch")
    assert curves(below)[0].get_drawstyle() == "steps-mid"


def test_the_best_epoch_has_the_held_out_networks_lowest_validation_loss() -> None:
    rows: list[dict[str, Any]] = [dict(row) for row in history()]
    rows[1]["validation_loss"], rows[7]["validation_loss"] = 0.1, 0.01
    figure = training.training_curves("IBM", rows)
    circle = curves(figure.axes[0])[-1]
    assert (circle.get_xdata().tolist(), circle.get_ydata().tolist()) == ([2], [0.1])
    assert figure.texts[0].get_text() == "IBM: the validation loss is lowest after epoch 2 of 5"
    seconds = sum(row["seconds"] for row in rows)
    assert figure.texts[1].get_text().endswith(f"{len(rows)} epochs of both networks in {seconds:.0f} s")


def test_every_epochs_paths_are_drawn_above_and_the_best_epochs_below() -> None:
    """Below is only the epoch nearest to what happened, here the last; above, later epochs are darker."""
    above, below = drawn("evolution").axes
    sessions, mid, at = series().sessions, series().mid, assessed("IBM", DAY).test_origins[::5]
    shown = slice(at[0] - 50, at[-1] + 51)
    truth = (TRUTH, sessions[shown], mid[shown])
    paths = [
        [(ACCENT, sessions[o + 1 : o + 51], path) for o, path in zip(at, epoch, strict=True)] for epoch in by_epoch()
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


def test_the_best_epoch_is_the_nearest_to_what_happened() -> None:
    at = assessed("IBM", DAY).test_origins[::5]
    figure = training.evolution("IBM", series().sessions, series().mid, at, by_epoch()[::-1])
    assert figure.texts[0].get_text() == "IBM: the test predictions are best after epoch 1 of 4"
    best = curves(figure.axes[1])[1]
    np.testing.assert_allclose(best.get_ydata(), by_epoch()[3][0])
    assert to_rgba(best.get_color()) == to_rgba(ACCENT)
