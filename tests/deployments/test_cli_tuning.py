"""What a search says while it runs and at its end; what else the module does is in
test_cli_commands.py."""

import json
import re
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from stockml.home import HomePaths
from tests.support.commands import Captured, here
from tests.support.recordings import recorded

FIXED = ("--set=network.units=[6]", "--set=network.cell=gru", "--set=training.epochs=1")


@pytest.mark.slow
@pytest.mark.usefixtures("with_tables")
def test_trials_are_counted_and_timed_whatever_a_killed_search_left(
    home: HomePaths, tmp_path: Path, capfd: Captured
) -> None:
    """The last of six was called the seventh, and nothing said that thirty of them take hours."""
    file = tmp_path / "ibm.us.txt"
    recorded("IBM").tail(640).rename(columns=str.capitalize).rename_axis("Date").to_csv(file)
    assert here("tune", str(file), "--trials=1", *FIXED) == 0
    study = json.loads(next(home.root.rglob("IBM.tutorial.json")).read_text())["found"]["study"]
    journal = JournalStorage(JournalFileBackend(str(next(home.root.rglob("IBM.tutorial.journal")))))
    optuna.load_study(study_name=study, storage=journal).ask()  # a trial that never ends
    capfd.readouterr()
    assert here("tune", str(file), "--trials=2", *FIXED) == 0
    first, second, _ = capfd.readouterr().err.splitlines()
    assert re.match(r"trial 1 of 2, about \d+ s left: 0\.\d{5} \(\d+ s\) dropout=0\.2 ", first)
    assert second.startswith("trial 2 of 2, all done: 0.")
