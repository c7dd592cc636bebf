"""The tutorial's prices: every line of a sound file, as it stands; a line that is wrong is refused by its session."""

from pathlib import Path

import numpy as np
import pytest

from stockml.errors import InvalidFile
from stockml.evaluation.tutorial_report import prices_of, share_of, untrained_report
from stockml.prices.bars import Bars, days_of
from tests.support.kaggle import LONG, kaggle_folder, kaggle_mid
from tests.support.recordings import recorded

IBM = recorded("IBM").iloc[-300:]
DAY = days_of(IBM)[100]
PRICES = ["open", "high", "low", "close"]


def saved(folder: Path, bars: Bars, name: str = "ibm.us.txt") -> Path:
    bars.to_csv(path := folder / name, index_label="Date", date_format="%Y-%m-%d")
    return path


def test_a_share_is_named_as_an_import_names_it_and_any_other_file_by_its_first_word() -> None:
    names = ("hpq.us.txt", "brk.a.us.txt", "brk.b.us.txt", "my prices, of old.csv")
    assert [share_of(Path(name)) for name in names] == ["HPQ", "BRK.A", "BRK.B", "MY PRICES, OF OLD"]
    assert share_of(Path("in $\\frac$\n```\n\x1b[31m\u202e.txt")) == "IN \\FRAC ``` ?[31M?", (
        "a plot, note or terminal obeys it"
    )


@pytest.mark.parametrize("share", LONG)
def test_the_published_files_are_read_line_by_line(share: str) -> None:
    sessions, mid = prices_of(kaggle_folder() / "Stocks" / f"{share}.us.txt")
    assert np.array_equal(mid, kaggle_mid(share))
    assert len(sessions) == len(mid)


@pytest.mark.parametrize(
    ("columns", "values", "why"),
    [
        (PRICES, [0.0] * 4, "expected finite prices above 0"),
        (PRICES, [-5.0] * 4, "expected finite prices above 0"),
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
        InvalidFile, match=rf"ibm\.us\.txt: session {DAY}: .*{why}.*; correct it, or leave its line out"
    ):
        prices_of(saved(tmp_path, bars))


def test_a_second_bar_of_a_session_is_refused_and_a_second_line_of_it_is_not(tmp_path: Path) -> None:
    path = saved(tmp_path, IBM)
    line = path.read_text().splitlines()[101]
    path.write_text(path.read_text() + line + "\n")
    assert len(prices_of(path)[0]) == 300
    path.write_text(path.read_text() + line.partition(",")[0] + ",200,201,199,200,1\n")
    with pytest.raises(InvalidFile, match=f"found two different ones of {DAY}"):
        prices_of(path)


def test_a_line_without_prices_is_left_out_and_a_day_without_trades_or_a_session_is_not(tmp_path: Path) -> None:
    bars = IBM.copy()
    bars.iloc[100] = np.nan
    bars.iloc[50, 4] = 0
    path = saved(tmp_path, bars, "^any name.csv")
    path.write_text(path.read_text() + "2013-03-02,200,201,199,200,1\n")
    sessions, mid = prices_of(path)
    assert sessions.tolist() == [*np.delete(days_of(IBM), 100).tolist(), np.datetime64("2013-03-02").item()]
    assert np.array_equal(mid[:100], ((IBM["high"] + IBM["low"]) / 2).to_numpy()[:100])


@pytest.mark.parametrize(("decay_on", "sessions"), [("validation", 300), ("test", 600), ("validation", 603)])
def test_a_file_too_short_for_the_recipe_is_named_and_told_how_many_sessions_are_enough(
    tmp_path: Path, decay_on: str, sessions: int
) -> None:
    bars, changed = recorded("IBM"), {"training.decay_on": decay_on}
    short, enough = saved(tmp_path, bars.tail(sessions), "short.csv"), saved(tmp_path, bars.tail(604))
    with pytest.raises(InvalidFile, match=rf"short\.csv: expected at least 604 sessions .*, found {sessions}; use a"):
        untrained_report(short, changed)
    assert len(untrained_report(enough, changed).fitted.recipe.test) == 1
