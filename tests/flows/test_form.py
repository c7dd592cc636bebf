"""The run form: what is filled in goes before the ticker's own choices, and these before the
profile's."""

from datetime import date

import pytest

from flows.form import TutorialForm, chosen, day, day_or_none, of_ticker
from stockml.errors import InvalidSession, InvalidSetting
from stockml.settings import night_settings, settings_for
from tests.deployments.test_ticker_list_choices import OWN


def test_a_nights_choices_are_those_given_setting_by_setting_and_else_the_tickers_own():
    assert of_ticker(OWN, None, None, None) == OWN | {"profile": "nightly"}
    given = {"profile": "tutorial", "calendar": "XNYS"}
    assert of_ticker(OWN, *given.values(), {}) == OWN | given
    policy = {"policy": {"retrain_after_sessions": 9}}
    evaluation = OWN["settings"]["evaluation"] | {"direction_step": 5}
    changed = of_ticker(OWN, None, "", {"evaluation": {"direction_step": 5}} | policy)
    settings = {"evaluation": evaluation} | policy
    assert changed == {"profile": "nightly", "calendar": "NYSE", "settings": settings}


def test_an_empty_form_keeps_what_the_profile_says():
    for profile in ("nightly", "tutorial"):
        usual = night_settings(settings_for(profile, {"mode": "auto"}))
        emptied = {"evaluation": {"horizon": None}}
        assert chosen(profile, "auto", None) == chosen(profile, "auto", emptied) == usual


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"training": {"epochs": 5}}, "does nothing in the nightly profile, found 5"),
        ({"evaluation": {"horizon": 0}}, "evaluation.horizon to be between 1 and 250, found 0"),
        ({"weather": {"rain": 1}}, "found 'weather'"),
    ],
)
def test_a_setting_that_does_nothing_or_that_none_allows_is_refused_in_a_sentence(changes, says):
    """`--set training.epochs=5` trained again, to the same weights, under another key."""
    with pytest.raises(InvalidSetting, match=says):
        chosen("nightly", "auto", changes)


@pytest.mark.parametrize("text", ["2013-02-30", "yesterday"])
def test_what_is_no_day_is_refused_in_a_sentence_but_none_may_be_given(text):
    with pytest.raises(InvalidSession, match=f"found {text!r}"):
        day(text)
    assert (day_or_none(""), day_or_none("2012-02-29")) == (None, date(2012, 2, 29))


def test_the_tutorials_form_asks_for_nothing_that_its_nights_do_not_use():
    definitions = TutorialForm.model_json_schema()["$defs"]
    training = set(definitions["TrainingSettings"]["properties"])
    assert {"epochs", "fine_tune_epochs", "loss"} <= training
    assert not training & {"steps", "own_share", "start_share", "fine_tune_steps", "decay_on"}
