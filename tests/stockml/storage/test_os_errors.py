"""What the system refuses is told with its file and what to do; what is out of reach is not taken
for nothing."""

import errno
from pathlib import Path

import pytest

from stockml.errors import NoChampion, StoreError
from stockml.storage.os_errors import RESTORING, check_home, check_links, refused, unreadable


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(errno.ENOSPC, "No space left", "/home/f"), "/home/f: expected room"),
        (OSError(errno.EDQUOT, "Disk quota exceeded", "/home/f"), "(Disk quota exceeded)"),
        (IsADirectoryError(errno.EISDIR, "Is one", "/home/f"), "/home/f: expected a file"),
        (OSError(errno.EACCES, "Denied", ".f.tmp", None, "/home/f"), "/home/f: Denied; see"),
        (OSError("an error without a file"), "an error without a file; see"),
        (NoChampion("model", "why"), str(NoChampion("model", "why"))),
    ],
)
def test_a_refusal_names_its_file_and_what_to_do(error, told):
    assert told in refused(error)


def test_a_record_that_is_closed_to_this_user_is_not_to_be_moved_away():
    closed = PermissionError(errno.EACCES, "Permission denied")
    assert "move it away" not in str(unreadable(Path("/home/f"), closed))
    damaged = str(unreadable(Path("/home/f"), ValueError("line 3")))
    assert "line 3" in damaged
    assert "move it away" in damaged


def test_a_link_to_what_is_not_there_is_no_missing_file(tmp_path):
    (tmp_path / "there").touch()
    (tmp_path / "link").symlink_to(tmp_path / "there")
    check_links([tmp_path / "link", tmp_path / "there", tmp_path / "absent"])
    (tmp_path / "there").unlink()
    with pytest.raises(StoreError, match=f"link.*{tmp_path}/there"):
        check_links([tmp_path / "absent", tmp_path / "link"])


@pytest.mark.parametrize("name", ["store", "models", "prices.json"])
def test_a_home_of_which_something_is_on_a_disk_that_is_away_is_refused(home, name):
    check_home(home)
    home.root.mkdir()
    check_home(home)
    (home.root / name).symlink_to("/no/such/disk")
    with pytest.raises(StoreError, match="mount that disk or bring it back"):
        check_home(home)


def test_a_home_whose_restore_was_cut_short_is_refused_but_to_the_restore(home):
    home.locks.mkdir(parents=True)
    (home.locks / RESTORING).write_text("stockml restore b.zip")
    check_home(home, restoring=True)
    with pytest.raises(StoreError, match=r"`stockml restore b\.zip`"):
        check_home(home)
