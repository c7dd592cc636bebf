"""Every figure in a summary stands beside what it is judged by: its base rate, its baseline or its observations."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from stockml.nights import summary
from stockml.nights.key_figures import night_age
from stockml.nights.record import Night, read_night, write_night
from tests.stockml.nights.test_summary import logged, rows_of


@pytest.mark.parametrize(("promoted", "word"), [(True, "promoted"), (False, "not promoted")])
def test_every_page_says_whether_it_was_promoted_and_how_old_its_forecast_is(
    tmp_path: Path, promoted: bool, word: str
) -> None:
    night = logged()
    assert night.verdict
    night = replace(night, verdict=replace(night.verdict, promoted=promoted))
    age = night_age(tmp_path, night, datetime(2013, 3, 5, tzinfo=UTC))
    text, marked = summary.text(night, age), summary.markdown(night, age=age, heading=False)
    assert f"\n{word:<17} within the noise" in text
    assert f"\n{'':<17} {age}\n" in text
    assert marked.startswith("**published")
    assert f"\n{word.capitalize()}: within the noise" in marked
    assert f"; {age}." in marked
    assert f"; {word}: within the noise" in (told := summary.message(night))
    assert told.endswith("; fine-tune: 1 new session")


@pytest.mark.parametrize("page", [summary.text, summary.markdown])
def test_a_live_figure_shows_its_observations_and_calls_fewer_than_thirty_too_few(page: Callable[[Night], str]) -> None:
    night, figures = logged(), logged().metrics

    def said(**changes: float) -> str:
        live = {f"live/{name}": value for name, value in changes.items()}
        return " ".join(page(replace(night, metrics={**figures, **live})).split())

    told = "12 live forecasts complete, 1,825 steps: skill +0.021, 78% inside the 80% band"
    assert f"{told} (2 independent, too few to judge)" in said()
    assert f"{told} (30 independent)" in said(independent=30)
    assert "live forecasts" not in said(matured=0)
    older = {name: figures[name] for name in figures if name not in ("live/steps", "live/independent")}
    kept = "12 live forecasts complete: skill +0.021, 78% inside the 80% band"
    assert kept in " ".join(page(replace(night, metrics=older)).split())


def test_a_night_read_back_from_its_record_gives_the_same_summary_row_for_row(tmp_path: Path) -> None:
    night = logged()
    assert night.distributions
    write_night(night, tmp_path / "night.json")
    again = read_night(tmp_path / "night.json")
    assert summary.text(again) == summary.text(night)
    assert summary.markdown(again) == summary.markdown(night)
    assert len(rows_of(again, "distribution", 34)) == len(night.distributions.scores) + 2, "with its notes"
