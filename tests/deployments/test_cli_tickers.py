"""BRK.B and BRK-B are one share: the second spelling begins no second one. And who waits for
Prefect is told so."""

import pytest

from deployments.cli.app import run
from deployments.cli.runs import check_spelling
from deployments.registration.ticker_list import add
from stockml.prices.store import BarStore
from tests.support.commands import shown
from tests.support.recordings import recorded


@pytest.fixture
def file(tmp_path):
    recorded("IBM").head(60).to_csv(file := tmp_path / "brk-b.us.txt", index_label="date")
    return file


@pytest.mark.parametrize(
    ("command", "listed"),
    [
        ("nightly BRK.B", True),
        ("import BRK.B", False),
        ("universe IBM BRK.B", True),
        ("backfill BRK.B 2013-01-02 2013-01-04", False),
    ],
)
def test_another_spelling_of_a_share_has_no_night_of_its_own(
    home,
    file,
    capsys,
    monkeypatch,
    listed,
    command,
):
    """It had bars, a model and forecasts of its own beside the share's, from a provider that takes
    both spellings."""
    monkeypatch.setenv("ALPHAVANTAGE_API_KEY", "K" * 16)
    if listed:
        add(home, ["BRK-B"], {})
    else:
        assert run(["import", "BRK-B", str(file)]) == 0
    assert run(command.split()) == 2
    assert "found BRK.B, there as BRK-B" in capsys.readouterr().err
    check_spelling("BRK-B", "BF.B")


def test_history_is_imported_for_the_spelling_of_a_share_that_is_there(home, file, capsys):
    """Its nights never saw what a file brk-b.us.txt had brought."""
    add(home, ["BRK.B"], {})
    asked = (["BRK-B", str(file)], [str(file.parent)])
    for more in (*asked, [*asked[0], "--dry-run"], [*asked[1], "--dry-run"]):
        assert shown(capsys, "import", *more).startswith("BRK.B: ")
    assert BarStore.of(home).tickers() == ("BRK.B",)
    home.tickers.unlink()  # known by its bars alone
    assert shown(capsys, "import", *asked[1]).startswith("BRK.B: ")


def test_bars_are_not_renamed_to_a_symbol_of_another_currency(home, file, capsys):
    """Its bars in C$ were followed by others in $, as after a fall by a quarter."""
    assert run(["import", "SHOP.TRT", str(file), "--calendar", "XNYS"]) == 0
    assert run(["tickers", "rename", "SHOP.TRT", "SHOP"]) == 2
    assert "quoted in C$" in capsys.readouterr().err
    assert BarStore.of(home).tickers() == ("SHOP.TRT",)
    assert run(["tickers", "rename", "SHOP.TRT", "SHOP-OLD.TRV"]) == 0
