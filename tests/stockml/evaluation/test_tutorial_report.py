"""The tutorial's prices: every line of a sound file, as it stands; a line that is wrong is refused
by its session."""

from dataclasses import replace

import pytest

from stockml.errors import InvalidFile
from stockml.evaluation.tutorial_report import prices_of, untrained_report
from stockml.prices.bars import days_of
from tests.stockml.plots.recorded import report
from tests.support.recordings import recorded

IBM = recorded("IBM").iloc[-300:]
DAY = days_of(IBM)[100]
PRICES = ["open", "high", "low", "close"]


def saved(folder, bars, name="ibm.us.txt"):
    bars.to_csv(path := folder / name, index_label="Date", date_format="%Y-%m-%d")
    return path


def test_a_line_that_no_market_gives_is_refused_by_its_session(tmp_path):
    for columns, values, why in (
        (PRICES, [0.0] * 4, "expected finite prices above 0"),
        (["high", "low"], IBM[["low", "high"]].iloc[100].tolist(), "expected low ≤ open"),
        (PRICES, (100 * IBM[PRICES].iloc[100]).tolist(), "times the close before"),
    ):
        bars = IBM.copy()
        bars.loc[IBM.index[100], columns] = values
        says = rf"ibm\.us\.txt: session {DAY}: .*{why}.*; correct it, or leave its line out"
        with pytest.raises(InvalidFile, match=says):
            prices_of(saved(tmp_path, bars))


def test_a_file_too_short_for_the_recipe_is_named_and_told_how_many_sessions_are_enough(tmp_path):
    for decay_on, sessions in (("test", 300), ("validation", 603)):
        bars, changed = recorded("IBM"), {"training.decay_on": decay_on}
        short = saved(tmp_path, bars.tail(sessions), "short.csv")
        enough = saved(tmp_path, bars.tail(604))
        says = rf"short\.csv: expected at least 604 sessions .*, found {sessions}; use a"
        with pytest.raises(InvalidFile, match=says):
            untrained_report(short, changed)
        assert len(untrained_report(enough, changed).fitted.recipe.test) == 1


def test_every_figure_of_the_tutorial_is_of_the_epoch_that_it_names():
    """The first epoch is the best by test, the second is chosen by validation, the third is the
    last."""
    found = report(shift=-0.1)
    fitted = found.fitted
    rows = tuple(row | {"correlation": 0.1 * at} for at, row in enumerate(fitted.history, 1))
    said, starts = fitted.test_predictions.copy(), fitted.recipe.test
    values = fitted.recipe.prepared.values
    last = values[starts - 1]
    said[:] = last[:, None] + 0.1
    said[1, :, 29] -= 0.2  # the chosen one says a fall, at the direction's step alone
    found = replace(found, fitted=replace(fitted, history=rows, test_predictions=said))
    best, chosen, newest = (row["test_loss"] for row in rows)
    assert best < chosen < newest
    rose = int((values[starts + 29] > last).sum())
    expected = {
        "best/epoch": 1,
        "best/LSTM": best,
        "paths/LSTM": chosen,
        "paths/LSTM last epoch": newest,
        "correlation": 0.2,
        "direction/rose": rose,
        "direction/right": len(starts) - rose,
    }
    assert found.figures().items() >= expected.items()
    cells = {line[26:64].strip(): line[64:].split()[:1] for line in found.table().splitlines()}
    assert (
        cells.items()
        >= {
            "LSTM, as epoch 3 left it": [f"{newest:.5f}"],
            "LSTM, epoch 2, by validation": [f"{chosen:.5f}"],
            "LSTM, best epoch 1, by test": [f"{best:.5f}"],
        }.items()
    )
