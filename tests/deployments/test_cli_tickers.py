"""BRK.B and BRK-B are one share: the second spelling begins no second one. And who waits for
Prefect is told so."""

from pathlib import Path

import pytest

from deployments.cli.app import run
from deployments.cli.runs import check_spelling
from deployments.registration.ticker_list import add
from stockml.home import HomePaths
from stockml.prices.store import BarStore
from tests.support.commands import Captured
from tests.support.recordings import recorded


@pytest.fixture
def file(tmp_path: Path) -> Path:
    recorded("IBM").head(60).to_csv(file := tmp_path / "brk-b.us.txt", index_label="date")
    return file


@pytest.mark.parametrize(
    ("command", "listed"),
    [("nightly", True), ("import", False), ("universe IBM", True), ("backfill", False)],
)
def test_another_spelling_of_a_share_has_no_night_of_its_own(
    home: HomePaths,
    file: Path,
    capsys: Captured,
    monkeypatch: pytest.MonkeyPatch,
    listed: bool,
    command: str,
) -> None:
    """It had bars, a model and forecasts of its own beside the share's, from a provider that takes
    both spellings."""
    monkeypatch.setenv("ALPHAVANTAGE_API_KEY", "K" * 16)
    if listed:
        add(home, ["BRK-B"], {})
    else:
        assert run(["import", "BRK-B", str(file)]) == 0
    days = ["2013-01-02", "2013-01-04"] if command == "backfill" else []
    assert run([*command.split(), "BRK.B", *days]) == 2
    assert "found BRK.B, there as BRK-B" in capsys.readouterr().err
    check_spelling("BRK-B", "BF.B")


@pytest.mark.parametrize(("asked", "listed"), [("BRK-B FILE", True), ("FOLDER", False)])
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
    command = [
        "import",
        *asked.replace("FILE", str(file)).replace("FOLDER", str(file.parent)).split(),
    ]
    for more in (["--dry-run"], []):
        assert run([*command, *more]) == 0
        assert capsys.readouterr().out.startswith("BRK.B: 60 sessions ")
    assert BarStore.of(home).tickers() == ("BRK.B",)


def test_bars_are_not_renamed_to_a_symbol_of_another_currency(
    home: HomePaths, file: Path, capsys: Captured
) -> None:
    """Its bars in C$ were followed by others in $, as after a fall by a quarter."""
    assert run(["import", "SHOP.TRT", str(file), "--calendar", "XNYS"]) == 0
    assert run(["tickers", "rename", "SHOP.TRT", "SHOP"]) == 2
    assert "quoted in C$" in capsys.readouterr().err
    assert BarStore.of(home).tickers() == ("SHOP.TRT",)
    assert run(["tickers", "rename", "SHOP.TRT", "SHOP-OLD.TRV"]) == 0
