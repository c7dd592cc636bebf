"""A night is answered from what the newest one left only as long as nothing that it rests on or
left has changed."""

import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from stockml.home import HomePaths, current_home
from stockml.models.vintage_store import SHIPPED
from stockml.nights.dataset import side_inputs_sha256
from stockml.nights.finished_nights import FILE, finished_night, keep_finished, request_sha256
from stockml.nights.record import Night, night_path, read_night, write_night
from stockml.settings import Settings
from stockml.storage.files import sha256_of
from stockml.storage.receipts import RunReceipt
from tests.stockml.nights.test_data_notes import DAYS, IBM, NOW, append, store_of
from tests.support.nights import recorded_night


def finish(
    home: HomePaths,
    run_id: str | None = "r1",
    meanwhile: Callable[[HomePaths], None] = lambda home: None,
) -> Path:
    """Leave the newest night's record, whose path is returned, and its bars."""
    bars = append(home, IBM)
    beside = side_inputs_sha256(home, "IBM", DAYS[-1])
    request = request_sha256("IBM", DAYS[-1], Settings(), None, beside)
    meanwhile(home)
    night = recorded_night()
    path = night_path(home.nights, "IBM", night.key)
    write_night(night, path)
    run = RunReceipt("IBM", str(path), sha256_of(path) or "", night.key, run_id, None)
    keep_finished(home, request, run, [bars])
    return path


def found(
    home: HomePaths,
    ticker: str = "IBM",
    session: date = DAYS[-1],
    calendar: str | None = None,
    **settings: str,
) -> Night | None:
    return finished_night(home, ticker, session, Settings().changed(**settings), calendar)


def test_what_the_newest_night_left_answers_the_same_request_and_no_other(home: HomePaths) -> None:
    assert found(home) is None, "before the first night"
    path = finish(home)
    shutil.copytree(home.nights / "IBM", home.nights / "KO")
    assert found(home) == read_night(path)
    assert found(home, ticker="KO") is None
    assert found(home, session=DAYS[-2]) is None
    assert found(home, mode="keep") is None
    assert found(home, calendar="XLON") is None


def a_bar_judged(home: HomePaths) -> None:
    store_of(home).judge("IBM", DAYS[500], accepted=False, recorded_at=NOW, source="test")


def a_vintage_copied(home: HomePaths, of: str = "2011-06") -> None:
    home.pretrained.mkdir()
    shutil.copy(SHIPPED / f"regression-{of}.json", home.pretrained)


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
def test_a_night_is_run_again_once_anything_has_changed(
    home: HomePaths, change: Callable[[HomePaths, Path], object]
) -> None:
    change(home, finish(home))
    assert found(home) is None


def test_a_bar_that_was_judged_while_the_night_ran_is_another_nights(home: HomePaths) -> None:
    finish(home, meanwhile=a_bar_judged)
    assert found(home) is None


def test_a_pretrained_network_that_has_seen_later_sessions_changes_nothing(home: HomePaths) -> None:
    finish(home)
    a_vintage_copied(home, of="2017-06")
    assert found(home)


def test_a_night_that_mlflow_lacks_is_run_again(home: HomePaths) -> None:
    finish(home, run_id=None)
    assert found(home) is None


def test_what_was_left_in_the_original_of_a_copied_home_is_no_answer_in_the_copy(
    home: HomePaths, tmp_path: Path
) -> None:
    finish(home)
    copy = current_home({"STOCKML_HOME": str(shutil.copytree(home.root, tmp_path / "copy"))})
    assert (copy.nights / "IBM" / FILE).exists()
    assert found(copy) is None
