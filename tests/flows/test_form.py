"""The run form: what is filled in goes before the ticker's own choices, and these before the profile's."""

import re
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from flows.form import Day, SettingsForm, chosen, of_ticker
from stockml.settings import night_settings, settings_for
from tests.deployments.test_ticker_list_choices import OWN


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((None, None, None), OWN | {"profile": "nightly"}),
        (("tutorial", "XNYS", {}), {"profile": "tutorial", "calendar": "XNYS", "settings": OWN["settings"]}),
        (
            (None, "", {"evaluation": {"direction_step": 5}, "policy": {"retrain_after_sessions": 9}}),
            {
                "profile": "nightly",
                "calendar": "NYSE",
                "settings": {
                    "evaluation": OWN["settings"]["evaluation"] | {"direction_step": 5},
                    "policy": {"retrain_after_sessions": 9},
                },
            },
        ),
    ],
)
def test_a_nights_choices_are_those_given_setting_by_setting_and_else_the_tickers_own(
    given: Any, expected: dict[str, Any]
) -> None:
    assert of_ticker(OWN, *given) == expected


def test_an_empty_form_keeps_what_the_profile_says() -> None:
    for profile in ("nightly", "tutorial"):
        usual = night_settings(settings_for(profile, {"mode": "auto"}))
        assert chosen(profile, "auto", None) == chosen(profile, "auto", {}) == chosen(profile, "auto", SettingsForm())
        assert chosen(profile, "auto", None) == usual


def test_what_the_form_changes_goes_before_the_profile_and_an_empty_field_beside_it_does_not() -> None:
    filled = SettingsForm.model_validate({"evaluation": {"direction_step": 20}})
    found = chosen("nightly", "keep", filled)
    assert (found.mode, found.evaluation.direction_step) == ("keep", 20)
    assert found.evaluation.horizon == chosen("nightly", "auto", None).evaluation.horizon
    assert chosen("nightly", "keep", {"evaluation": {"direction_step": 20}}) == found


@pytest.mark.parametrize(
    "wrong",
    [{"evaluation": {"horizon": 0}}, {"evaluation": {"horizont": 9}}, {"network": {"cell": "rnn"}}, {"weather": {}}],
)
def test_what_no_setting_allows_is_refused_by_the_form(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SettingsForm.model_validate(wrong)


@pytest.mark.parametrize(
    ("text", "is_day"),
    [
        ("2013-02-28", True),
        ("2012-02-29", True),
        ("", True),
        ("2013-02-30", False),
        ("2013-13-01", False),
        ("2013-04-31", False),
        ("28.02.2013", False),
        ("2013-2-8", False),
    ],
)
def test_the_page_takes_no_text_for_a_day_that_no_year_has(text: str, is_day: bool) -> None:
    assert bool(re.search(TypeAdapter(Day).json_schema()["pattern"], text)) is is_day
    if is_day:
        assert str(TypeAdapter(Day).validate_python(text) or "") == text
