"""A person's own list in the home: comments and order survive every change; a wrong one changes
nothing."""

import json
import tempfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.cli.app import run
from deployments.registration import ticker_list
from deployments.registration.ticker_list import add, remove, rename, tickers_of
from deployments.registration.tickers_file import TICKERS_FILE
from stockml.errors import InvalidFile, StoreBusy
from stockml.home import current_home as home_of
from stockml.storage.locks import file_lock

MINE = """# what I hold
tickers:   # few
  - IBM  # since 2009

  # the British one
  - ticker: TSCO.LON
    at: "23:40"
    calendar: XLON
  - "ON"
defaults: {profile: nightly}
"""


def names(home):
    return [entry.ticker for entry in tickers_of(home).tickers]


def test_ones_own_list_begins_with_the_projects(home):
    assert names(home) == ["IBM", "AAPL", "MSFT"]
    assert (add(home, ["IBM"], {}), remove(home, ["KO"])) == ((), ())
    assert not home.tickers.exists()
    assert add(home, ["KO", "ON", "0005.HKG", "KO"], {}) == ("KO", "ON", "0005.HKG")
    assert add(home, ["KO"], {}) == ()
    assert names(home) == ["IBM", "AAPL", "MSFT", "KO", "ON", "0005.HKG"]
    assert home.tickers.read_text() == f"{TICKERS_FILE.read_text()}  - KO\n  - ON\n  - 0005.HKG\n"
    home.tickers.unlink()
    assert remove(home, ["AAPL", "KO", "AAPL"]) == ("AAPL",)
    assert names(home) == ["IBM", "MSFT"]


def test_all_other_lines_stay_byte_for_byte(home):
    home.root.mkdir()
    home.tickers.write_text(MINE)
    add(home, ["VOD"], {"calendar": "XLON", "at": None})
    added = '  - "ON"\n  - ticker: VOD\n    calendar: XLON\n'
    assert home.tickers.read_text() == MINE.replace('  - "ON"\n', added)
    assert remove(home, ["VOD", "TSCO.LON"]) == ("VOD", "TSCO.LON")
    head, _, rest = MINE.partition("  - ticker")
    assert home.tickers.read_text() == head + rest[rest.index('  - "ON"') :]


def test_removing_the_last_ticker_or_adding_with_a_wrong_option_changes_nothing(home):
    add(home, ["KO"], {})
    before = home.tickers.read_bytes()
    with pytest.raises(InvalidFile, match="expected at least one ticker"):
        remove(home, ["IBM", "AAPL", "MSFT", "KO"])
    with pytest.raises(InvalidFile, match="expected a time"):
        add(home, ["PEP"], {"at": "01:00"})
    assert home.tickers.read_bytes() == before


@pytest.mark.parametrize(
    "change",
    [
        lambda home: add(home, ["KO"], {}),
        lambda home: rename(home, "IBM", "KO"),
        lambda home: remove(home, ["IBM"]),
    ],
)
def test_a_change_of_the_list_waits_for_another_that_is_under_way(home, monkeypatch, change):
    monkeypatch.setattr(ticker_list, "BUSY_S", 0)
    with file_lock(home.locks / "tickers.lock", 0), pytest.raises(StoreBusy):
        change(home)
    assert names(home) == ["IBM", "AAPL", "MSFT"]


@given(
    st.lists(
        st.tuples(st.booleans(), st.sampled_from(["IBM", "ON", "KO", "TSCO.LON", "NO"])),
        max_size=12,
    )
)
def test_any_sequence_of_adding_and_removing_leaves_what_a_plain_list_would(steps):
    with tempfile.TemporaryDirectory() as folder:
        home = home_of({"STOCKML_HOME": folder})
        home.tickers.write_text(MINE)
        expected = ["IBM", "TSCO.LON", "ON"]
        for adds, ticker in steps:
            if adds:
                add(home, [ticker], {})
                expected += [ticker] * (ticker not in expected)
            elif expected != [ticker]:
                remove(home, [ticker])
                expected = [each for each in expected if each != ticker]
            assert names(home) == expected
        assert home.tickers.read_text().startswith("# what I hold\n")


def test_the_commands_say_what_they_did_and_where_and_what_a_replay_lacks(home, capsys):
    own = home.root / "replay" / "tickers.yaml"
    for command, code, says in (
        ("list", 0, "IBM          Monday to Friday at 23:00 America/New_York\n"),
        ("add KO", 1, "expected one of the recorded tickers"),
        ("add msft GOOG", 0, f"added GOOG; MSFT there already; 4 in {own}\n"),
        ("add MSFT FB --at 23:30", 0, "its entry as it was; 5 in "),
        ("remove FB", 0, "removed FB; 4 in "),
        ("remove GOOG FB", 2, f"{own}, found FB; nothing was removed"),
    ):
        assert run(["tickers", *command.split()]) == code
        assert says in "".join(capsys.readouterr())
    own.write_text(
        'tickers: [{ticker: IBM, at: "12:00"}, {ticker: KO, at: "09:00"}, {ticker: BT, calendar: 24/7}]\n'
    )
    assert run(["tickers", "list"]) == 0
    noon, nine, bitcoin, _ = capsys.readouterr().out.splitlines()
    assert noon.endswith("only a Friday forecast is live")
    assert nine.endswith(" Tuesday to Saturday at 09:00 America/New_York")
    assert bitcoin.endswith("no forecast is live")
    own.write_text("tickers: [MSFT, AAPL]\n")
    assert run(["tickers", "list", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert [row["cron"] for row in shown["tickers"]] == ["0 23 * * 1-5", "1 23 * * 1-5"]
