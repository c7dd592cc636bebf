"""A real file system without room under a night's home: nothing half-written is believed, and the
next run, with room, ends as if nothing had happened."""

import os
import shutil
from multiprocessing import Pipe

import pytest
from prefect.settings import PREFECT_API_URL

from stockml.home import current_home as home_of
from tests.faults.test_night_faults import ASKED
from tests.support.night_process import copied, forked, reporting, standing, start_night
from tests.support.patience import PATIENCE_S
from tests.support.small_disk import fill, make_room, mount_small_disk

ROOM = 0.1  # of what a night adds to its home; its bars, model and scores are the first fifth


@pytest.mark.campaign
@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
def test_a_night_without_room_says_so_and_is_done_once_when_there_is_room(ready, tmp_path):
    undisturbed = copied(ready, tmp_path / "undisturbed")
    start_night(undisturbed, **ASKED).join(PATIENCE_S)
    pages = [pages_of(place) for place in (ready, undisturbed)]
    free = int(ROOM * (pages[1] - pages[0])) * 4096
    here, there = Pipe(duplex=False)
    night = forked(short_of_room, there, ready, tmp_path / "short", free, PREFECT_API_URL.value())
    there.close()
    assert here.poll(PATIENCE_S)
    failed, said, half_written, again, after = here.recv()
    night.join(PATIENCE_S)
    assert failed
    assert "make room" in said
    assert half_written == []
    assert (again, after) == ("Completed", standing(undisturbed))


def short_of_room(result, ready, folder, free, api):
    """Send how a night with `free` bytes of room ended, and the next one; its process alone sees
    the small disk."""
    mount_small_disk(folder)  # first: a process with threads may not mount
    os.environ["STOCKML_HOME"] = str(folder)
    shutil.copytree(ready.root, folder, dirs_exist_ok=True)
    from flows.nightly import nightly

    with reporting(api, quiet=True):
        fill(folder, free)
        first = nightly(**ASKED, return_state=True)
        half_written = [str(path) for path in folder.rglob(".*.tmp")]
        make_room(folder)
        again = nightly(**ASKED, return_state=True)
    result.send((first.is_failed(), first.message, half_written, again.name, standing(home_of())))


def pages_of(home):
    """How many pages of 4 KiB the home's files take."""
    return sum(-(-path.stat().st_size // 4096) for path in home.root.rglob("*") if path.is_file())
