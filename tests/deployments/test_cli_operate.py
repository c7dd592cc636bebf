"""The commands that operate a home: backup and restore, and how what runs until Ctrl-C ends."""

import io
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from deployments.cli import operate
from deployments.cli.app import run
from stockml.home import HomePaths
from stockml.training.tuned_settings import tuned_settings, write_tuned_settings
from tests.support.own_servers import free_port
from tests.support.patience import PATIENCE_S

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


class Interrupting(io.RawIOBase):
    """Ctrl-C arrives while the first line is written to it."""

    left = 1

    def writable(self) -> bool:
        return True

    def write(self, line: Any, /) -> int:
        for _ in range(self.left):
            self.left = 0
            signal.raise_signal(signal.SIGINT)
        return len(line)


def test_ctrl_c_while_a_line_is_printed_stops_as_at_any_other_moment(
    monkeypatch: pytest.MonkeyPatch, capfd: Captured
) -> None:
    """Printed from within another `print`, "stopping" was an unexpected error, with a report to send."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BufferedWriter(Interrupting())))
    try:
        signal.signal(signal.SIGINT, operate._interrupted)
        with pytest.raises(KeyboardInterrupt):
            operate._say("Ctrl-C stops everything")
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert capfd.readouterr().out == "stopping\n"


@pytest.mark.slow
@pytest.mark.parametrize("wrapper", ["env --default-signal=HUP", "nohup"])  # the tests may run under nohup themselves
def test_a_terminal_that_is_closed_stops_everything_in_order_but_for_nohup(home: HomePaths, wrapper: str) -> None:
    """A run at work could not tell its end: the worker and its server were gone at once."""
    ports = ["--prefect-port", str(free_port()), "--mlflow-port", str(free_port())]
    command = [*wrapper.split(), sys.executable, "-m", "deployments.cli", "up", *ports]
    streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, **streams, text=True) as process:
        assert process.stdout
        assert "recorded prices" in process.stdout.readline()
        process.send_signal(signal.SIGHUP)
        if wrapper == "nohup":
            assert process.stdout.readline().startswith("deployments: ")
            process.send_signal(signal.SIGINT)
        else:
            process.stdout.close()
        assert process.wait(PATIENCE_S) == 0
