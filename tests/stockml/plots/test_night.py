"""A night's plots: those on its page are drawn with it, the others when asked for, and all where nobody can ask."""

import re
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from stockml.errors import InvalidFile, OtherVersion
from stockml.home import HomePaths, current_home
from stockml.models.trained_model import load_model
from stockml.nights.key_figures import keep_newest
from stockml.nights.record import Night, night_path, read_night, write_night
from stockml.plots.night import draw, draw_rest, makers
from stockml.prices.series import PriceSeries
from stockml.tracking.run_content import plot_names
from tests.support.nights import assessed, recorded_night, series_until, trained, with_files
from tests.support.recordings import recorded

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
    night = with_files(recorded_night(day=DAY, plots_folder=str(place.plots / "IBM" / "0f")), place.root)
    return replace(night, **changes)


@pytest.mark.slow
def test_missing_plots_are_drawn_once_and_existing_ones_stay(place: HomePaths) -> None:
    night = kept(place, figures=FIGURES)
    made = makers(place, night, series_until("IBM", DAY), assessed("IBM", DAY), trained("IBM", DAY))
    assert set(made) == set(FIGURES)
    [forecast] = draw(made, ["forecast"], Path(night.plots_folder or ""))
    before = forecast.stat()
    assert plot_names(night) == FIGURES
    assert {path.stem for path in draw_rest(place, night)} == set(FIGURES) - {"forecast"}
    assert forecast.stat() == before
    assert draw_rest(place, night) == ()


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
    assert "changes" not in makers(*with_it), "a damaged record is no earlier night, and does not end tonight's"
    night_path(place.nights, "IBM", before.key).write_bytes(kept_whole)
    keep_newest(place.nights, recorded_night(day=date(2013, 3, 1)))  # a later night does not hide the earlier one
    assert "changes" in makers(*with_it)
    assert [path.name for path in draw_rest(place, night)] == ["changes.png"]


def test_a_restored_homes_plots_are_drawn_in_it_and_not_in_the_original_home(place: HomePaths) -> None:
    night = kept(place, figures=("averages",))
    draw_rest(place, night)
    restored = current_home({"STOCKML_HOME": str(place.root / "restored")})
    write_night(night, path := night_path(restored.nights, "IBM", night.key))
    assert [str(drawn) for drawn in draw_rest(restored, read_night(path))] == [f"{restored.plots}/IBM/0f/averages.png"]


@pytest.mark.slow
def test_plots_of_a_night_whose_vintages_another_version_replaced_are_drawn_still(place: HomePaths) -> None:
    """They show what was learned and scored; only a forecast needs the regressions and the base."""
    night = kept(place, figures=FIGURES)
    described = Path(night.model_folder or "") / "model.json"
    described.write_text(re.sub(r"(?<=\.json )\w{64}", "0" * 64, described.read_text()))
    with pytest.raises(OtherVersion):
        load_model(described.parent)
    assert {path.stem for path in draw_rest(place, night)} == set(FIGURES)


def test_a_removed_evaluation_is_an_error_that_names_it(place: HomePaths) -> None:
    night = kept(place, figures=FIGURES, evaluation_folder=str(place.evaluations / "gone"))
    with pytest.raises(InvalidFile, match="evaluations/gone"):
        draw_rest(place, night)


def test_a_series_that_is_not_the_nights_is_refused(place: HomePaths) -> None:
    """After a bar was rejected and the session run again, the first run's residuals were drawn a session late."""
    night = kept(place, figures=FIGURES)
    series = Path(night.dataset_path or "")
    PriceSeries.from_bars(recorded("IBM").loc[: str(DAY)].iloc[1:]).write(other := place.root / "other.parquet")
    for content in (other.read_bytes(), b"damaged"):
        series.write_bytes(content)
        with pytest.raises(InvalidFile, match=r"series\.parquet: expected the series that the night saw.*again$"):
            draw_rest(place, night)
