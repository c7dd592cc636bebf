"""A night is answered from what the newest one left only as long as nothing that it rests on or
left has changed."""

import shutil

import pytest

from stockml.home import current_home
from stockml.models.vintage_store import SHIPPED
from stockml.nights.dataset import side_inputs_sha256
from stockml.nights.finished_nights import FILE, finished_night, keep_finished, request_sha256
from stockml.nights.record import night_path, read_night, write_night
from stockml.settings import Settings
from stockml.storage.files import sha256_of
from stockml.storage.receipts import RunReceipt
from tests.stockml.nights.test_dataset import DAYS, IBM, NOW, append, store_of
from tests.support.nights import recorded_night


def finish(home, run_id="r1", meanwhile=lambda home: None):
    """Leave the newest night's record, whose path is returned, and its bars."""
    bars, night = append(home, IBM), recorded_night()
    beside = side_inputs_sha256(home, "IBM", DAYS[-1])
    meanwhile(home)
    write_night(night, path := night_path(home.nights, "IBM", night.key))
    run = RunReceipt("IBM", str(path), sha256_of(path), night.key, run_id, None)
    request = request_sha256("IBM", DAYS[-1], Settings(), None, beside)
    keep_finished(home, request, run, [bars])
    return path


def found(home, **changes):
    asked = {"ticker": "IBM", "session": DAYS[-1], "settings": Settings(), "calendar": None}
    return finished_night(home, **asked | changes)


def test_what_the_newest_night_left_answers_the_same_request_and_no_other(home):
    assert found(home) is None, "before the first night"
    path = finish(home)
    shutil.copytree(home.nights / "IBM", home.nights / "KO")
    assert found(home) == read_night(path)
    for other in (
        {"ticker": "KO"},
        {"session": DAYS[-2]},
        {"settings": Settings().changed(mode="keep")},
        {"calendar": "XLON"},
    ):
        assert found(home, **other) is None


def a_bar_judged(home):
    store_of(home).judge("IBM", DAYS[500], accepted=False, recorded_at=NOW, source="test")


def a_vintage_copied(home):
    home.pretrained.mkdir()
    shutil.copy(SHIPPED / "regression-2011-06.json", home.pretrained)


@pytest.mark.parametrize(
    "change",
    [
        lambda home, record: append(home, IBM.assign(volume=IBM["volume"] * 2), 1),
        lambda home, record: a_bar_judged(home),
        lambda home, record: a_vintage_copied(home),
        lambda home, record: record.unlink(),
        lambda home, record: record.write_bytes(record.read_bytes() + b"\n"),
        lambda home, record: (home.nights / "IBM" / FILE).write_text("{}"),
    ],
    ids=["restated", "judged", "pretrained", "record gone", "record changed", "note damaged"],
)
def test_a_night_is_run_again_once_anything_has_changed(home, change):
    change(home, finish(home))
    assert found(home) is None


@pytest.mark.parametrize("end", [{"meanwhile": a_bar_judged}, {"run_id": None}])
def test_a_night_during_which_a_bar_was_judged_or_that_mlflow_lacks_is_run_again(home, end):
    finish(home, **end)
    assert found(home) is None


def test_what_was_left_in_the_original_of_a_copied_home_is_no_answer_in_the_copy(home, tmp_path):
    finish(home)
    copy = current_home({"STOCKML_HOME": str(shutil.copytree(home.root, tmp_path / "copy"))})
    assert (copy.nights / "IBM" / FILE).exists()
    assert found(copy) is None
