"""What maintenance did is told in a line and a table that say what could not be done; the newest
notices stay, one line each."""

from datetime import UTC, datetime

from flows.notices import MAX_NOTICES, append_notice
from stockml.home import HomePaths
from stockml.storage.files import write_atomically
from tasks.maintenance import StepReport, markdown, summary


def test_the_report_names_what_was_removed_and_what_could_not_be_done() -> None:
    steps = [
        StepReport("models", 2, 2_500_000, ("`models/IBM/a`", "`models/IBM/b`")),
        StepReport("files", 1, 0, ("![x](//y)",), failed="<img src=//x>"),
    ]
    assert summary(steps) == "3 things, 2.5 MB. Not done: files: <img src=//x>"
    assert summary([StepReport("models")]) == "nothing was due"
    text = markdown(steps, dry_run=True)
    assert "nothing was changed" in text
    assert "| models | 2 | 2.5 MB |" in text
    assert "- `models/IBM/b`" in text
    assert not {"<", "["} & {*text}, "a page would fetch an image"


def test_of_what_was_removed_fifty_are_named_and_the_others_counted() -> None:
    for count, last in ((50, "- thing 49"), (52, "- and 2 more")):
        things = tuple(f"thing {at}" for at in range(count))
        text = markdown([StepReport("models", count, 0, things)], dry_run=False)
        assert text.splitlines()[-1] == last


def test_the_newest_notices_stay_one_line_each(home: HomePaths) -> None:
    write_atomically(
        home.root / "notices.log",
        b"".join(b"at some time %d\n" % number for number in range(MAX_NOTICES)),
    )
    for number in (MAX_NOTICES, MAX_NOTICES + 1):
        append_notice(
            home, f"nightly IBM Failed:\u2028\n{number}", datetime(2026, 11, 24, tzinfo=UTC)
        )
    lines = (home.root / "notices.log").read_text().splitlines()
    assert [line.rpartition(" ")[2] for line in lines] == [
        str(number) for number in range(2, MAX_NOTICES + 2)
    ]
