"""The tutorial's prices: every line of a sound file, as it stands; a line that is wrong is refused
by its session."""

from pathlib import Path

import pytest

from stockml.errors import InvalidFile
from stockml.evaluation.tutorial_report import prices_of, untrained_report
from stockml.prices.bars import Bars, days_of
from tests.support.recordings import recorded

IBM = recorded("IBM").iloc[-300:]
DAY = days_of(IBM)[100]
PRICES = ["open", "high", "low", "close"]


def saved(folder: Path, bars: Bars, name: str = "ibm.us.txt") -> Path:
    bars.to_csv(path := folder / name, index_label="Date", date_format="%Y-%m-%d")
    return path


@pytest.mark.parametrize(
    ("columns", "values", "why"),
    [
        (PRICES, [0.0] * 4, "expected finite prices above 0"),
        (["high", "low"], IBM[["low", "high"]].iloc[100].tolist(), "expected low ≤ open"),
        (PRICES, (100 * IBM[PRICES].iloc[100]).tolist(), "times the close before"),
    ],
)
def test_a_line_that_no_market_gives_is_refused_by_its_session(
    tmp_path: Path, columns: list[str], values: list[float], why: str
) -> None:
    bars = IBM.copy()
    bars.loc[IBM.index[100], columns] = values
    with pytest.raises(
        InvalidFile,
        match=rf"ibm\.us\.txt: session {DAY}: .*{why}.*; correct it, or leave its line out",
    ):
        prices_of(saved(tmp_path, bars))


@pytest.mark.parametrize(("decay_on", "sessions"), [("test", 300), ("validation", 603)])
def test_a_file_too_short_for_the_recipe_is_named_and_told_how_many_sessions_are_enough(
    tmp_path: Path, decay_on: str, sessions: int
) -> None:
    bars, changed = recorded("IBM"), {"training.decay_on": decay_on}
    short, enough = (
        saved(tmp_path, bars.tail(sessions), "short.csv"),
        saved(tmp_path, bars.tail(604)),
    )
    with pytest.raises(
        InvalidFile,
        match=rf"short\.csv: expected at least 604 sessions .*, found {sessions}; use a",
    ):
        untrained_report(short, changed)
    assert len(untrained_report(enough, changed).fitted.recipe.test) == 1
