"""The commands that operate a home: backup and restore, and how what runs until Ctrl-C ends."""

from pathlib import Path

import pytest

from deployments.cli.app import run
from stockml.home import HomePaths
from stockml.training.tuned_settings import tuned_settings, write_tuned_settings

Captured = pytest.CaptureFixture[str]


def test_a_backup_and_a_restore_name_the_home(
    home: HomePaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setenv("ALPHAVANTAGE_API_KEY", "K" * 16)
    write_tuned_settings(home, "IBM", {"training.epochs": 2}, {})
    assert run(["backup", str(file := tmp_path / "b.zip")]) == 0
    assert capsys.readouterr().out.startswith(f"1 file of {home.root} archived in {file} (")
    assert run(["restore", str(file)]) == 1
    assert "expected an empty home, found" in capsys.readouterr().err
    home.root.rename(tmp_path / "before")
    assert run(["restore", str(file)]) == 0
    assert capsys.readouterr().out.startswith(f"1 file brought to {home.root} from {file} (")
    assert tuned_settings(home, "IBM") == {"training.epochs": 2}
