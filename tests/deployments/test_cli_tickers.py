"""BRK.B and BRK-B are one share: the second spelling begins no second one."""

from pathlib import Path

import pytest

from deployments.cli.app import run
from deployments.registration.own_list import add
from stockml.home import Home
from stockml.prices.store import BarStore
from tests.support.commands import Captured
from tests.support.recordings import recorded


@pytest.fixture
def file(tmp_path: Path) -> Path:
    recorded("IBM").head(60).to_csv(file := tmp_path / "brk-b.us.txt", index_label="date")
    return file


@pytest.mark.parametrize("listed", [True, False])
def test_a_share_is_not_renamed_to_another_spelling_of_one_that_is_there(
    home: Home, file: Path, capsys: Captured, listed: bool
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


@pytest.mark.parametrize("asked", ["BRK-B FILE", "FOLDER"])
def test_history_is_imported_for_the_listed_spelling_of_a_share(
    home: Home, file: Path, capsys: Captured, asked: str
) -> None:
    """Its nights never saw what a file brk-b.us.txt had brought."""
    add(home, ["BRK.B"], {})
    command = ["import", *asked.replace("FILE", str(file)).replace("FOLDER", str(file.parent)).split()]
    for more in (["--dry-run"], []):
        assert run([*command, *more]) == 0
        assert capsys.readouterr().out.startswith("BRK.B: 60 sessions ")
    assert BarStore.of(home).tickers() == ("BRK.B",)


def test_who_lists_another_spelling_than_the_bars_have_is_told_how_to_join_them(
    home: Home, file: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
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
