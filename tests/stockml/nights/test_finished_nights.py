"""A night is answered from what the newest one left only as long as nothing that it rests on or
left has changed."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from stockml.home import HomePaths
from stockml.home import current_home as home_of
from stockml.models.vintage_store import SHIPPED
from stockml.nights.dataset import side_inputs_sha256
from stockml.nights.finished_nights import FILE, finished_night, keep_finished, request_sha256
from stockml.nights.record import night_path, read_night, write_night
from stockml.settings import Settings
from stockml.storage.files import sha256_of
from stockml.storage.receipts import RunReceipt
from tests.stockml.nights.test_data_notes import DAYS, IBM, NOW, append, store_of
from tests.support.nights import recorded_night

SESSION = DAYS[-1]


def finish(
    home: HomePaths,
    run_id: str | None = "r1",
    meanwhile: Callable[[HomePaths], None] = lambda home: None,
) -> RunReceipt:
    """The newest night's record and its bars, as it leaves them."""
    bars = append(home, IBM)
    request = request_sha256(
        "IBM", SESSION, Settings(), None, side_inputs_sha256(home, "IBM", SESSION)
    )
    meanwhile(home)
    night = recorded_night()
    path = night_path(home.nights, "IBM", night.key)
    write_night(night, path)
    run = RunReceipt("IBM", str(path), sha256_of(path) or "", night.key, run_id, None)
    keep_finished(home, request, run, [bars])
    return run


def test_what_the_newest_night_left_answers_the_same_request_and_no_other(home: HomePaths) -> None:
    assert finished_night(home, "IBM", SESSION, Settings(), None) is None, "before the first night"
    run = finish(home)
    assert finished_night(home, "IBM", SESSION, Settings(), None) == read_night(Path(run.path))
    assert finished_night(home, "KO", SESSION, Settings(), None) is None
    assert finished_night(home, "IBM", DAYS[-2], Settings(), None) is None
    assert finished_night(home, "IBM", SESSION, Settings().changed(mode="keep"), None) is None
    assert finished_night(home, "IBM", SESSION, Settings(), "XLON") is None


def bars_restated(home: HomePaths, run: RunReceipt) -> None:
    append(home, IBM.assign(volume=IBM["volume"] * 2), 1)


def bar_judged(home: HomePaths, run: object = None) -> None:
    store_of(home).judge("IBM", DAYS[500], accepted=False, recorded_at=NOW, source="test")


def history_imported(home: HomePaths, run: RunReceipt) -> None:
    store_of(home).record_import("IBM", IBM.iloc[:20], recorded_at=NOW, source="test")


def pretrained_learned(home: HomePaths, run: RunReceipt) -> None:
    home.pretrained.mkdir()
    shutil.copy(SHIPPED / "regression-2011-06.json", home.pretrained)


def record_gone(home: HomePaths, run: RunReceipt) -> None:
    Path(run.path).unlink()


def record_changed(home: HomePaths, run: RunReceipt) -> None:
    Path(run.path).write_bytes(Path(run.path).read_bytes() + b"\n")


def note_damaged(home: HomePaths, run: RunReceipt) -> None:
    (home.nights / "IBM" / FILE).write_text("{}")


@pytest.mark.parametrize(
    "change",
    [
        bars_restated,
        bar_judged,
        history_imported,
        pretrained_learned,
        record_gone,
        record_changed,
        note_damaged,
    ],
    ids=lambda change: change.__name__,
)
def test_a_night_is_run_again_once_anything_has_changed(
    home: HomePaths, change: Callable[[HomePaths, RunReceipt], None]
) -> None:
    change(home, finish(home))
    assert finished_night(home, "IBM", SESSION, Settings(), None) is None


def test_a_bar_that_was_judged_while_the_night_ran_is_another_nights(home: HomePaths) -> None:
    finish(home, meanwhile=bar_judged)
    assert finished_night(home, "IBM", SESSION, Settings(), None) is None


def test_a_pretrained_network_that_has_seen_later_sessions_changes_nothing(home: HomePaths) -> None:
    finish(home)
    home.pretrained.mkdir()
    shutil.copy(SHIPPED / "regression-2017-06.json", home.pretrained)
    assert finished_night(home, "IBM", SESSION, Settings(), None)


def test_a_night_that_mlflow_lacks_is_run_again(home: HomePaths) -> None:
    finish(home, run_id=None)
    assert not (home.nights / "IBM" / FILE).exists()


def test_what_was_left_in_the_original_of_a_copied_home_is_no_answer_in_the_copy(
    home: HomePaths, tmp_path: Path
) -> None:
    finish(home)
    copy = home_of({"STOCKML_HOME": str(shutil.copytree(home.root, tmp_path / "copy"))})
    assert json.loads((copy.nights / "IBM" / FILE).read_bytes())["files"]
    assert finished_night(copy, "IBM", SESSION, Settings(), None) is None
