"""A night's tables: each row beside what it is judged by, a reason where one is missing, and enough
decimals."""

from dataclasses import replace

import pytest

from stockml.evaluation.path_scores import LSTM, PUBLISHED
from stockml.models.regressions import REGRESSION
from stockml.models.trained_model import PRETRAINED
from stockml.nights import summary
from stockml.nights.record import Night
from stockml.nights.tables import Table, distributions, outlook, past_outlooks, rise
from tests.stockml.nights.test_summary import details, publishing_a_path, rows_of
from tests.support.nights import recorded_night


@pytest.fixture
def night() -> Night:
    return recorded_night()


def marked(night: Night) -> str:
    return summary.markdown(night).replace("&emsp;", "")


def test_the_expected_volatility_has_a_table_of_its_own(night: Night) -> None:
    assert night.forecast
    assert rows_of(night, "volatility ", 12)[:3] == ["5 sessions", "20 sessions", "50 sessions"]
    of_20 = night.forecast.outlook[1]
    low, high = of_20.usual or (0, 0)
    cells = ("20 sessions", f"{of_20.volatility:.1%}", f"{low:.0%} to {high:.0%}", of_20.place)
    assert " ".join(cells) in " ".join(details(night).split())
    assert f"| {'| '.join(cells)}" in marked(night)
    unknown = replace(of_20, usual=None, percentile=None)
    for entry, said in (
        (unknown, "too short a history to say"),
        (replace(of_20, usual=(0.004, 0.0084)), "0.4% to 0.8%"),
        (replace(of_20, usual=(0.009, 0.01)), "0.9% to 1%"),
    ):
        assert night.forecast
        _, heading, shown = outlook(replace(night.forecast, outlook=(entry,)), None).lines()
        assert said in shown
        assert len(shown) == len(heading)


def test_the_pages_show_what_earlier_outlooks_were_worth(night: Night) -> None:
    assert "| outlook, 93 origins| forecast| realised| score| constant| network adds |" in marked(
        night
    )
    assert len(night.outlook_scores) == 15
    for each in night.outlook_scores:
        chances = f"{each.said:.1%}| {each.came_true:.1%}| {each.score:.3f}| {each.constant:.3f}"
        adds = "– |" if each.network_adds is None else f"{each.network_adds:+z.2%}, p "
        assert f"| {each.what}, {each.sessions} sessions| {chances}| {adds}" in marked(night)
    untested = tuple(replace(each, test=None) for each in night.outlook_scores)
    assert ", p " not in past_outlooks(replace(night, outlook_scores=untested)).markdown()


def test_distributions_have_a_table_of_their_own_that_says_why_a_row_is_missing() -> None:
    night = recorded_night("GOOG")
    assert night.distributions
    table = distributions(night)
    rows = {label.removesuffix(", published"): cells for label, *cells in table.rows[1:]}
    simple = [REGRESSION, "ridge regression", "pretrained network"]
    assert [*rows] == [*simple, "tonight's model", "champion"]
    assert sum("published" in label for label, *_ in table.rows) == 1
    assert rows[REGRESSION][1:3] == ["–", "–"]
    found = night.distributions.scores[LSTM]
    held = " ".join(f"{found.coverage[level]:.0%}" for level in ("50", "80", "95"))
    gains = (night.distributions.whole[LSTM].skill, night.distributions.widths[LSTM].skill)
    skills = [f"{gain:+.2%}" for gain in gains]
    assert rows["tonight's model"] == [f"{100 * found.crps:.4f}", *skills, held]
    over_all, learned = table.notes
    published = (night.metrics[f"intervals/coverage_{level}"] for level in ("50", "80", "95"))
    assert over_all.endswith(" ".join(f"{share:.0%}" for share in published))
    through = night.distributions.through
    assert learned == f"the scored regressions and pretrained network learned through {through}"
    assert all(note in " ".join(details(night).split()) for note in table.notes)
    assert f"- {learned}" in marked(night)
    scores = {row: score for row, score in night.distributions.scores.items() if row != PRETRAINED}
    unreadable = replace(night, distributions=replace(night.distributions, scores=scores))
    assert f"the scored regressions learned through {through}" in distributions(unreadable).notes


def test_one_table_lists_every_path_from_the_reference_to_what_is_published(night: Night) -> None:
    assert night.evaluation
    assert "| path, 93 origins" in marked(night)
    alone = details(replace(night, evaluation=replace(night.evaluation, origins=1)))
    assert "path, 1 origin " in alone
    assert "direction (" not in alone, "a share of one origin says nothing"
    first = ["last close", "EMA", "drift", "momentum", "standard average"]
    assert rows_of(night, "path, ", 18) == [*first, "published"]
    of_a_path = rows_of(publishing_a_path(), "path, ", 18)
    assert of_a_path == [*first, "LSTM", "champion", "without network", "published"]


def test_a_chance_that_scored_no_better_than_the_shares_own_frequency_gives_way_to_it(
    night: Night,
) -> None:
    forecast, evaluation = night.forecast, night.evaluation
    assert forecast
    assert evaluation
    published = evaluation.scores[PUBLISHED]
    rate = published.direction.base_rate
    assert rate

    def said(brier: float) -> str:
        direction = replace(published.direction, brier=brier)
        scores = {**evaluation.scores, PUBLISHED: replace(published, direction=direction)}
        return rise(replace(night, evaluation=replace(evaluation, scores=scores)), forecast)

    own = f"of a higher price in 30 sessions: {forecast.probability_of_rise:.0%}"
    assert said(rate * (1 - rate) - 0.01) == own == rise(None, forecast)
    assert f": {rate:.0%} (its past frequency" in said(rate * (1 - rate))
    worse = tuple(replace(each, score=1.0) for each in night.outlook_scores)
    table: Table = outlook(forecast, replace(night, outlook_scores=worse))
    assert table.lines()[-1].startswith("*: its past frequency")
    assert "*" in str(table.rows)
