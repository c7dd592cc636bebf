"""What a search found is a file that the ticker's nights use; a damaged one is named and never
overwritten."""

import json

import pytest

from flows.form import chosen
from stockml.errors import InvalidFile
from stockml.home import HomePaths
from stockml.training.tuned_settings import (
    TrialRecord,
    path_of,
    tuned_settings,
    write_tuned_settings,
)
from stockml.training.tuning import tune
from tests.stockml.training.small_search import search


def test_a_tickers_nights_use_its_settings_file_unless_the_form_overrides_it(
    home: HomePaths,
) -> None:
    path_of(home, "ABC").parent.mkdir(parents=True)
    kept = {"settings": {"network.units": [7], "training.epochs": 9}, "profile": "tutorial"}
    path_of(home, "ABC").write_text(json.dumps(kept))
    used = chosen("tutorial", "auto", {"training": {"epochs": 2}}, ticker="ABC")
    assert (used.network.units, used.training.epochs) == ((7,), 2)
    assert chosen("tutorial", "auto", None, ticker="XYZ") == chosen("tutorial", "auto", None)
    assert chosen("nightly", "auto", None, ticker="ABC") == chosen("nightly", "auto", None)
    # as an earlier version wrote it
    path_of(home, "ABC").write_text(json.dumps(kept | {"profile": "nightly"}))
    assert chosen("tutorial", "auto", None, ticker="ABC") == chosen("tutorial", "auto", None)


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"settings": {"network.unit": [7]}}', '{"settings": [1]}']
)
def test_a_damaged_settings_file_is_an_error_that_names_it(home: HomePaths, content: str) -> None:
    path_of(home, "ABC").parent.mkdir(parents=True)
    path_of(home, "ABC").write_text(content)
    with pytest.raises(InvalidFile, match=r"ABC\.json"):
        tuned_settings(home, "ABC")


def test_an_edited_file_is_not_overwritten_and_no_search_starts_until_its_checksum_is_removed(
    home: HomePaths,
) -> None:
    path = write_tuned_settings(home, "ABC", {"training.epochs": 3}, {})
    path.write_text(edited := path.read_text().replace('epochs": 3', 'epochs": 4'))
    heard: list[TrialRecord] = []
    for attempt in (
        lambda: write_tuned_settings(home, "ABC", {"training.epochs": 5}, {}),
        lambda: tune(home, search(), trials=1, on_trial=heard.append),
    ):
        with pytest.raises(InvalidFile, match=r"ABC\.json.*`crc32`.*from a backup"):
            attempt()
    assert (path.read_text(), heard) == (edited, [])
    content = json.loads(edited)
    del content["crc32"]
    path.write_text(json.dumps(content))
    assert tuned_settings(home, "ABC") == {"training.epochs": 4}
