"""The newest notices stay, one line each, without line breaks."""

from datetime import UTC, datetime

from stockml.home import HomePaths
from stockml.maintenance.notice_log import MAX_LINES, append_notice
from stockml.storage.files import write_atomically

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def test_the_newest_notices_stay_one_line_each(home: HomePaths) -> None:
    write_atomically(
        home.root / "notices.log",
        b"".join(b"at some time %d\n" % number for number in range(MAX_LINES)),
    )
    for number in (MAX_LINES, MAX_LINES + 1):
        append_notice(home, f"nightly IBM Failed:\u2028\n{number}", NOW)
    lines = (home.root / "notices.log").read_text().splitlines()
    assert [line.rpartition(" ")[2] for line in lines] == [
        str(number) for number in range(2, MAX_LINES + 2)
    ]
