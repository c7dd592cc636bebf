"""What maintenance did is told in a line and a table that say what could not be done; the newest
notices stay, one line each."""

from datetime import UTC, datetime

from flows.notices import MAX_NOTICES, append_notice
from stockml.storage.files import write_atomically
from tasks.maintenance import StepReport, markdown, summary


def test_the_report_names_fifty_things_that_were_removed_and_what_could_not_be_done():
    things = tuple(f"`models/IBM/{at}`" for at in range(52))
    steps = [
        StepReport("models", 52, 2_500_000, things),
        StepReport("files", 1, 0, ("![x](//y)",), failed="<img src=//x>"),
    ]
    assert summary(steps) == "53 things, 2.5 MB. Not done: files: <img src=//x>"
    assert summary([StepReport("models")]) == "nothing was due"
    text = markdown(steps, dry_run=True)
    for said in ("nothing was changed", "| models | 52 | 2.5 MB |", "- `models/IBM/1`"):
        assert said in text
    assert not {"<", "["} & {*text}, "a page would fetch an image"
    for count, last in ((50, "- `models/IBM/49`"), (52, "- and 2 more")):
        text = markdown([StepReport("models", count, 0, things[:count])], dry_run=False)
        assert text.splitlines()[-1] == last


def test_the_newest_notices_stay_one_line_each(home):
    file, at = home.root / "notices.log", datetime(2026, 11, 24, tzinfo=UTC)
    write_atomically(file, b"".join(b"at some time %d\n" % n for n in range(MAX_NOTICES)))
    for number in (MAX_NOTICES, MAX_NOTICES + 1):
        append_notice(home, f"nightly IBM Failed:\u2028\n{number}", at)
    numbers = [int(line.split(" ")[-1]) for line in file.read_text().splitlines()]
    assert numbers == [*range(2, MAX_NOTICES + 2)]
