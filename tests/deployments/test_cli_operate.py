"""A home whose restore was cut short is refused until it is finished: a night would begin anew what is not there."""

import hashlib
import io
import json
import os
import shlex
import signal
import subprocess
import sys
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from deployments.cli import operate
from deployments.cli.app import run
from stockml.errors import StoreError
from stockml.home import HomePaths
from stockml.home import current_home as home_of
from stockml.maintenance.backup import back_up
from stockml.storage.files import write_atomically
from stockml.storage.sharing import ticker_lock
from stockml.training.tuned_settings import tuned_settings, write_tuned_settings
from tests.support.own_servers import free_port
from tests.support.patience import PATIENCE_S

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    other = home_of({"STOCKML_HOME": str(tmp_path / "other")})
    for ticker in ("IBM", "KO"):
        write_tuned_settings(other, ticker, {"training.epochs": 2}, {})
    back_up(other, tmp_path / "b.zip", datetime(2026, 11, 24, tzinfo=UTC))
    return tmp_path / "b.zip"


def test_a_half_restored_home_is_refused_until_the_same_command_has_finished_it(
    home: HomePaths, archive: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setenv("ALPHAVANTAGE_API_KEY", "K" * 16)
    real = os.replace

    def dies(source: Path, target: Path) -> None:
        if Path(target) == home.settings / "IBM.json":
            raise KeyboardInterrupt
        real(source, target)

    with monkeypatch.context() as dying:
        dying.setattr(os, "replace", dies)
        assert run(["restore", str(archive)]) == 130
    capsys.readouterr()
    found = "expected a home that was restored whole, found that this was cut short"
    mark = home.locks / "restoring"
    way_on = (
        f"{found}; finish it: `stockml restore {archive}`, or, without that archive, remove {mark} to go on as it is"
    )
    for command in (["status"], ["nightly", "IBM"], ["tickers", "add", "IBM"]):
        assert run(command) == 1
        assert capsys.readouterr().err == f"stockml: {home.root}: {way_on}\n"
    with pytest.raises(StoreError, match="restored whole"), ticker_lock(home, "IBM"):
        raise AssertionError
    assert run(["restore", str(archive), "--only", "settings/IBM.json"]) == 0
    assert run(["status"]) == 1, "one file is not all of them"
    (home.settings / "IBM.json").unlink()
    capsys.readouterr()
    usual = home.root.with_name(".stockml")
    with monkeypatch.context() as without_key:  # a home that holds nothing yet, without a key, would be the replay's
        for name in ("ALPHAVANTAGE_API_KEY", "STOCKML_HOME"):
            without_key.delenv(name)
        without_key.setenv("HOME", str(usual.parent))
        home.root.rename(usual)
        assert run(["doctor"]) == 1
        usual.rename(home.root)
    assert f"PROBLEM home: {home.root}: {way_on}\n".replace(str(home.root), str(usual)) in capsys.readouterr().out
    assert run(["restore", str(archive)]) == 0
    assert tuned_settings(home, "IBM") == {"training.epochs": 2}
    assert run(["tickers", "list"]) == 0


@pytest.mark.parametrize("whole", [True, False])
def test_a_part_that_was_cut_short_is_finished_by_the_whole_or_from_wherever_the_archive_is_by_now(
    whole: bool, home: HomePaths, archive: Path
) -> None:
    begun = shlex.join(["stockml", "restore", str(archive), "--only", "settings"])
    write_atomically(home.locks / "restoring", begun.encode())
    moved = archive.rename(archive.with_name("moved.zip"))
    assert run(["restore", str(moved), *([] if whole else ["--only", "settings"])]) == 0
    assert run(["tickers", "list"]) == 0


def test_what_is_damaged_in_an_archive_is_named_without_what_the_terminal_would_obey(
    home: HomePaths, archive: Path, capsys: Captured
) -> None:
    name = "bases/base-2001-06\x1b]0;mine\x07.npz"
    with zipfile.ZipFile(archive) as kept, zipfile.ZipFile(forged := archive.with_name("c.zip"), "w") as made:
        about = json.loads(kept.read("manifest.json"))
        about["files"] = {name: hashlib.sha256(b"").hexdigest()}
        made.writestr("manifest.json", json.dumps(about))
        made.writestr(name, b"")
    assert run(["restore", str(forged)]) == 1
    assert "/bases/base-2001-06\\x1b]0;mine\\x07.npz: expected" in (said := capsys.readouterr().err)
    assert said.removesuffix("\n").isprintable()


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
