"""Expected volatility is drawn at its origins over what the closes then did, which a loop
recomputes here."""

import numpy as np
import pytest

from stockml.plots import diagnostics
from stockml.plots.style import MODEL, MUTED
from tests.stockml.plots.drawing import as_numbers, check_curves, in_order, labels
from tests.stockml.plots.recorded import DAY, drawn, series, with_hole
from tests.support.nights import assessed


def realised(span: int = 20) -> list[float]:
    """After every session from the first origin to the last: volatility a year, in percent, of the
    next `span`."""
    close, unseen = series().close, assessed("IBM", DAY).unseen
    sums = [
        sum(np.log(close[o + k] / close[o + k - 1]) ** 2 for k in range(1, span + 1))
        for o in range(unseen[0], unseen[-1] + 1)
    ]
    return [100 * float(np.sqrt(each / span * 252)) for each in sums]


def test_what_was_expected_is_drawn_over_what_came_and_breaks_where_nothing_was_expected() -> None:
    (axes,), found = drawn("volatility").axes, assessed("IBM", DAY)
    days, tonight = series().sessions[found.unseen], found.forecast.outlook[1]
    dot = (MODEL, series().sessions[-1:], [100 * tonight.volatility])
    # of the test part, which holds no outcome of an earlier one
    first = len(found.unseen) - len(found.test_origins)
    assert found.unseen[first] - found.unseen[first - 1] > 50
    parts = [
        (MODEL, days[rows], 100 * found.volatility[rows])
        for rows in (slice(first), slice(first, None))
    ]
    check_curves(axes, *parts, dot)
    area = axes.collections[0].get_paths()[0].vertices
    assert area[:, 1].max() == pytest.approx(max(realised()))
    since = series().sessions[found.unseen[0] : found.unseen[-1] + 1]
    for day, height in zip(as_numbers(since), realised(), strict=True):
        assert np.isclose(area, (day, height)).all(axis=1).any()
    ends = [
        (f"tonight {tonight.volatility:.1%}", 100 * tonight.volatility, MODEL),
        ("realised", realised()[-1], MUTED),
    ]
    assert labels(axes) == in_order(ends)


def test_sessions_whose_next_20_span_a_long_hole_have_no_realised_volatility() -> None:
    hole, found = 2_000, assessed("IBM", DAY)
    divided = with_hole(series(), hole, 250)
    came = diagnostics.realised_after(divided, np.arange(hole - 30, hole + 30), 20)
    assert np.flatnonzero(np.isnan(came)).tolist() == list(range(10, 30))  # the last 20 before it
    at = np.array([hole - 40, hole - 30, hole + 40])
    (axes,) = diagnostics.volatility(
        "IBM", divided, at, np.full(3, 0.2), found.forecast.outlook[1], 20
    ).axes
    assert len(axes.collections[0].get_paths()) == 2
