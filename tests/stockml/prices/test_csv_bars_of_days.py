"""An imported file has one bar a session in one unit: weekly files, and lasting steps of the price, are refused."""

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
def test_a_file_whose_rows_are_more_than_a_session_apart_is_refused(tmp_path: Path, apart: int) -> None:
    path = saved(tmp_path, IBM.iloc[: 60 * apart : apart])
    with pytest.raises(InvalidFile, match=f"expected daily bars, found one every {apart} sessions: is it a weekly"):
        read_history(path, NEW_YORK)
    assert list(read_folder(tmp_path)[1]) == ["IBM.csv"]


def test_weeks_and_months_that_are_dated_by_a_day_without_a_session_are_called_that(tmp_path: Path) -> None:
    mondays = IBM.resample("W-MON", label="left", closed="left").last().iloc[:200]
    firsts = IBM.resample("MS").last().iloc[:60]
    for bars, about in ((mondays, 5), (firsts, 21)):
        with pytest.raises(InvalidFile, match=f"found one every {about} sessions"):
            read_history(saved(tmp_path, bars), NEW_YORK)


def test_a_thinly_traded_share_is_read_and_its_missing_sessions_are_counted(tmp_path: Path, store: BarStore) -> None:
    """Days without a trade have no row; and a hole's own sessions may be few and far from their neighbours."""
    thin = IBM.iloc[np.flatnonzero(np.random.default_rng(1).random(1000) < 0.2)]
    report = import_file(store, saved(tmp_path, thin), recorded_at=NOW)
    within = IBM.loc[thin.index[0] : thin.index[-1]]
    assert (report.sessions, report.missing) == (len(thin), len(within) - len(thin))
    assert report.missing > 700
    few = IBM.iloc[[0, 500, 600]]
    assert days_of(read_history(saved(tmp_path, few), NEW_YORK).bars).tolist() == days_of(few).tolist()
