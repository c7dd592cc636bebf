"""The tutorial's pictures, each drawn from its own report's values and no others, and its
tables."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from stockml.evaluation.tutorial_report import TutorialReport, seed_table
from stockml.models.tutorial.recipe import one_step_errors, path_errors
from stockml.plots.style import ACCENT, GRID, MODEL, TRUTH
from stockml.plots.tutorial import FIGURES, draw
from stockml.settings import tutorial_settings
from stockml.training.tutorial import Recipe, TutorialFit
from tests.stockml.plots.drawing import Curve, as_numbers, check_curves, curves, labels, marks

N, END = 3_300, 3_006


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


@cache
def usual() -> TutorialReport:
    return report()


def test_the_price_is_drawn_over_its_dates_and_the_test_part_is_marked() -> None:
    (axes,) = FIGURES["1-history"](usual()).axes
    check_curves(axes, (TRUTH, usual().sessions, usual().mid))
    assert marks(axes) == [(MODEL, as_numbers(usual().sessions)[END])]


def test_the_smoothed_curve_ends_where_the_training_part_does() -> None:
    for axes, first in zip(FIGURES["2-normalised"](usual()).axes, (0, END - 250), strict=True):
        raw, smoothed = curves(axes)
        shown = slice(first, END if first else N)
        prepared = usual().fitted.recipe.prepared
        scaled = (usual().mid - prepared.low) / (prepared.high - prepared.low)
        assert raw.get_xdata(orig=False).tolist() == as_numbers(usual().sessions[shown]).tolist()
        assert raw.get_ydata() == pytest.approx(scaled[shown])
        assert (
            smoothed.get_xdata(orig=False).tolist()
            == as_numbers(usual().sessions[first:END]).tolist()
        )
        assert (
            smoothed.get_ydata().tolist()
            == usual().fitted.recipe.prepared.values[first:END].tolist()
        )
    dates, whole = as_numbers(usual().sessions), FIGURES["2-normalised"](usual()).axes[0]
    assert marks(whole) == [(GRID, dates[2_500]), (MODEL, dates[END])], (
        "each window has a scale of its own"
    )


@pytest.mark.parametrize("name", ["3-standard-average", "4-ema"])
def test_an_average_is_drawn_over_the_whole_series_and_its_error_given_beside_the_last_values(
    name: str,
) -> None:
    figure, values, said, running = (
        FIGURES[name](usual()),
        usual().fitted.recipe.prepared.values,
        [],
        0.0,
    )
    for i in range(N):
        said.append(values[i - 100 : i].mean() if "standard" in name and i >= 100 else running)
        running = 0.5 * running + 0.5 * values[i]
    first = 100 if "standard" in name else 1
    for axes, shown in zip(figure.axes, (slice(first, N), slice(END - 250, END)), strict=True):
        days = usual().sessions[shown]
        check_curves(axes, (TRUTH, days, values[shown]), (ACCENT, days, said[shown]))
    errors = [0.5 * (said[i] - values[i]) ** 2 for i in range(first, END)]
    last = [0.5 * (values[i - 1] - values[i]) ** 2 for i in range(1, END)]
    title, subtitle = (text.get_text() for text in figure.texts)
    assert f"MSE {np.mean(errors):.5f} (page 0.00" in title
    assert f"last value as it is {np.mean(last):.5f}" in subtitle


def test_over_50_steps_the_ema_stays_at_its_first_step() -> None:
    axes, below = FIGURES["5-ema-many-steps"](usual()).axes
    assert curves(axes)[0].get_ydata() == pytest.approx(np.full(50, 0.45))
    assert any("0.5 · 0.5 + 0.5 · 0.4 = 0.45" in text.get_text() for text in axes.texts)
    prepared, starts, running, constants = (
        usual().fitted.recipe.prepared,
        usual().fitted.recipe.test.tolist(),
        0.0,
        [],
    )
    for i in range(starts[-1]):
        running = 0.5 * running + 0.5 * prepared.values[i]
        if i + 1 in starts:  # all that is known before it, back in price
            level = prepared.low[i] + running * (prepared.high[i] - prepared.low[i])
            constants.append((ACCENT, usual().sessions[i + 1 : i + 51], np.full(50, level)))
    shown = slice(starts[0] - 50, starts[-1] + 50)
    check_curves(below, (TRUTH, usual().sessions[shown], usual().mid[shown]), *constants)


def test_the_batches_show_inputs_and_the_labels_drawn_for_them() -> None:
    values = usual().fitted.recipe.prepared.values
    axes = FIGURES["6-batches"](usual()).axes
    for stream, panel in enumerate(axes):
        first = stream * ((END - 5) // 5)
        assert panel.get_title() == str(usual().sessions[first])
        near, inputs, drawn = curves(panel)
        assert (near.get_color(), near.get_xdata().tolist()) == (GRID, list(range(9)))
        assert near.get_ydata().tolist() == values[first : first + 9].tolist()
        assert inputs.get_xdata().tolist() == [0, 1, 2, 3, 4]
        assert inputs.get_ydata().tolist() == values[first : first + 5].tolist()
        ahead = drawn.get_xdata() - inputs.get_xdata()
        assert set(ahead.tolist()) <= {1, 2, 3, 4}
        assert drawn.get_ydata().tolist() == values[first + drawn.get_xdata()].tolist()
        tips, tails = (
            np.array([getattr(arrow, end) for arrow in panel.texts]) for end in ("xy", "xyann")
        )
        assert (tips.tolist(), tails.tolist()) == (
            drawn.get_xydata().tolist(),
            inputs.get_xydata().tolist(),
        )


def test_predictions_fade_in_over_the_epochs_above_and_the_best_epoch_stands_alone_below() -> None:
    found = report(shift=0.1)  # the last epoch predicts the last value, the others more
    above, below = FIGURES["7-predictions"](found).axes
    check_curves(below, _truth(found), *_predicted(found, 2))
    check_curves(above, _truth(found), *_predicted(found, 0))
    assert curves(above)[1].get_alpha() == 0.9, "the newest epoch drawn, not the palest"
    title, subtitle = (text.get_text() for text in FIGURES["7-predictions"](found).texts)
    assert f"best epoch 3 of 3, MSE {found.by_epoch[2]:.5f}" in title
    assert f"last value {found.paths['last value']:.5f}" in subtitle
    assert title.startswith("LSTM does not predict “correctly”: "), "the last value is as good"
    better = FIGURES["7-predictions"](report(shift=0.02)).texts[0].get_text()
    assert better.startswith("LSTM predicts “correctly most of the time”: ")
    assert [text for text, _ in labels(below)]


def _predicted(found: TutorialReport, epoch: int) -> list[Curve]:
    starts, paths = found.fitted.recipe.test.tolist(), found.fitted.test_predictions[epoch]
    return [
        (ACCENT, found.sessions[s : s + 50], path) for s, path in zip(starts, paths, strict=True)
    ]


def _truth(found: TutorialReport) -> Curve:
    starts = found.fitted.recipe.test
    shown = slice(int(starts[0]) - 50, int(starts[-1]) + 50)
    return TRUTH, found.sessions[shown], found.fitted.recipe.prepared.values[shown]


@pytest.mark.slow
def test_every_picture_is_written_in_the_pages_order_and_differs_for_other_data(
    tmp_path: Path,
) -> None:
    here, there = (
        {p.name: p.read_bytes() for p in draw(report(seed=i), tmp_path / str(i))} for i in (0, 1)
    )
    order = [
        "history",
        "normalised",
        "standard-average",
        "ema",
        "ema-many-steps",
        "batches",
        "predictions",
    ]
    assert list(here) == [f"{i}-{name}.png" for i, name in enumerate(order, 1)]
    assert [name for name, content in here.items() if there[name] == content] == []


def test_the_table_has_the_page_beside_ours_and_the_last_value() -> None:
    lines = usual().table().splitlines()
    assert lines[0].startswith(
        f"HPQ: {N:,} sessions from 2001-01-01 to 2010-01-13, {END:,} of them the training part"
    )
    assert lines[1].endswith("streams, as many as its length allows")
    assert [line.split()[-1] for line in lines[3:5]] == ["0.00418", "0.00003"]
    assert lines[5].split()[-1] == f"{usual().one_step['last value']:.5f}"
    cells = {line[26:64].strip(): line[64:].split() for line in lines[6:12]}
    assert cells["last value"] == [f"{usual().paths['last value']:.5f}"]
    assert cells["LSTM, as epoch 3 left it"] == [f"{usual().by_epoch[2]:.5f}", "0.00243"]
    assert cells["LSTM, epoch 2, by validation"] == [f"{usual().by_epoch[1]:.5f}"]
    assert any(
        line.startswith("best epoch ") and f"{min(usual().by_epoch):.5f}" in line for line in lines
    )
    assert "correlation +0.20; direction over 30 sessions right after" in usual().table()
    published = report(decay_on="test").table()
    assert "seed 0; rate decayed on the test part" in published
    assert "by validation" not in published, "nothing was left to choose by"


def test_every_figure_is_of_the_epoch_that_it_names_in_the_table_and_in_mlflow() -> None:
    """The first epoch is the best by test, the second is chosen by validation, the third is the
    last."""
    found = report(shift=-0.1)
    rows = tuple(
        row | {"correlation": 0.1 * epoch} for epoch, row in enumerate(found.fitted.history, 1)
    )
    said, starts = found.fitted.test_predictions.copy(), found.fitted.recipe.test
    values, last = (
        found.fitted.recipe.prepared.values,
        found.fitted.recipe.prepared.values[starts - 1],
    )
    said[[0, 2]] = last[:, None] + 0.1  # rises, where the chosen one says a fall
    found = replace(found, fitted=replace(found.fitted, history=rows, test_predictions=said))
    best, chosen, newest = (row["test_loss"] for row in rows)
    assert best < chosen < newest
    rose = int((values[starts + 29] > last).sum())
    expected = {
        "best/epoch": 1,
        "best/LSTM": best,
        "paths/LSTM": chosen,
        "paths/LSTM last epoch": newest,
    }
    expected |= {"correlation": 0.2, "direction/rose": rose, "direction/right": len(starts) - rose}
    assert found.figures().items() >= expected.items()
    cells = {line[26:64].strip(): line[64:].split()[:1] for line in found.table().splitlines()}
    assert cells["LSTM, as epoch 3 left it"] == [f"{newest:.5f}"]
    assert cells["LSTM, epoch 2, by validation"] == [f"{chosen:.5f}"]
    assert cells["LSTM, best epoch 1, by test"] == [f"{best:.5f}"]
    assert f"best epoch 1 of 3: {best:.5f};" in found.table()
    assert (
        f"right after {len(starts) - rose} of {len(starts)} starts, the price rose after {rose}"
        in found.table()
    )


def better(found: TutorialReport) -> TutorialReport:
    """The same report, with the chosen epoch half as wrong as the last value."""
    half = {
        **found.fitted.history[found.fitted.chosen - 1],
        "test_loss": found.paths["last value"] / 2,
    }
    rows = [
        half if number == found.fitted.chosen else row
        for number, row in enumerate(found.fitted.history, 1)
    ]
    return replace(found, fitted=replace(found.fitted, history=tuple(rows)))


def test_the_luck_table_has_each_shares_spread_over_its_seeds() -> None:
    reports = [better(report("HPQ")), report("HPQ", 0.05), report("KO", 0.05)]
    head, _, hpq, ko, *_ = seed_table(reports).splitlines()
    assert "page" in head
    errors = [each.lstm for each in reports]
    assert (
        f"| HPQ | 0.00243 | {np.mean(errors[:2]):.5f} | {min(errors[:2]):.5f} … "
        f"{max(errors[:2]):.5f} |"
    ) in hpq
    stays = reports[0].paths
    beat = sum(error < stays["last value"] for error in errors[:2])
    constants = " | ".join(
        f"{stays[name]:.5f}" for name in ("last value", "EMA", "standard average")
    )
    assert hpq.endswith(f"| {beat} of 2 | {constants} |")
    assert ko.startswith(f"| KO | – | {errors[2]:.5f} | {errors[2]:.5f} … {errors[2]:.5f} | ")
    assert 0 < beat < 2
    assert seed_table(reports).endswith(" starts (HPQ 5, KO 5); 3 epochs, the best by validation.")
    fitted = reports[2].fitted
    single = replace(
        fitted, recipe=replace(fitted.recipe, settings=tutorial_settings({"training.epochs": 1}))
    )
    assert "; 1 epoch, the best" in seed_table([replace(reports[2], fitted=single)])
