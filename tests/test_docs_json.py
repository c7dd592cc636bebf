"""docs/json.md names every field that `--json` prints, and no other.

Commands that need a server or train are checked where they run: test_cli_commands.py,
test_models.py, test_studies.py.
"""

import json
import re
import shutil
from typing import Any

import pytest
from typer.main import get_command

from deployments.cli.app import app, run
from stockml.nights.record import kept_nights
from stockml.nights.summary import as_json
from tests.support.json_fields import PAGE, check_fields, told
from tests.support.old_homes import restored_to
from tests.support.recordings import recorded
from tests.test_docs import parts_of


def shown(capsys, *arguments):
    run([*arguments, "--json"])
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_every_command_with_json_is_told_and_no_other():
    parts = parts_of(get_command(app))
    with_json = {
        name for name, part in parts if any(each.name == "as_json" for each in part.params)
    }
    named = {
        f"stockml {re.split(r' --| [A-Z]', each)[0]}" for each in told() if not each.endswith("[]")
    }
    assert named == with_json


def test_every_row_of_the_table_is_read():
    rows = [
        line
        for line in PAGE.read_text().splitlines()
        if line.startswith("| `") or line.startswith("| |")
    ]
    assert (
        len(rows)
        == len(re.findall(r"^\| *(?:`.*?)? *\| `.*? \| .+ \|$", PAGE.read_text(), re.MULTILINE))
        > 50
    )


def test_what_is_shown_of_a_home_has_the_fields_that_are_told(home, capsys):
    restored_to(home.root)
    for command in ("status", "forecast IBM", "bars IBM", "tickers list"):
        check_fields(command.removesuffix(" IBM"), shown(capsys, *command.split()))
    for view in ("bars --holes", "bars --restated", "forecast --past"):
        check_fields(view, shown(capsys, *view.split(), "IBM"))
    check_fields("doctor", shown(capsys, "doctor"))
    archive = str(home.root.parent / "home.zip")
    check_fields("backup", shown(capsys, "backup", archive))
    shutil.rmtree(home.root)
    check_fields("restore", shown(capsys, "restore", archive))


@pytest.mark.slow
def test_a_night_has_the_fields_that_are_told(home, capsys):
    check_fields("nightly", shown(capsys, "nightly", "IBM", "--session", "2013-03-02"))
    night = as_json(kept_nights(restored_to(home.root).nights, "IBM")[-1])
    check_fields("nightly", night)
    assert set(night["forecast"]) < told()["forecast"]


@pytest.mark.usefixtures("home")
def test_an_import_has_the_fields_that_are_told(tmp_path, capsys):
    (files := tmp_path / "files").mkdir()
    recorded("IBM").head(50).rename(columns=str.capitalize).rename_axis("Date").to_csv(
        files / "ibm.csv"
    )
    (files / "broken.csv").write_text("not prices")
    check_fields("import FOLDER --dry-run", shown(capsys, "import", str(files), "--dry-run"))
    found = shown(capsys, "import", str(files))
    check_fields("import FOLDER", found)
    for imported in (*found["imported"], shown(capsys, "import", "IBM", str(files / "ibm.csv"))):
        check_fields("import TICKER FILE", imported)
