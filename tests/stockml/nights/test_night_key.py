"""A night is known by its ticker, session, data, pretrained networks, settings and code, wherever
its files are."""

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from stockml.nights.night_key import night_key
from stockml.settings import Settings
from stockml.storage.receipts import DatasetReceipt
from tests.support.copied_code import copied, run_on

DATASET = DatasetReceipt(
    "IBM", "/home/datasets/IBM/2013-02-28.parquet", "a" * 64, date(2013, 2, 28), 3_270
)
CHANGED = """
import json
from stockml import code_version
from stockml.nights.night_key import evaluation_code, training_code
found, numbers = [], ("evaluation/assessment", "training/ticker_training")
for name in ("", "plots/forecast", "nights/summary", "tracking/runs", "nights/night_key", *numbers):
    file = code_version.PACKAGE / f"{name}.py"
    before = file.read_text() if name else ""
    if name:
        file.write_text(before + "MORE = 1\\n")
    code_version.code_hash.cache_clear()
    found.append([name, training_code(), evaluation_code()])
    if name:
        file.write_text(before)
print(json.dumps(found))
"""


@pytest.mark.parametrize(
    "other",
    [
        {"ticker": "KO"},
        {"session": date(2013, 3, 1)},
        {"sha256": "b" * 64},
        {"pretrained": "of another vintage"},
    ],
    ids=lambda other: next(iter(other)),
)
def test_another_ticker_session_series_or_pretrained_network_makes_another_night(
    other: dict[str, Any],
) -> None:
    assert night_key(replace(DATASET, **other), Settings()) != night_key(DATASET, Settings())


@pytest.mark.parametrize(
    "other", [{"mode": "keep"}, {"evaluation": Settings().evaluation.changed(direction_step=20)}]
)
def test_other_settings_make_another_night(other: dict[str, Any]) -> None:
    assert night_key(DATASET, Settings().changed(**other)) != night_key(DATASET, Settings())


@pytest.mark.parametrize(
    "other",
    [
        {"path": "/another/home/datasets/IBM/2013-02-28.parquet"},
        {"notes": ("no bar of 1 older session",)},
        {"adjustment": "of other splits, which gave the same series"},
        {"calendar": "XNYS"},
    ],
    ids=lambda other: next(iter(other)),
)
def test_where_the_series_is_and_what_is_said_of_it_do_not(other: dict[str, Any]) -> None:
    """So a home can be moved, and its nights are still found."""
    assert night_key(replace(DATASET, **other), Settings()) == night_key(DATASET, Settings())


def test_a_key_is_64_hex_digits_and_the_same_each_time() -> None:
    key = night_key(DATASET, Settings())
    assert (len(key), len(bytes.fromhex(key))) == (64, 32)
    assert night_key(replace(DATASET), Settings()) == key


@pytest.mark.slow
def test_other_code_of_the_numbers_makes_another_night_and_that_of_texts_plots_and_tracking_does_not(
    tmp_path: Path,
) -> None:
    changed = {
        name: (training, evaluation)
        for name, training, evaluation in run_on(copied(tmp_path), CHANGED)
    }
    as_it_is = changed[""]
    for of_no_number in ("plots/forecast", "nights/summary", "tracking/runs", "nights/night_key"):
        assert changed[of_no_number] == as_it_is, of_no_number
    assert (changed["evaluation/assessment"][0], changed["evaluation/assessment"] == as_it_is) == (
        as_it_is[0],
        False,
    )
    assert not {*changed["training/ticker_training"]} & {*as_it_is}
