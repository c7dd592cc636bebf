"""The card: what a person who has read nothing learns of a share, in a dozen lines of eighty
columns."""

from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from stockml.evaluation.outlook_scores import FALL
from stockml.forecasts.forecast import Age
from stockml.forecasts.outlook import Outlook, Touch
from stockml.forecasts.proper_scores import DieboldMariano
from stockml.nights.card import Card, Chance, chance_of
from stockml.nights.record import Night
from tests.stockml.nights.test_summary import publishing_a_path
from tests.support.nights import recorded_night, series_until

DAY = date(2013, 2, 28)


def card_of(night: Night, sessions: int = 0, state: str = "") -> Card:
    assert night.forecast
    return Card.of(night.ticker, night.forecast, night, Age(DAY, sessions, 5), state)


def test_the_card_says_where_the_share_closed_and_where_it_may_go() -> None:
    night = recorded_night(metrics={"answer/day_change_pct": -1.25})
    assert night.forecast
    first, state, _, *ranges = card_of(night).text().splitlines()
    assert first == "IBM closed at 200.83 (-1.2%) on Thursday 28 February 2013, the newest close."
    assert state == "Last night worked."
    band = night.forecast.band(80)
    for lead, line in zip((1, 5, 20, 50), ranges, strict=False):
        low, high = band.low[lead - 1], band.high[lead - 1]
        change = f"({low / 200.83 - 1:+.1%} to {high / 200.83 - 1:+.1%})"
        assert line.split()[:3] == [f"{low:.2f}", "to", f"{high:.2f}"]
        assert f"{change}   after {lead} session" in line
    for each in (night, publishing_a_path()):
        lines = card_of(each, 1, "failed: " + "the key is wrong " * 9).text().splitlines()
        assert (max(map(len, lines)) <= 80, len(lines) <= 16) == (True, True)
    loss = -np.quantile(np.diff(np.log(series_until("IBM", DAY).close)), 0.05)
    assert 0.3 * loss < card_of(night).loss < 1.5 * loss


def test_a_touch_has_its_chance_and_what_such_chances_were_worth() -> None:
    """The share's own frequency stands where the chance scored no better; a worth that cannot be
    told is not said."""
    better = Touch(20, 0.05, chance=0.18, own_frequency=0.22, skill=0.082, origins=94, happened=0.2)
    worse = replace(better, fall=0.1, chance=0.03, own_frequency=0.05, skill=-0.01)
    card = card_of(recorded_night())
    text = " ".join(replace(card, touches=(better, worse)).text().split())
    assert "within 20 sessions, -5%: 18%; -10%: 5% (its past frequency" in text
    assert "In 94 past tests the chance of -5% was 8.2% better" in text
    unknown = replace(better, chance=0.004, skill=None, own_frequency=None)
    text = replace(card, touches=(unknown,)).text()
    assert ("-5%: <1%." in text, "past tests" in text) == (True, False)


def test_an_old_close_says_its_age_and_an_expired_forecast_gives_no_number() -> None:
    night = recorded_night()
    old = card_of(night, 5, "failed: the key is wrong").text().splitlines()
    assert old[0].endswith("on Thursday 28 February 2013, 5 sessions ago.")
    assert old[1] == "Last night: failed: the key is wrong."
    expired = card_of(night, 6)
    for page in (expired.text(), expired.markdown()):
        assert page.splitlines()[2:] == [page.splitlines()[-1]]
        assert "6 sessions old (limit 5)" in page
    assert "%" not in expired.headline + expired.markdown()


@pytest.mark.parametrize(
    ("percentile", "told"),
    [
        (9.0, "calm: 91% of its past forecasts were wilder."),
        (100.0, "wild: 99% of its past forecasts were calmer."),
        (50.0, "as usual: 50% of its past forecasts were wilder."),
        (None, "too short to call that calm or wild."),
    ],
)
def test_the_range_is_calm_or_wild_for_this_share(percentile: float | None, told: str) -> None:
    card = replace(card_of(recorded_night()), outlook=Outlook(20, 0.2, None, percentile, 0.5, ()))
    assert told in card.text()


@pytest.mark.parametrize(
    ("skill", "p_value", "told"),
    [(0.01, 0.01, "Yes"), (-0.01, 0.01, "No: a simple"), (0.01, 0.06, "It cannot be told")],
)
def test_the_network_helps_only_beyond_luck(skill: float, p_value: float, told: str) -> None:
    night = recorded_night()
    assert night.distributions
    assert night.distributions.network_adds
    test = DieboldMariano(1.0, p_value, p_value / 2)
    adds = replace(night.distributions.network_adds, skill=skill, test=test)
    night = replace(night, distributions=replace(night.distributions, network_adds=adds))
    assert f"Does the network help here? {told}" in card_of(night).text()


def test_a_chance_gives_way_to_the_shares_frequency_where_it_scored_no_better() -> None:
    night = recorded_night()
    [past] = [each for each in night.outlook_scores if (each.what, each.sessions) == (FALL, 20)]

    def given(came_true: float, score: float) -> Chance:
        scores = (replace(past, came_true=came_true, score=score, constant=0.16),)
        return chance_of(FALL, 20, 0.1, replace(night, outlook_scores=scores))

    assert given(0.2, 0.15) == Chance(0.1)
    assert given(0.2, 0.16) == Chance(0.2, usual=True)
    assert given(0.01, 0.16) == Chance(0.1), "one case in 93 is no frequency"


def test_the_tutorials_night_says_that_it_leaks_and_forecasts_mid_prices() -> None:
    night = publishing_a_path()
    text = card_of(replace(night, settings={**night.settings, "profile": "tutorial"})).text()
    assert "which leaks: not a model to trade by" in text
    assert "its mid price will be between" in text
