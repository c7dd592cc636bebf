"""A person's own list in the home: edited line by line, comments kept; what cannot be edited is left alone."""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.cli.app import run
from deployments.registration import ticker_list
from deployments.registration.ticker_list import add, earlier_names, remove, rename, replace, tickers_of
from stockml.errors import InvalidFile, StoreBusy
from stockml.home import HomePaths
from stockml.home import current_home as home_of
from stockml.prices.store import BarStore
from stockml.storage.locks import file_lock
from stockml.storage.sharing import refresh
from tests.support.commands import Captured, store_of
from tests.support.loopback import Exchange, Loopback, whole
from tests.support.postgres_server import needs_postgres

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


def names(home: HomePaths) -> list[str]:
    return [entry.ticker for entry in tickers_of(home).tickers]


def test_the_projects_list_applies_until_the_first_ticker_of_ones_own(home: HomePaths) -> None:
    assert names(home) == ["IBM", "AAPL", "MSFT"]
    assert add(home, ["KO", "ON", "0005.HKG", "KO"], {}) == ("KO", "ON", "0005.HKG")
    assert add(home, ["KO"], {}) == ()
    assert names(home) == ["KO", "ON", "0005.HKG"]
    assert "`stockml tickers add KO PEP`" in home.tickers.read_text(), "the file says how to edit it"


def test_more_tickers_than_the_key_has_requests_a_day_are_told_what_that_means(
    home: HomePaths, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALPHAVANTAGE_API_KEY", "K3Y12345")
    monkeypatch.setenv("ALPHAVANTAGE_URL", "http://127.0.0.1:9")

    def said(*tickers: str) -> str:
        assert run(["tickers", "add", *tickers]) == 0
        return capsys.readouterr().out

    many = [f"T{at}" for at in range(60)]
    assert "requests" not in said(*many[:25])
    told = "25 requests a day for 60 tickers: each is fetched about every 3 nights, those first that waited longest; "
    assert told in said(*many)
    run(["doctor"])
    assert f"note    quota: 25 requests left today; {told}" in capsys.readouterr().out
    for plan in ("75/min", "much"):
        monkeypatch.setenv("ALPHAVANTAGE_PLAN", plan)
        assert "requests" not in said("KO")


def test_removing_from_the_projects_list_starts_ones_own(home: HomePaths) -> None:
    assert (remove(home, ["KO"]), home.tickers.exists()) == ((), False)
    assert remove(home, ["AAPL", "KO", "AAPL"]) == ("AAPL",)
    assert names(home) == ["IBM", "MSFT"]


def test_all_other_lines_stay_byte_for_byte(home: HomePaths) -> None:
    home.root.mkdir()
    home.tickers.write_text(MINE)
    add(home, ["VOD"], {"calendar": "XLON", "at": None})
    assert home.tickers.read_text() == MINE.replace(
        '  - "ON"\n', '  - "ON"\n  - {"ticker": "VOD", "calendar": "XLON"}\n'
    )
    assert remove(home, ["VOD", "TSCO.LON"]) == ("VOD", "TSCO.LON")
    assert home.tickers.read_text() == MINE.replace(MINE[MINE.index("  - ticker") : MINE.index('  - "ON"')], "")


def test_a_list_that_was_edited_on_windows_can_be_changed(home: HomePaths) -> None:
    home.root.mkdir()
    home.tickers.write_bytes(b"\xef\xbb\xbftickers:\r\n- IBM")
    add(home, ["KO"], {})
    assert names(home) == ["IBM", "KO"]


def test_a_comment_above_the_next_ticker_stays(home: HomePaths) -> None:
    home.root.mkdir()
    home.tickers.write_text(MINE)
    remove(home, ["IBM"])
    assert home.tickers.read_text() == MINE.replace("  - IBM  # since 2009\n", "")
    remove(home, ["TSCO.LON"])
    assert '  # the British one\n  - "ON"\n' in home.tickers.read_text()


@pytest.mark.parametrize("new", ["ON", "TRUE", "NO", "VOD"])
def test_a_share_can_be_renamed_to_a_symbol_that_yaml_would_read_as_a_boolean(home: HomePaths, new: str) -> None:
    home.root.mkdir()
    home.tickers.write_text("tickers:\n  - KO  # KO\n  - ticker: 'PEP'\n")
    rename(home, "KO", new)
    rename(home, "PEP", "KO")
    assert names(home) == [new, "KO"]
    assert home.tickers.read_text().endswith("  # KO\n  - ticker: 'KO'\n")


def test_a_rename_moves_nothing_if_the_list_cannot_be_changed(home: HomePaths, capsys: Captured) -> None:
    store_of(home, "GOOG")
    home.tickers.write_text("tickers:\n- # GOOG\n  ticker: GOOG\n")
    assert run(["rename", "GOOG", "GOOGX"]) == 1
    assert "edit the file by hand" in capsys.readouterr().err
    assert BarStore.of(home).tickers() == ("GOOG",)


def test_a_renamed_share_keeps_its_line_and_its_options(home: HomePaths) -> None:
    add(home, ["FB", "FB-A"], {"at": "23:30"})
    before = home.tickers.read_text()
    assert [rename(home, "FB", "META") for _ in range(2)] == [True, False], "the same command, twice at once"
    assert names(home) == ["META", "FB-A"]
    assert home.tickers.read_text() == before.replace('"FB"', '"META"')


def test_tickers_in_lower_case_or_padded_can_be_renamed_and_removed(home: HomePaths) -> None:
    home.root.mkdir()
    home.tickers.write_text('tickers:\n  - {at: "23:40", tags: [left], ticker: at}\n  - msft\n  - " ibm "\n')
    for old, new in (("AT", "T"), ("MSFT", "META"), ("T", "V")):
        rename(home, old, new)
    assert remove(home, ["IBM"]) == ("IBM",)
    assert home.tickers.read_text() == 'tickers:\n  - {at: "23:40", tags: [left], ticker: V}\n  - META\n'
    assert earlier_names(home).items() >= {"V": "AT", "META": "MSFT"}.items(), "until Prefect is told"


def test_a_rename_of_what_is_not_there_fails_though_the_new_name_is_known(home: HomePaths, capsys: Captured) -> None:
    store_of(home, "GOOG")
    assert run(["rename", "GOOGL", "GOOG"]) == 2
    assert capsys.readouterr().out.startswith("nothing is kept of GOOGL, nothing was renamed; ")
    assert BarStore.of(home).tickers() == ("GOOG",)


@pytest.mark.slow
@needs_postgres
def test_a_rename_looks_for_mlflow_in_the_configured_database(
    home: HomePaths, stockml_database: str, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setenv("STOCKML_DATABASE_URL", stockml_database)
    store_of(home, "GOOG")
    assert run(["rename", "GOOG", "GOOGX"]) == 0
    assert "GOOG is GOOGX: bars" in capsys.readouterr().out
    assert not (home.root / "mlflow.db").exists()


@pytest.mark.slow
@needs_postgres
def test_prefect_is_told_of_a_list_only_once_every_machine_has_it(
    two_homes: tuple[HomePaths, HomePaths],
    stockml_database: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: Captured,
) -> None:
    """Else its deployments were those of a list that was then refused, without another machine's new ticker."""
    here, away = two_homes
    known = []

    def asked(exchange: Exchange) -> None:
        refresh(away, ())
        known.append(names(away))
        whole(b"{}", 401)(exchange)

    given = {"STOCKML_STATE": str(here.state), "STOCKML_DATABASE_URL": stockml_database, "ALPHAVANTAGE_API_KEY": "K"}
    with Loopback(asked) as server:
        for name, value in {**given, "PREFECT_API_URL": f"{server.address}/api"}.items():
            monkeypatch.setenv(name, value)
        assert run(["tickers", "add", "KO"]) == 1
    assert "expected Prefect at" in capfd.readouterr().err
    assert known[0] == ["KO"]


def test_an_unusual_layout_is_edited_correctly_or_left_to_the_person(home: HomePaths) -> None:
    home.root.mkdir()
    home.tickers.write_text("tickers:\n- IBM\n  # odd\n- {ticker: MSFT,\n   at: '23:50'}\n")
    remove(home, ["IBM"])
    assert names(home) == ["MSFT"]
    home.tickers.write_text("tickers: [IBM, MSFT]\n")
    for change in (lambda: add(home, ["KO"], {}), lambda: remove(home, ["IBM"])):
        with pytest.raises(InvalidFile, match="edit the file by hand"):
            change()
    assert names(home) == ["IBM", "MSFT"]


def test_an_item_begins_where_its_dash_is(home: HomePaths) -> None:
    home.root.mkdir()
    item = "  - # about {0}\n    # well-known\n    ticker: {0}\n"
    home.tickers.write_text("tickers:\n" + "".join(map(item.format, ("IBM", "BRK-B", "GOOG"))))
    add(home, ["KO"], {})
    remove(home, ["BRK-B"])
    assert home.tickers.read_text() == "tickers:\n" + "".join(map(item.format, ("IBM", "GOOG"))) + "  - KO\n"


def test_removing_the_last_ticker_or_adding_with_a_wrong_option_changes_nothing(home: HomePaths) -> None:
    add(home, ["KO"], {})
    before = home.tickers.read_bytes()
    with pytest.raises(InvalidFile, match="expected at least one ticker"):
        remove(home, ["KO"])
    with pytest.raises(InvalidFile, match="expected a time"):
        add(home, ["PEP"], {"at": "01:00"})
    assert home.tickers.read_bytes() == before


def test_a_deployed_file_becomes_the_homes_list_and_the_previous_one_is_kept(home: HomePaths, tmp_path: Path) -> None:
    (mine := tmp_path / "mine.yaml").write_text(MINE)
    replace(home, mine)
    add(home, ["KO"], {})
    before = home.tickers.read_bytes()
    for _ in range(2):
        replace(home, mine)
        assert names(home) == ["IBM", "TSCO.LON", "ON"]
        assert (home.root / "tickers.yaml.before").read_bytes() == before
    mine.write_text("tickers: [../etc]\n")
    with pytest.raises(InvalidFile, match="expected a ticker"):
        replace(home, mine)
    assert home.tickers.read_text() == MINE


def test_a_change_of_the_list_waits_for_another_that_is_under_way(
    home: HomePaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list deployed between another change's reading and writing would be lost, and not be kept beside it either."""
    (tmp_path / "mine.yaml").write_text(MINE)
    monkeypatch.setattr(ticker_list, "BUSY_S", 0)
    changes: tuple[Callable[[], object], ...] = (
        lambda: add(home, ["KO"], {}),
        lambda: rename(home, "IBM", "KO"),
        lambda: remove(home, ["IBM"]),
        lambda: replace(home, tmp_path / "mine.yaml"),
    )
    with file_lock(home.locks / "tickers.lock", 0):
        for change in changes:
            with pytest.raises(StoreBusy):
                change()
    assert names(home) == ["IBM", "AAPL", "MSFT"]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.sampled_from(["IBM", "ON", "KO", "TSCO.LON", "NO"])), max_size=12))
def test_any_sequence_of_adding_and_removing_leaves_what_a_plain_list_would(steps: list[tuple[bool, str]]) -> None:
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


def test_the_commands_say_what_they_did_and_where_and_what_a_replay_lacks(home: HomePaths, capsys: Captured) -> None:
    assert run(["tickers", "list"]) == 0
    assert "IBM          Monday to Friday at 23:00 America/New_York\n" in capsys.readouterr().out
    assert run(["tickers", "add", "KO"]) == 1
    assert "expected one of the recorded tickers" in capsys.readouterr().err
    assert run(["tickers", "add", "msft", "GOOG", "AAPL"]) == 0
    said = capsys.readouterr().out
    own = home.root / "replay" / "tickers.yaml"
    assert said == f"added MSFT, GOOG, AAPL; without the default list's IBM; 3 in {own}\n`stockml up` schedules them\n"
    assert run(["tickers", "add", "MSFT", "FB", "--at", "23:30"]) == 0
    assert capsys.readouterr().out.startswith("added FB; MSFT there already, its entry as it was; 4 in ")
    assert run(["tickers", "remove", "FB"]) == 0
    capsys.readouterr()
    assert run(["tickers", "remove", "GOOG", "IBM"]) == 2
    shown = capsys.readouterr()
    assert shown.out.startswith("removed GOOG; 2 in ")
    assert f"expected tickers in {own}, found IBM; " in shown.err
    assert run(["tickers", "remove", "IBM"]) == 2
    assert capsys.readouterr().out.startswith("removed nothing; 2 in ")
    own.write_text('tickers: [{ticker: IBM, at: "12:00"}, {ticker: KO, at: "09:00"}, {ticker: BT, calendar: 24/7}]\n')
    assert run(["tickers", "list"]) == 0
    noon, nine, bitcoin, _ = capsys.readouterr().out.splitlines()
    assert noon.endswith(" at 12:00 America/New_York, once the market is open: only a Friday forecast is live")
    assert nine.endswith(" Tuesday to Saturday at 09:00 America/New_York")
    assert bitcoin.endswith(" every day at 07:00 UTC, once the market is open: no forecast is live")
    own.write_text("tickers: [MSFT, AAPL]\n")
    assert run(["tickers", "list", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert [row["cron"] for row in shown["tickers"]] == ["0 23 * * 1-5", "1 23 * * 1-5"]
