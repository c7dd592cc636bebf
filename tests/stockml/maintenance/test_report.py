"""What the weekly maintenance did is told in a line and a table that say what could not be done,
and what to do."""

from stockml.maintenance.report import StepReport, markdown, summary


def test_the_report_names_what_was_removed_and_what_could_not_be_done() -> None:
    account = [
        StepReport("models", 2, 2_500_000, ("`models/IBM/a`", "`models/IBM/b`")),
        StepReport("clear MLflow", failed="away"),
        StepReport("files", 1, 0, ("![x](//y)",), failed="<img src=//x>"),
    ]
    assert (
        summary(account) == "3 things, 2.5 MB. Not done: clear MLflow: away; files: <img src=//x>"
    )
    assert summary(account[:1]) == "2 things, 2.5 MB"
    assert summary(account[1:2]) == "nothing was due. Not done: clear MLflow: away"
    assert summary([StepReport("models")]) == "nothing was due"
    text = markdown(account, dry_run=True)
    assert "dry run: nothing was changed" in text
    assert "| models | 2 | 2.5 MB |" in text
    assert "| clear MLflow | not done: away | – |" in text
    assert "- `models/IBM/b`" in text
    assert not {"<", "["} & {*text}, "a page would fetch an image"


def test_of_what_was_removed_fifty_are_named_and_the_others_counted() -> None:
    for count, last in ((50, "- thing 49"), (52, "- and 2 more")):
        text = markdown(
            [StepReport("models", count, 0, tuple(f"thing {at}" for at in range(count)))],
            dry_run=False,
        )
        assert text.splitlines()[-1] == last
        assert text.startswith("## What maintenance did\n")
