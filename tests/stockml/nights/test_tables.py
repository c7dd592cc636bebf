"""A night's tables: each row beside what it is judged by, a reason where one is missing, and enough
decimals."""

import re
from dataclasses import replace

from stockml.evaluation.path_scores import LSTM, PUBLISHED
from stockml.models.har_regression import REGRESSION
from stockml.models.ticker_network import PRETRAINED
from stockml.nights import summary
from stockml.nights.tables import distributions, outlook, rise
from tests.stockml.nights.test_summary import details, publishing_a_path, rows_of
from tests.support.nights import recorded_night


def test_the_expected_volatility_has_a_table_of_its_own() -> None:
    night = recorded_night()
    assert night.forecast
    assert rows_of(night, "volatility ", 12)[:3] == ["5 sessions", "20 sessions", "50 sessions"]
    assert [each.sessions for each in night.forecast.outlook] == [5, 20, 50]
    of_20 = night.forecast.outlook[1]
    assert of_20.usual
    low, high = of_20.usual
    told = f"20 sessions {of_20.volatility:.1%} {low:.0%} to {high:.0%} {of_20.place} "
    assert told in " ".join(details(night).split())
    marked = summary.markdown(night).replace("&emsp;", "")
    assert (
        f"| 20 sessions| {of_20.volatility:.1%}| {low:.0%} to {high:.0%}| {of_20.place}" in marked
    )
    unknown = replace(of_20, usual=None, percentile=None, beyond=(0.004, 0.0))
    short = replace(night, forecast=replace(night.forecast, outlook=(unknown,)))
    assert re.search(r"too short a history to say +\d+%\*? +", details(short))
    for usual, said in (
        ((0.004, 0.0084), "0.4% to 0.8%"),
        ((0.009, 0.01), "0.9% to 1%"),
        ((0.1, 0.2), "10% to 20%"),
    ):
        shown = outlook(
            replace(night.forecast, outlook=(replace(of_20, usual=usual),)), None
        ).lines()
        assert f" {said}  {of_20.place} " in shown[-1]
        assert len(shown[-1]) == len(shown[-2])


def test_the_pages_show_what_earlier_outlooks_were_worth() -> None:
    night = recorded_night()
    marked = summary.markdown(night).replace("&emsp;", "")
    scores = {f"{each.what}, {each.sessions} sessions": each for each in night.outlook_scores}
    assert len(scores) == 15
    assert "| outlook, 93 origins| forecast| realised| score| constant| network adds |" in marked
    for what, each in scores.items():
        told = (
            f"| {what}| {each.said:.1%}| {each.came_true:.1%}| {each.score:.3f}| "
            f"{each.constant:.3f}| "
        )
        shown = marked[marked.index(told) + len(told) :].split(" |")[0]
        if each.network_adds is None:
            assert shown == "–"
        else:
            assert shown.startswith(f"{each.network_adds:+z.2%}, p ")
    untested = [replace(each, test=None) for each in scores.values()]
    assert (
        "%, p "
        not in summary.tables.past_outlooks(
            replace(night, outlook_scores=tuple(untested))
        ).markdown()
    )
    # a record of an earlier version
    assert "realised" not in summary.markdown(replace(night, outlook_scores=()))


def test_distributions_have_a_table_of_their_own_that_says_why_a_row_is_missing() -> None:
    night = recorded_night("GOOG")
    assert night.distributions
    lines = details(night).splitlines()
    first = next(
        number for number, line in enumerate(lines) if line.startswith("distribution, 60 origins ")
    )
    rows = {line[:36].strip(): line[36:].split() for line in lines[first + 1 : first + 6]}
    shown = [name.removesuffix(", published") for name in rows]
    assert shown == [
        REGRESSION,
        "ridge regression",
        "pretrained network",
        "tonight's network",
        "champion",
    ]
    assert sum("published" in name for name in rows) == 1
    assert rows[REGRESSION][1:3] == ["–", "–"]
    found, whole = night.distributions.scores[LSTM], night.distributions.whole[LSTM].skill
    held = [f"{found.coverage[level]:.0%}" for level in ("50", "80", "95")]
    width = night.distributions.widths[LSTM].skill
    own = next(rows[name] for name in rows if name.startswith("tonight's network"))
    assert own == [f"{100 * found.crps:.4f}", f"{whole:+.2%}", f"{width:+.2%}", *held]
    over_all = " ".join(
        f"{night.metrics[f'intervals/coverage_{level}']:.0%}" for level in ("50", "80", "95")
    )
    note = f"means of leads 1, 5, 10, 20, 50; over all leads the published bands held {over_all}"
    assert lines[first + 6] == note, "MLflow's figures are those over all leads"
    through = night.distributions.through
    assert (
        lines[first + 7]
        == f"the scored regressions and pretrained network learned through {through}"
    )
    marked = summary.markdown(night)
    assert "| tonight's network" in marked
    scores = {row: score for row, score in night.distributions.scores.items() if row != PRETRAINED}
    unreadable = replace(night, distributions=replace(night.distributions, scores=scores))
    assert f"the scored regressions learned through {through}" in distributions(unreadable).notes


def test_one_table_lists_every_contender_from_the_reference_to_what_is_published() -> None:
    assert "path, 93 origins" in details(recorded_night())
    night = recorded_night()
    assert night.evaluation
    alone = details(replace(night, evaluation=replace(night.evaluation, origins=1)))
    assert "path, 1 origin " in alone
    assert "direction (" not in alone, "a share of one origin says nothing"
    assert "| path, 93 origins" in summary.markdown(recorded_night())
    first = ["last close", "EMA", "drift", "momentum", "standard average"]
    assert rows_of(recorded_night(), "path, ", 18) == [*first, "published"]
    of_a_path = rows_of(publishing_a_path(), "path, ", 18)
    assert of_a_path == [*first, "LSTM", "champion", "without network", "published"]


def test_a_chance_that_scored_no_better_than_the_shares_own_frequency_gives_way_to_it() -> None:
    night = recorded_night()
    assert night.forecast
    assert night.evaluation
    published = night.evaluation.scores[PUBLISHED]
    rate = published.direction.base_rate
    assert rate

    def said(brier: float) -> str:
        direction = replace(published.direction, brier=brier)
        scores = {**night.evaluation.scores, PUBLISHED: replace(published, direction=direction)}
        return rise(
            replace(night, evaluation=replace(night.evaluation, scores=scores)), night.forecast
        )

    own = f"of a higher price in 30 sessions: {night.forecast.probability_of_rise:.0%}"
    assert said(rate * (1 - rate) - 0.01) == own == rise(None, night.forecast)
    assert said(rate * (1 - rate)).startswith(
        f"of a higher price in 30 sessions: {rate:.0%} (its past frequency"
    )
    worse = [replace(each, score=1.0) for each in night.outlook_scores]
    lines = outlook(night.forecast, replace(night, outlook_scores=tuple(worse))).lines()
    assert lines[-1].startswith("*: its past frequency")
    assert "*" in lines[-2]
