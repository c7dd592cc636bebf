"""An imported file has one bar a session in one unit: weekly files, and lasting steps of the price,
are refused."""

from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from stockml.errors import InvalidFile
from stockml.prices.bars import Bars, days_of
from stockml.prices.calendar import sessions_for
from stockml.prices.csv_import import import_file, read_folder, read_history
from stockml.prices.store import BarStore
from tests.stockml.prices.stored import IBM, NOW

NEW_YORK = sessions_for("IBM")


def saved(folder: Path, bars: Bars) -> Path:
    bars.to_csv(path := folder / "IBM.csv", index_label="Date")
    return path


@pytest.mark.parametrize("apart", [2, 5, 21])
def test_a_file_whose_rows_are_more_than_a_session_apart_is_refused(
    tmp_path: Path, apart: int
) -> None:
    path = saved(tmp_path, IBM.iloc[: 60 * apart : apart])
    with pytest.raises(
        InvalidFile, match=f"expected daily bars, found one every {apart} sessions: is it a weekly"
    ):
        read_history(path, NEW_YORK)
    assert list(read_folder(tmp_path)[1]) == ["IBM.csv"]


def test_a_thinly_traded_share_is_read_and_its_missing_sessions_are_counted(
    tmp_path: Path, store: BarStore
) -> None:
    """Days without a trade have no row; and a hole's own sessions may be few and far from their
    neighbours."""
    thin = IBM.iloc[np.flatnonzero(np.random.default_rng(1).random(1000) < 0.2)]
    report = import_file(store, saved(tmp_path, thin), recorded_at=NOW)
    within = IBM.loc[thin.index[0] : thin.index[-1]]
    assert (report.sessions, report.missing) == (len(thin), len(within) - len(thin))
    assert report.missing > 700
    few = IBM.iloc[[0, 500, 600]]
    assert (
        days_of(read_history(saved(tmp_path, few), NEW_YORK).bars).tolist() == days_of(few).tolist()
    )


def stepped(factor: float, *, at: int = 100, gone: int = 0, sold: float = 1.0) -> Bars:
    """IBM's newest 300 sessions, multiplied by `factor` from `at` on, without the `gone` sessions
    before it."""
    bars = IBM.iloc[-300:].copy()
    bars.iloc[at:, :4] *= factor
    bars.iloc[at, 4] *= sold
    return bars.drop(bars.index[at - gone : at])


@pytest.mark.parametrize("gone", [0, 20])
@pytest.mark.parametrize(
    "factor", [6, 10, 13, 20, 50, 70, 100, 130, 200, 1000, 1e4, 0.15, 0.1, 0.01, 0.001]
)
def test_a_lasting_step_of_the_price_is_refused_with_both_sessions_and_the_ratio(
    tmp_path: Path, factor: float, gone: int
) -> None:
    bars = stepped(factor, gone=gone)
    before, after = days_of(bars)[99 - gone : 101 - gone]
    ratio = bars["close"].iloc[100 - gone] / bars["close"].iloc[99 - gone]
    with pytest.raises(InvalidFile) as refusal:
        read_history(saved(tmp_path, bars), NEW_YORK)
    assert "expected prices of one scale" in str(refusal.value)
    assert f"on {after}, {ratio:.4g} times the " in str(refusal.value)
    assert f"of {before}" in str(refusal.value)


@pytest.mark.parametrize(
    ("factor", "sold", "wild", "believed"),
    [
        (0.12, 30.0, 1.3, True),  # as KERX fell on 2008-03-10, on 3.4 times the money
        (0.19, 18.0, 1.2, True),  # as CLSN did on 2013-01-31, on 3.2 times
        # as a bankruptcy ends: for less money than usual, at prices that nobody agrees on
        (
            0.06,
            8.0,
            2.0,
            True,
        ),
        (10.0, 60.0, 2.5, True),
        # as FBP's splits are in the wrong place, 1.5 times the usual money
        (
            0.06,
            25.0,
            1.15,
            False,
        ),
        (0.06, 1.5, 3.0, False),
        (17.0, 0.4, 1.2, False),  # as CPF's: the money alone says nothing
    ],
)
def test_a_step_is_believed_if_far_more_was_traded_than_a_split_explains(
    tmp_path: Path, factor: float, sold: float, wild: float, believed: bool
) -> None:
    bars = stepped(factor, sold=sold)
    bars.iloc[100, 1] = wild * bars["low"].iloc[100]
    with nullcontext() if believed else pytest.raises(InvalidFile, match="of one scale"):
        assert len(read_history(saved(tmp_path, bars), NEW_YORK).bars) == 300
