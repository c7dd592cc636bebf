"""The expected volatility stands at its origins, over what the closes then did: found again here by a loop."""

import numpy as np
import pytest

from stockml.plots import diagnostics
from stockml.plots.style import MODEL, MUTED
from tests.stockml.plots.drawing import as_numbers, check_curves, in_order, labels
from tests.stockml.plots.recorded import DAY, drawn, series
from tests.support.nights import assessed


def realised() -> list[float]:
    close = series().close
    sums = [
        sum(np.log(close[o + k] / close[o + k - 1]) ** 2 for k in range(1, 21)) for o in assessed("IBM", DAY).unseen
    ]
    return [100 * float(np.sqrt(each / 20 * 252)) for each in sums]


def test_what_was_expected_stands_over_what_came() -> None:
    (axes,), found = drawn("volatility").axes, assessed("IBM", DAY)
    days, tonight = series().sessions[found.unseen], found.forecast.outlook[1]
    dot = (MODEL, series().sessions[-1:], [100 * tonight.volatility])
    check_curves(axes, (MODEL, days, 100 * found.volatility), dot)
    area = axes.collections[0].get_paths()[0].vertices
    assert area[:, 1].max() == pytest.approx(max(realised()))
    for day, height in zip(as_numbers(days), realised(), strict=True):
        assert np.isclose(area, (day, height)).all(axis=1).any()
    ends = [
        (f"tonight {tonight.volatility:.1%}", 100 * tonight.volatility, MODEL),
        ("what came", realised()[-1], MUTED),
    ]
    assert labels(axes) == in_order(ends)


def test_where_nothing_is_said_of_20_sessions_the_past_is_drawn_alone() -> None:
    found = assessed("IBM", DAY)
    figure = diagnostics.volatility("IBM", series(), found.unseen, found.volatility, None)
    assert figure.texts[0].get_text().startswith("IBM: how far the price was expected to go")
    assert next(text for text, _ in labels(figure.axes[0])) in ("expected", "what came")
