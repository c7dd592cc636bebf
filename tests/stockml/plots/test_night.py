"""A night's plots are drawn with it, once."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from stockml.home import HomePaths, current_home
from stockml.nights.key_figures import keep_newest
from stockml.nights.record import Night, night_path, write_night
from stockml.plots.night import draw, makers
from stockml.tracking.run_content import plot_names
from tests.support.nights import assessed, recorded_night, series_until, trained, with_files

DAY = date(2013, 2, 28)
FIGURES = (
    "averages",
    "calibration",
    "forecast",
    "history",
    "leads",
    "normalised",
    "residuals",
    "training",
    "volatility",
)


@pytest.fixture
def place(tmp_path: Path) -> HomePaths:
    return current_home({"STOCKML_HOME": str(tmp_path)})


def kept(place: HomePaths, **changes: object) -> Night:
    night = with_files(
        recorded_night(day=DAY, plots_folder=str(place.plots / "IBM" / "0f")), place.root
    )
    return replace(night, **changes)


@pytest.mark.slow
def test_missing_plots_are_drawn_once_and_existing_ones_stay(place: HomePaths) -> None:
    night = kept(place, figures=FIGURES)
    made = makers(place, night, series_until("IBM", DAY), assessed("IBM", DAY), trained("IBM", DAY))
    assert set(made) == set(FIGURES)
    [forecast] = draw(made, ["forecast"], folder := Path(night.plots_folder or ""))
    before = forecast.stat()
    assert {path.stem for path in draw(made, made, folder)} == set(FIGURES) - {"forecast"}
    assert forecast.stat() == before
    assert plot_names(night) == FIGURES


def test_changes_are_plotted_only_where_there_is_an_earlier_night(place: HomePaths) -> None:
    night = kept(place, figures=("changes",))
    with_it = (place, night, series_until("IBM", DAY), assessed("IBM", DAY), trained("IBM", DAY))
    assert "changes" not in makers(*with_it)
    before = recorded_night(day=date(2013, 2, 27))
    write_night(before, night_path(place.nights, "IBM", before.key))
    keep_newest(place.nights, before)
    assert "changes" in makers(*with_it)
    kept_whole = night_path(place.nights, "IBM", before.key).read_bytes()
    night_path(place.nights, "IBM", before.key).write_text("{")
    assert "changes" not in makers(*with_it), (
        "a damaged record is no earlier night, and does not end tonight's"
    )
    night_path(place.nights, "IBM", before.key).write_bytes(kept_whole)
    # a later night does not hide the earlier one
    keep_newest(place.nights, recorded_night(day=date(2013, 3, 1)))
    assert "changes" in makers(*with_it)
    assert [path.name for path in draw(makers(*with_it), ["changes"], place.plots)] == [
        "changes.png"
    ]
