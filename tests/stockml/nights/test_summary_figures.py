"""Every figure in a summary stands beside what it is judged by: its base rate, its baseline or its observations."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from stockml.evaluation.evaluate import LAST_CLOSE, LSTM, PUBLISHED
from stockml.models.pooled_regression import EWMA_60, POOLED
from stockml.nights import summary
from stockml.nights.glance import night_age
from stockml.nights.record import Night, read_night, write_night
from stockml.nights.tables import rise
from tests.stockml.nights.test_summary import logged, rows_of
from tests.support.nights import recorded_night


def test_the_expected_volatility_has_a_table_of_its_own() -> None:
    night = recorded_night()
    assert night.forecast
    assert rows_of(night, "volatility ", 12) == ["5 sessions", "20 sessions", "50 sessions"]
    assert [each.sessions for each in night.forecast.outlook] == [5, 20, 50]
    of_20 = night.forecast.outlook[1]
    assert of_20.usual
    low, high = of_20.usual
    beyond = ", ".join(f"{chance:.0%}" for chance in of_20.beyond)
    told = f"20 sessions {of_20.volatility:.1%} {low:.0%} to {high:.0%} {of_20.place} {of_20.rise:.0%} {beyond}"
    assert told in " ".join(summary.text(night).split())
    marked = summary.markdown(night).replace("&emsp;", "")
    assert f"| 20 sessions| {of_20.volatility:.1%}| {low:.0%} to {high:.0%}| {of_20.place}" in marked
    unknown = replace(of_20, usual=None, percentile=None, beyond=(0.004, 0.0))
    short = replace(night, forecast=replace(night.forecast, outlook=(unknown,)))
    assert re.search(r"too short a history to say +\d+% +<1%, 0%", summary.text(short))


def test_the_pages_show_what_earlier_outlooks_were_worth() -> None:
    night = recorded_night()
    marked = summary.markdown(night).replace("&emsp;", "")
    scores = {f"{each.what}, {each.sessions} sessions": each for each in night.outlook_scores}
    assert len(scores) == 12
    for what, each in scores.items():
        told = f"| {what}| {each.said:.1%}| {each.came_true:.1%}| {each.score:.3f}| {each.constant:.3f}| "
        shown = marked[marked.index(told) + len(told) :].split(" |")[0]
        if each.network_adds is None:
            assert shown == "–"
        else:
            assert shown.startswith(f"{each.network_adds:+z.2%}, p ")
    untested = [replace(each, test=None) for each in scores.values()]
    assert "%, p " not in summary.tables.past_outlooks(replace(night, outlook_scores=tuple(untested))).markdown()
    assert "came true" not in summary.markdown(replace(night, outlook_scores=()))  # a record of an earlier version


def test_the_figures_of_a_share_that_costs_cents_have_enough_decimals() -> None:
    """That is, those in its currency: the RMSE of each path and the end of the forecast."""
    night = recorded_night()
    assert night.evaluation
    assert night.forecast
    scores = {name: replace(each, rmse=(each.rmse or 0.0) / 1_000) for name, each in night.evaluation.scores.items()}
    path = tuple(price / 10_000 for price in night.forecast.path)
    cheap = replace(
        night, evaluation=replace(night.evaluation, scores=scores), forecast=replace(night.forecast, path=path)
    )
    said = summary.text(cheap)
    assert f"{scores[PUBLISHED].rmse:.6f}" in said
    assert f"{path[-1]:.5f} on" in said


def test_distributions_have_a_table_of_their_own_that_says_why_a_row_is_missing() -> None:
    night = recorded_night("GOOG")
    assert night.distributions
    lines = summary.text(night).splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("distribution, 60 origins "))
    rows = {line[:36].strip(): line[36:].split() for line in lines[first + 1 : first + 10]}
    shown = [name.removesuffix(", published") for name in rows]
    assert shown == [
        "last close, constant width",
        "EWMA 20",
        "EWMA 60",
        POOLED,
        "ridge regression",
        "base network",
        "tonight's network",
        "champion",
        "the same without network",
    ]
    assert sum("published" in name for name in rows) == 1
    assert rows[POOLED][1:3] == ["–", "–"]
    found, whole = night.distributions.scores[LSTM], night.distributions.whole[LSTM].skill
    held = [f"{found.coverage[level]:.0%}" for level in ("50", "80", "95")]
    width = night.distributions.widths[LSTM].skill
    own = next(rows[name] for name in rows if name.startswith("tonight's network"))
    assert own == [f"{100 * found.crps:.4f}", f"{whole:+.2%}", f"{width:+.2%}", *held]
    assert lines[first + 10].startswith("HAR range (ticker's own): expected at least 2000 sessions")
    marked = summary.markdown(night)
    assert "| tonight's network" in marked
    assert "- HAR range (ticker's own): expected at least 2000 sessions" in marked


def test_each_distribution_has_its_score_at_every_lead_and_its_interval_score() -> None:
    night = recorded_night()
    assert night.distributions
    marked = summary.markdown(night).replace("&emsp;", "")
    leads = "| lead 1| lead 5| lead 10| lead 20| lead 50|"
    assert f"| vs pooled regression{leads} interval score |\n|---|" + "--:|" * 6 in marked
    lines = marked.partition("| vs pooled regression| lead")[2].partition("\n\n")[0].splitlines()[2:]
    table = [[cell.strip() for cell in line.strip("| ").split("|")] for line in lines]
    rows = {name: cells for name, *cells in table}
    assert len(rows) == len(night.distributions.scores)
    for name in (EWMA_60, "tonight's network"):
        row = LSTM if name == "tonight's network" else name
        score = 100 * night.distributions.scores[row].interval_scores["80"]
        skills = [f"{each:+z.2%}" for each in night.distributions.whole[row].skill_by_lead]
        assert rows[name] == [*skills, f"{score:.2f}%"]
    assert rows["pooled regression"][:5] == ["–"] * 5
    assert "interval score" not in summary.markdown(replace(night, distributions=None))


def test_direction_stands_beside_how_often_the_price_rose() -> None:
    night = recorded_night()
    rose = night.evaluation and night.evaluation.scores[LAST_CLOSE].direction.base_rate
    assert rose
    assert f"direction (rose {rose:.0%})" in (text := summary.text(night))
    assert re.search(r"^last close  .* –$", text, re.MULTILINE), "it says nothing of a direction"
    assert f"direction (rose {rose:.0%})" in summary.markdown(night)


def test_a_chance_of_a_rise_stands_beside_climatology() -> None:
    night = recorded_night()
    assert night.evaluation
    assert night.forecast
    direction = night.evaluation.scores[PUBLISHED].direction
    share, brier = direction.base_rate, direction.brier
    assert share
    assert brier
    told = rise(night, night.forecast)
    assert told.endswith(f"(Brier score {brier:.3f}, of that share for all {share - share**2:.3f})")
    assert rise(None, night.forecast) == told.partition(";")[0]
    assert rise(None, replace(night.forecast, direction_step=1)).endswith("higher in 1 session")


@pytest.mark.parametrize(("promoted", "word"), [(True, "promoted"), (False, "not promoted")])
def test_every_page_says_whether_it_was_promoted_and_how_old_its_forecast_is(promoted: bool, word: str) -> None:
    night = logged()
    assert night.verdict
    night = replace(night, verdict=replace(night.verdict, promoted=promoted))
    age = night_age(night, datetime(2013, 3, 5, tzinfo=UTC))
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
    assert len(rows_of(again, "distribution", 34)) == len(night.distributions.scores)


def test_the_range_is_the_bands_last_one_and_live_figures_are_those_first_known() -> None:
    night = recorded_night()
    assert night.forecast is not None
    band = night.forecast.band(80)
    assert f"(80%: {band.low[-1]:.2f} to {band.high[-1]:.2f}; close " in " ".join(summary.text(night).split())
    known = {"live/first_known_skill": 0.5, "live/first_known_coverage_80": 0.25}
    told = "skill +0.500, 25% inside the 80% band"
    assert told in " ".join(summary.text(replace(night, metrics={**night.metrics, **known})).split())
    assert told not in summary.text(night)


def test_a_night_of_the_tutorials_recipe_says_so_on_the_terminal_and_on_both_pages() -> None:
    usual = recorded_night()
    for night, count in ((usual, 0), (replace(usual, settings={**usual.settings, "profile": "tutorial"}), 1)):
        for shown in (summary.text(night), summary.markdown(night)):
            assert " ".join(shown.split()).count("by the published tutorial's recipe, which leaks") == count


@pytest.mark.parametrize(
    ("horizon", "median", "ahead"),
    [(1, "last close", "1 session ahead"), (4, "last close and half the usual rise", "4 sessions ahead")],
)
def test_a_horizon_too_short_for_an_outlook_is_told_of_its_median_all_the_same(
    horizon: int, median: str, ahead: str
) -> None:
    whole = recorded_night().forecast
    assert whole
    first = {name: getattr(whole, name)[:horizon] for name in ("sessions", "path", "weights")}
    bands = tuple(replace(band, low=band.low[:horizon], high=band.high[:horizon]) for band in whole.bands)
    night = recorded_night(forecast=replace(whole, **first, bands=bands, outlook=()))
    text = " ".join(summary.text(night).split())
    assert f"published: the {median}, width by" in text
    assert f"published median: {median}; width" in text
    assert f"{whole.sessions[horizon - 1]}, {ahead} (80%: " in text
