"""BRK.B and BRK-B are one share: the second spelling begins no second one. And who waits for Prefect is told so."""

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer import BadParameter

from deployments.cli.app import run
from deployments.cli.runs import check_spelling
from deployments.registration.ticker_list import add
from stockml.home import HomePaths
from stockml.prices.csv_import import import_file
from stockml.prices.store import BarStore
from stockml.storage.locks import file_lock
from tests.support.commands import Captured
from tests.support.recordings import recorded


@pytest.fixture
def file(tmp_path: Path) -> Path:
    recorded("IBM").head(60).to_csv(file := tmp_path / "brk-b.us.txt", index_label="date")
    return file


@pytest.mark.parametrize("listed", [True, False])
def test_a_share_is_not_renamed_to_another_spelling_of_one_that_is_there(
    home: HomePaths, file: Path, capsys: Captured, listed: bool
) -> None:
    for ticker in ("X", "BRK-B"):
        assert run(["import", ticker, str(file)]) == 0
    if listed:
        add(home, ["X", "BRK-B"], {})
    assert run(["rename", "X", "BRK.B"]) == 2
    assert "found BRK.B, there as BRK-B" in capsys.readouterr().err
    assert BarStore.of(home).tickers() == ("BRK-B", "X")
    assert run(["rename", "BRK-B", "BRK.B"]) == 0, "its own spelling can be changed"
    assert BarStore.of(home).tickers() == ("BRK.B", "X")


def test_bars_are_not_renamed_to_a_symbol_of_another_currency(home: HomePaths, file: Path, capsys: Captured) -> None:
    """Its bars in C$ were followed by others in $, as after a fall by a quarter."""
    add(home, ["MBG.LON", "SHOP.TRT"], {})
    assert run(["import", "SHOP.TRT", str(file), "--calendar", "XNYS"]) == 0
    assert run(["rename", "SHOP.TRT", "SHOP"]) == 2
    assert "expected a symbol quoted in C$, as SHOP.TRT is, found SHOP, in $" in capsys.readouterr().err
    assert BarStore.of(home).tickers() == ("SHOP.TRT",)
    assert run(["rename", "SHOP.TRT", "SHOP-OLD.TRV"]) == 0
    assert run(["rename", "SHOP-OLD.TRV", "SHOP.XYZ"]) == 0, "of an exchange that is not known, neither is its currency"
    assert run(["rename", "MBG.LON", "MBG.DEX"]) == 0, "without bars, a misspelt one can be corrected"


@pytest.mark.parametrize("command", ["nightly", "history", "universe IBM", "backfill"])
@pytest.mark.parametrize("listed", [True, False])
def test_another_spelling_of_a_share_has_no_night_of_its_own(
    home: HomePaths, file: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch, listed: bool, command: str
) -> None:
    """It had bars, a model and forecasts of its own beside the share's, from a provider that takes both spellings."""
    monkeypatch.setenv("ALPHAVANTAGE_API_KEY", "K" * 16)
    if listed:
        add(home, ["BRK-B"], {})
    else:
        assert run(["import", "BRK-B", str(file)]) == 0
    days = ["2013-01-02", "2013-01-04"] if command == "backfill" else []
    assert run([*command.split(), "BRK.B", *days]) == 2
    assert "found BRK.B, there as BRK-B" in capsys.readouterr().err
    check_spelling("BRK-B", "BF.B")


def test_who_has_both_spellings_keeps_both_until_one_is_listed(home: HomePaths, file: Path) -> None:
    store = BarStore.of(home)
    for ticker in ("BRK-B", "BRK.B"):  # as an earlier version let them
        import_file(store, file, ticker=ticker, recorded_at=datetime.now(UTC))
    check_spelling("BRK-B", "BRK.B")
    add(home, ["BRK.B"], {})
    with pytest.raises(BadParameter, match=r"found BRK-B, there as BRK\.B"):
        check_spelling("BRK-B")


@pytest.mark.parametrize("asked", ["BRK-B FILE", "FOLDER"])
@pytest.mark.parametrize("listed", [True, False])
def test_history_is_imported_for_the_spelling_of_a_share_that_is_there(
    home: HomePaths, file: Path, capsys: Captured, asked: str, listed: bool
) -> None:
    """Its nights never saw what a file brk-b.us.txt had brought."""
    if listed:
        add(home, ["BRK.B"], {})
    else:
        earlier = file.parent / "earlier" / "brk.b.csv"
        earlier.parent.mkdir()
        recorded("IBM").head(30).to_csv(earlier, index_label="date")
        assert run(["import", "BRK.B", str(earlier)]) == 0
        capsys.readouterr()
    command = ["import", *asked.replace("FILE", str(file)).replace("FOLDER", str(file.parent)).split()]
    for more in (["--dry-run"], []):
        assert run([*command, *more]) == 0
        assert capsys.readouterr().out.startswith("BRK.B: 60 sessions ")
    assert BarStore.of(home).tickers() == ("BRK.B",)


def test_who_lists_another_spelling_than_the_bars_have_is_told_how_to_join_them(
    home: HomePaths, file: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its nights never saw what had been imported before, and a second import made no difference."""
    monkeypatch.setenv("ALPHAVANTAGE_API_KEY", "K" * 16)
    assert run(["import", str(file.parent)]) == 0
    assert run(["tickers", "add", "BRK.B", "KO"]) == 0
    note = "the bars of BRK.B are there as BRK-B: `stockml rename BRK-B BRK.B`\n"
    assert note in capsys.readouterr().out
    assert run(["rename", "BRK-B", "BRK.B"]) == 0
    assert BarStore.of(home).tickers() == ("BRK.B",)
    assert run(["tickers", "add", "BRK.B"]) == 0
    assert "the bars of" not in capsys.readouterr().out


def test_who_waits_for_another_command_to_update_prefect_is_told_for_which(
    home: HomePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALPHAVANTAGE_API_KEY", "K" * 16)
    command = [sys.executable, "-m", "deployments.cli.register"]
    with (
        file_lock(home.locks / "deploy.lock", 0),
        subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as waiting,
    ):
        assert waiting.stderr
        told = waiting.stderr.readline()
        waiting.terminate()
    whom = f" for process {os.getpid()}: " if Path("/proc/locks").exists() else "\n"
    assert told.startswith(f"stockml: another command updates Prefect: waiting{whom}")
