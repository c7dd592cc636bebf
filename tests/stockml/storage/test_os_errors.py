"""What the system refuses is told with its file and what to do; what is out of reach is not taken
for nothing."""

import errno
from pathlib import Path

import pytest

from stockml.errors import NoChampion, StoreError
from stockml.home import HomePaths
from stockml.storage.os_errors import RESTORING, check_home, check_links, refused, unreadable


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device", "/home/f"),
            "/home/f: expected room on the disk, found none",
        ),
        (
            OSError(errno.EDQUOT, "Disk quota exceeded", "/home/f"),
            "(Disk quota exceeded); make room, then run this again",
        ),
        (
            IsADirectoryError(errno.EISDIR, "Is a directory", "/home/f"),
            "/home/f: expected a file, found a folder; name",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied", "/home/f"),
            "/home/f: Permission denied; see that it is there",
        ),
        (
            OSError(errno.EACCES, "Permission denied", ".f.1.tmp", None, "/home/f"),
            "/home/f: Permission denied; see that",
        ),
        (
            OSError("an error without a file"),
            "an error without a file; see that it is there, and that you may",
        ),
    ],
)
def test_a_refusal_names_its_file_and_what_to_do(error: OSError, told: str) -> None:
    assert told in refused(error)


def test_an_error_of_our_own_says_itself() -> None:
    error = NoChampion("model", "to keep needs the folder of one; retrain first")
    assert refused(error) == str(error)


def test_a_record_that_is_closed_to_this_user_is_not_to_be_moved_away() -> None:
    closed = PermissionError(errno.EACCES, "Permission denied")
    assert str(unreadable(Path("/home/f"), closed)).endswith("see that you may read and write it")
    damaged = str(unreadable(Path("/home/f"), ValueError("line 3")))
    assert ("line 3" in damaged, damaged.endswith("see that you may read and write it")) == (
        True,
        False,
    )


def test_a_link_to_what_is_not_there_is_no_missing_file(tmp_path: Path) -> None:
    (tmp_path / "there").touch()
    (tmp_path / "link").symlink_to(tmp_path / "there")
    check_links([tmp_path / "link", tmp_path / "there", tmp_path / "absent"])
    (tmp_path / "there").unlink()
    with pytest.raises(
        StoreError,
        match=f"link.*found a link to {tmp_path}/there, where nothing is; mount that disk",
    ):
        check_links([tmp_path / "absent", tmp_path / "link"])


@pytest.mark.parametrize(
    "name", ["store", "ledger", "nights", "models", "pretrained", "settings", "prices.json"]
)
def test_a_home_of_which_something_is_on_a_disk_that_is_away_is_refused(
    home: HomePaths, name: str
) -> None:
    check_home(home)
    home.root.mkdir()
    check_home(home)
    (home.root / name).symlink_to("/no/such/disk")
    with pytest.raises(StoreError, match="mount that disk or bring it back"):
        check_home(home)


def test_a_home_whose_restore_was_cut_short_is_refused_but_to_the_restore(home: HomePaths) -> None:
    home.locks.mkdir(parents=True)
    (home.locks / RESTORING).write_text("stockml restore b.zip")
    check_home(home, restoring=True)
    with pytest.raises(
        StoreError,
        match=r"was cut short; finish it: `stockml restore b\.zip`, or, without that archive",
    ):
        check_home(home)
