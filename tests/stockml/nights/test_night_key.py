"""A night is known by its ticker, session, data, pretrained networks, settings and code, wherever
its files are."""

from dataclasses import replace
from datetime import date

import pytest

from stockml.nights.night_key import night_key
from stockml.settings import Settings
from stockml.storage.receipts import DatasetReceipt
from tests.support.copied_code import copied, run_on

DATASET = DatasetReceipt("IBM", "/home/IBM/2013-02-28.parquet", "a" * 64, date(2013, 2, 28), 3_270)
CHANGED = """
import json
from stockml import code_version
from stockml.nights import dataset
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
for vintage in ("network-2011-06.npz", ""):
    found.append([vintage, dataset._shipped.__wrapped__(), ""])
    (dataset.SHIPPED / "network-2011-06.npz").unlink(missing_ok=True)
print(json.dumps(found))
"""


def test_another_ticker_session_series_pretrained_network_or_setting_makes_another_night():
    usual = Settings()
    others = [
        night_key(replace(DATASET, ticker="KO"), usual),
        night_key(replace(DATASET, session=date(2013, 3, 1)), usual),
        night_key(replace(DATASET, sha256="b" * 64), usual),
        night_key(replace(DATASET, pretrained="of another vintage"), usual),
        night_key(DATASET, usual.changed(mode="keep")),
        night_key(DATASET, usual.changed(evaluation=usual.evaluation.changed(direction_step=20))),
    ]
    assert len({night_key(DATASET, usual), *others}) == 7


def test_where_the_series_is_and_what_is_said_of_it_do_not():
    """So a home can be moved, and its nights are still found."""
    moved = replace(DATASET, path="/elsewhere", notes=("a hole",), adjustment="x", calendar="XNYS")
    key = night_key(DATASET, Settings())
    assert night_key(moved, Settings()) == key
    assert len(bytes.fromhex(key)) == 32


@pytest.mark.slow
def test_other_code_of_the_numbers_makes_another_night_and_that_of_texts_plots_and_tracking_does_not(
    tmp_path,
):
    *code, whole, without = run_on(copied(tmp_path), CHANGED)
    assert whole[1] != without[1], "a shipped vintage counts too"
    changed = {name: (training, evaluation) for name, training, evaluation in code}
    as_it_is = changed[""]
    for of_no_number in ("plots/forecast", "nights/summary", "tracking/runs", "nights/night_key"):
        assert changed[of_no_number] == as_it_is, of_no_number
    assert changed["evaluation/assessment"][0] == as_it_is[0]
    assert changed["evaluation/assessment"][1] != as_it_is[1]
    assert not {*changed["training/ticker_training"]} & {*as_it_is}
