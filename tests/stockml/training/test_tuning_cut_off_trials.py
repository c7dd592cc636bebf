"""A search's journal of trials that ends in the middle of a line: named where it was found so, and
not left so."""

import pytest

from stockml.errors import DiskFull, InvalidFile
from stockml.home import HomePaths
from stockml.storage.files import write_atomically
from stockml.training.tuned_settings import TrialRecord
from stockml.training.tuning import tune
from tests.stockml.training.small_search import search
from tests.support.small_disk import files_of_at_most

WHOLE = b'{"op_code": 0, "worker_id": "1", "study_name": "another", "directions": [1]}\n'


@pytest.mark.parametrize(
    ("journal", "line", "way_on"),
    [
        (
            WHOLE + WHOLE[:40],
            2,
            "remove that line, and the search goes on from the others; or move it away",
        ),
        (WHOLE + WHOLE.rstrip(), 2, "remove that line"),  # Optuna would write on in it
        (WHOLE + bytes(40), 2, "remove that line"),
        (WHOLE[:40] + b"\n" + WHOLE, 1, "move it away, and the search starts over"),
        (b"null\n", 1, "move it away"),
    ],
)
def test_a_journal_of_trials_that_was_cut_off_is_named_and_left_as_it_is(
    home: HomePaths, journal: bytes, line: int, way_on: str
) -> None:
    """By a full disk or a power loss: Optuna wrote on in the same line, and no search of that
    ticker began again."""
    write_atomically(path := home.root / "tuning" / "ABC.journal", journal)
    with pytest.raises(
        InvalidFile, match=rf"ABC\.journal: .* damage in line {line} of .*; {way_on}"
    ):
        tune(home, search(), trials=1)
    assert path.read_bytes() == journal


@pytest.mark.slow
@pytest.mark.parametrize("room", [300, 3_000], ids=["before the first trial", "between trials"])
def test_a_search_that_a_full_disk_ends_goes_on_once_there_is_room(
    home: HomePaths, room: int
) -> None:
    path, others = (
        home.root / "tuning" / "ABC.journal",
        [WHOLE.replace(b"ano", b"%d" % n) for n in range(4_000)],
    )
    write_atomically(path, b"".join(others))  # so that the trainings' own files fit
    full = files_of_at_most(path.stat().st_size + room)
    with full, pytest.raises(DiskFull, match=r"ABC\.journal: expected room on the disk"):
        tune(home, search(), trials=3)
    assert path.read_bytes().endswith(b"\n")
    heard: list[TrialRecord] = []
    assert tune(home, search(), trials=3, on_trial=heard.append).trials == 3
    assert len({each.number for each in heard}) == len(heard) == 3
