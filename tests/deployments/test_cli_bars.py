"""`stockml bars` and `stockml import`: what they show, settle, import and refuse."""

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from deployments.cli.app import run
from deployments.doctor.checks import examine
from stockml.home import HomePaths
from stockml.prices.calendar import sessions_for
from stockml.prices.store import BarStore
from tests.support.commands import Captured, store_of
from tests.support.recordings import recorded


def test_a_dry_run_shows_how_a_file_is_understood_and_imports_nothing(
    home: HomePaths, capsys: Captured, tmp_path: Path
) -> None:
    file = tmp_path / "IBM.csv"
    file.write_text("Date;Open;High;Low;Close\n03/02/2026;12,34;13;12;12,5\n")
    assert run(["import", "IBM", str(file), "--dry-run"]) == 1
    assert "may be 12.34 (--decimal comma); say which" in capsys.readouterr().err
    assert run(["import", "IBM", str(file), "--decimal", "comma", "--dry-run"]) == 1
    assert "or 2026-03-02 (--date-format %m/%d/%Y); say which" in capsys.readouterr().err
    said = ["--decimal", "comma", "--date-format", "%d/%m/%Y", "--columns", "open=Open, close=Close"]
    assert run(["import", "IBM", str(file), *said, "--dry-run"]) == 0
    first, _, _, row, unknown = capsys.readouterr().out.splitlines()
    assert first == "IBM: 1 session as understood from IBM.csv; nothing was imported"
    assert row.split()[:5] == ["2026-02-03", "12.34", "13", "12", "12.5"]
    assert unknown == "volumes unknown: no column volume among Date, Open, High, Low, Close"
    for adjusted, is_scaled in (("6.25", True), ("12.5", False)):  # the other as of a share without dividends
        file.write_text(f"Date,Open,High,Low,Close,Adj Close\n2026-02-03,12,13,12,12.5,{adjusted}\n")
        assert run(["import", "IBM", str(file), "--dry-run"]) == 0
        assert adjusted in (shown := capsys.readouterr().out)
        assert shown.endswith("\nprices scaled to its adjusted close\n") == is_scaled, "shows other prices than it has"
    assert not home.root.exists()


def test_a_dry_run_says_what_the_import_would_leave_out(home: HomePaths, capsys: Captured, tmp_path: Path) -> None:
    bars = recorded("IBM").tail(60)
    bars.iloc[30, :4] *= 10
    file = tmp_path / "IBM.csv"
    file.write_text(bars.to_csv(index_label="date") + "2013-03-02,1,1,1,1,1\n")
    assert run(["import", "IBM", str(file), "--dry-run"]) == 0
    *_, left_out, aside = capsys.readouterr().out.splitlines()
    assert left_out == "left out, no session of the exchange: 2013-03-02"
    assert aside.startswith(f"  set aside {bars.index[30].date()}: open ")
    assert run(["import", "IBM", str(file)]) == 0
    told, same = capsys.readouterr().out.splitlines()
    assert (left_out in told, same) == (True, aside)


def test_an_import_says_what_speaks_against_its_prices(home: HomePaths, capsys: Captured, tmp_path: Path) -> None:
    bars, file = recorded("IBM").tail(60), tmp_path / "IBM.csv"
    bars.iloc[:40, :4] *= 2  # a split that was not applied
    file.write_text(bars.to_csv(index_label="date"))
    for more in (["--dry-run"], []):
        assert run(["import", "IBM", str(file), *more]) == 0
        day, told = bars.index[40].date(), capsys.readouterr().out.splitlines()[-1]
        assert told == f"  look at these prices: the open moved as at a split that was not applied on {day}"


def test_bars_shows_holes_and_bars_set_aside_and_accepts_or_rejects_them(home: HomePaths, capsys: Captured) -> None:
    store, bars = store_of(home), recorded("IBM").tail(300)
    bars.iloc[100, :4] *= 10
    day, hole = bars.index[100].date(), bars.index[200].date()
    now = datetime(2013, 3, 5, tzinfo=UTC)
    store.append("MSFT", bars.drop(bars.index[200]), recorded_at=now, source="test", session=bars.index[-1].date())
    assert run(["bars", "MSFT", "--holes"]) == 0
    aside, missing = capsys.readouterr().out.splitlines()
    assert aside.startswith(f"{day} set aside: open ")
    assert missing == f"{hole} no bar"
    for option, count in (("--accept", 0), ("--reject", 1)):
        assert run(["bars", "MSFT", option, str(day), "--json"]) == 0
        shown = json.loads(capsys.readouterr().out)
        assert (shown["holes"], len(shown["set_aside"])) == ([str(hole)], count)
    assert run(["bars", "MSFT", "--adjusted"]) == 0
    assert f"\n1 session of the calendar without a bar: {hole}\n" in capsys.readouterr().out
    for absent in ("2013-03-02", "2999-01-01", "0001-01-01", "9999-12-31"):
        assert run(["bars", "MSFT", "--accept", absent]) == 1
        assert "MSFT has no bar of it" in capsys.readouterr().err


def test_a_ticker_whose_bars_are_all_set_aside_has_none(home: HomePaths, capsys: Captured) -> None:
    bars, now = recorded("IBM").tail(2), datetime(2013, 3, 5, tzinfo=UTC)
    store = BarStore.of(home)
    store.append("IBM", bars, recorded_at=now, source="test", session=date(2013, 3, 1))
    for day in bars.index:
        store.judge("IBM", day.date(), accepted=False, recorded_at=now, source="test")
    assert run(["bars", "IBM", "--adjusted"]) == 1
    assert "no bar of IBM is believed" in capsys.readouterr().err
    assert run(["doctor"]) == 1
    assert "no bars, though" in capsys.readouterr().out


def test_bars_are_shown_as_text_csv_and_json(home: HomePaths, capsys: Captured) -> None:
    store_of(home)
    assert run(["bars", "ibm"]) == 0
    assert capsys.readouterr().out.startswith("IBM: 300 sessions, 2011-12-19 to 2013-03-01, raw as traded\n")
    assert run(["bars", "IBM", "--csv"]) == 0
    shown = pd.read_csv(pd.io.common.StringIO(capsys.readouterr().out), index_col="session", parse_dates=True)
    assert shown.to_numpy().tolist() == recorded("IBM").tail(300).to_numpy().tolist()
    assert run(["bars", "IBM", "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert (found["ticker"], found["sessions"], found["bars"][-1]["session"]) == ("IBM", 300, "2013-03-01")


def test_an_unknown_price_is_null_in_json_and_a_bar_set_aside_again_where_the_csv_is_imported(
    home: HomePaths, tmp_path: Path, capsys: Captured
) -> None:
    bars, day = recorded("IBM").tail(50), "2013-02-28"
    bars.loc[day, "open"] = np.nan
    now = datetime(2013, 3, 4, tzinfo=UTC)
    BarStore.of(home).append("IBM", bars, recorded_at=now, source="test", session=date(2013, 3, 1))
    assert run(["bars", "IBM", "--json"]) == 0
    found = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert [row["session"] for row in found["bars"] if row["open"] is None] == [day]
    assert run(["bars", "IBM", "--csv"]) == 0
    (file := tmp_path / "MSFT.csv").write_text(capsys.readouterr().out)
    assert run(["import", "MSFT", str(file)]) == 0
    assert f"set aside {day}: expected finite prices above 0, found open nan" in capsys.readouterr().out


def test_bars_go_by_the_calendar_of_the_list_before_their_first_night(home: HomePaths, capsys: Captured) -> None:
    """London is closed on other days than New York; the status already went by the list."""
    store_of(home)
    home.tickers.write_text("tickers:\n  - {ticker: IBM, calendar: XLON}\n")
    told = []
    for calendar in ([], ["--calendar", "XLON"], ["--calendar", "XNYS"]):
        assert run(["bars", "IBM", "--holes", "--json", *calendar]) == 0
        told.append(json.loads(capsys.readouterr().out))
    assert told[0] == told[1] != told[2]
    checks = {check.name: check for check in examine(home, {}, datetime(2013, 3, 4, tzinfo=UTC), {})}
    assert f"{len(told[0]['holes'])} without a bar, {len(told[0]['set_aside'])} set aside" in checks["IBM"].found


def test_bars_as_of_a_time_before_the_first_recording_are_refused_with_the_earliest_time(
    home: HomePaths, capsys: Captured
) -> None:
    store_of(home)
    assert run(["bars", "IBM", "--as-of", "2013-03-03"]) == 1
    said = "history of IBM recorded by 2013-03-03 23:59:59+00:00; name 2013-03-04 00:00:00+00:00 or a later"
    assert said in capsys.readouterr().err
    assert run(["bars", "IBM", "--as-of", "2013-03-04", "--adjusted"]) == 0


def test_import_takes_a_folder_and_names_what_it_refuses(home: HomePaths, tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "more").mkdir()
    for symbol, name in {"IBM": "ibm.us.txt", "MSFT": "more/msft.us.txt"}.items():
        recorded(symbol).head(50).rename_axis("Date").to_csv(tmp_path / name)
    (tmp_path / "README.md").write_text("not prices")
    (tmp_path / "broken.csv").write_text("Date,Close\n2000-01-03,nonsense\n")
    for more in (["--dry-run"], []):
        assert run(["import", str(tmp_path), *more]) == 1
        captured = capsys.readouterr()
        assert "IBM: 50 sessions" in captured.out
        assert "MSFT: 50 sessions" in captured.out
        assert captured.err.count("broken.csv") == 1
    (tmp_path / "ibm.us.txt").rename(tmp_path / "ibm")
    (tmp_path / "more" / "msft.us.txt").rename(tmp_path / "msft")
    assert run(["import", str(tmp_path)]) == 1
    assert capsys.readouterr().out == "", "there is a CSV file, which is refused"
    for more in (["--dry-run"], []):
        assert run(["import", str(tmp_path), "--json", *more]) == 1
        assert list(json.loads(capsys.readouterr().out)["refused"]) == [str(tmp_path / "broken.csv")]


@pytest.mark.parametrize("more", [[], ["--dry-run"], ["--json"]])
def test_importing_a_folder_without_price_files_fails(
    home: HomePaths, tmp_path: Path, capsys: Captured, more: list[str]
) -> None:
    assert run(["import", str(tmp_path), *more]) == 1
    told = capsys.readouterr()
    assert told.err == (
        f"stockml: {tmp_path}: expected a folder of CSV files of daily prices, such as ibm.us.txt, found none\n"
    )
    assert (told.out, home.root.exists()) == ("", False)
    assert run(["import", "", *more]) == 2, "an empty variable is not the folder one is in"


def test_importing_a_folder_takes_a_calendar_but_no_ticker(home: HomePaths, tmp_path: Path, capsys: Captured) -> None:
    recorded("IBM").head(50).rename_axis("Date").to_csv(tmp_path / "ibm.us.txt")
    for more in ([], ["--dry-run"]):
        assert run(["import", str(tmp_path), "--calendar", "XTKS", *more]) == 1
        assert "expected sessions of the calendar XTKS" in capsys.readouterr().err
    assert run(["import", "KO", str(tmp_path)]) == 2
    assert "expected a file of 'KO', found a folder" in capsys.readouterr().err
    assert run(["import", str(tmp_path), "--dry-run", "--json"]) == 0
    span = {"ticker": "IBM", "file": "ibm.us.txt", "sessions": 50, "first": "2000-03-01", "last": "2000-05-10"}
    assert json.loads(capsys.readouterr().out)["understood"] == [span | {"missing": 0}]
    assert not home.root.exists()


def test_bars_lists_what_was_restated(home: HomePaths, capsys: Captured) -> None:
    bars = recorded("IBM").head(3)
    store = BarStore.of(home)
    for hour, volume in ((8, 1.0), (9, 2.0)):
        recorded_at = datetime(2000, 3, 6, hour, tzinfo=UTC)
        store.append(
            "IBM", bars.assign(volume=volume), recorded_at=recorded_at, source="test", session=date(2000, 3, 3)
        )
    assert run(["bars", "IBM", "--restated"]) == 0
    shown = capsys.readouterr().out
    assert "volume" in shown
    assert shown.count("2000-03-0") >= 3


def test_importing_a_csv_again_changes_nothing(home: HomePaths, tmp_path: Path, capsys: Captured) -> None:
    file = tmp_path / "ibm.us.txt"
    bars = recorded("IBM").head(50).rename(columns=str.capitalize).rename_axis("Date")
    bars.to_csv(file, date_format="%Y-%m-%d")
    assert run(["import", "IBM", str(file)]) == 0
    assert "50 sessions from 2000-03-01 to 2000-05-10 imported" in capsys.readouterr().out
    assert run(["import", "IBM", str(file)]) == 0
    assert "nothing changed" in capsys.readouterr().out
    assert run(["bars", "IBM"]) == 0
    assert capsys.readouterr().out.startswith("IBM: 50 sessions, 2000-03-01 to 2000-05-10, adjusted, as imported\n")
    assert run(["import", "IBM", str(file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["recorded"] is False


def test_an_import_leaves_out_sessions_that_are_not_over_yet_and_says_so(
    home: HomePaths, tmp_path: Path, capsys: Captured
) -> None:
    file = tmp_path / "ibm.us.txt"
    coming = sessions_for("IBM").after(datetime.now(UTC).date(), 9)[8]
    file.write_text(f"Date,Open,High,Low,Close\n2013-02-28,10,11,9,10\n{coming},1,11,9,10\n")
    assert run(["import", "IBM", str(file)]) == 0
    said = f"IBM: 1 session from 2013-02-28 to 2013-02-28 imported (left out, not over yet: {coming}; volumes unknown: "
    told = capsys.readouterr().out
    assert told.startswith(said)
    assert "set aside" not in told, "what is left out is not kept, and so not set aside either"
    assert run(["bars", "IBM"]) == 0
    assert capsys.readouterr().out.startswith("IBM: 1 session, 2013-02-28 to 2013-02-28, adjusted, as imported\n")
    assert run(["import", "IBM", str(file), "--dry-run"]) == 0
    dry = capsys.readouterr().out.splitlines()
    assert dry[0].startswith("IBM: 1 session as understood from ")
    assert dry[-2] == f"left out, not over yet: {coming}"
    assert run(["import", "IBM", str(file), "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["understood"][0]["last"] == "2013-02-28"


def test_what_is_over_is_judged_by_the_clock_of_the_replay(
    home: HomePaths, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STOCKML_CLOCK", "2013-02-28T23:00:00-05:00")
    file = tmp_path / "ibm.us.txt"
    file.write_text("Date,Open,High,Low,Close\n2013-02-28,10,11,9,10\n2013-03-01,10,11,9,10\n")
    for more in (["--dry-run"], []):
        assert run(["import", "IBM", str(file), *more]) == 0
        assert "left out, not over yet: 2013-03-01" in capsys.readouterr().out
    assert len(BarStore.of(home).adjusted("IBM")) == 1


@pytest.mark.parametrize("columns", ["close", "close=", "price=Kurs", "=Kurs"])
def test_a_column_that_is_not_ours_is_refused(home: HomePaths, tmp_path: Path, capsys: Captured, columns: str) -> None:
    assert run(["import", "IBM", str(tmp_path / "IBM.csv"), "--columns", columns]) == 2
    assert "expected NAME=HEADING with one of date, open, high" in capsys.readouterr().err


def test_an_import_without_a_known_volume_says_so(home: HomePaths, tmp_path: Path, capsys: Captured) -> None:
    file = tmp_path / "ibm.us.txt"
    bars = recorded("IBM").head(50).rename(columns={"volume": "Shares traded"}).rename_axis("date")
    bars.to_csv(file, date_format="%Y-%m-%d")
    assert run(["import", "IBM", str(file)]) == 0
    said = "(volumes unknown: no column volume among date, open, high, low, close, Shares traded)"
    assert said in capsys.readouterr().out


def test_what_a_files_name_and_columns_would_have_a_terminal_do_is_not_printed(
    home: HomePaths, tmp_path: Path, capsys: Captured
) -> None:
    title = "\x1b]0;title\x07"
    file = tmp_path / f"{title}.csv"
    file.write_text(f"date,open,high,low,close,{title}\n2013-02-28,1,1,1,1,1\n")
    for more in ([], ["--dry-run"]):
        assert run(["import", "IBM", str(file), *more]) == 0
    file.write_text(f"date,open,{title}\n")
    assert run(["import", "IBM", str(file)]) == 1
    assert run(["import", str(tmp_path)]) == 1
    shown = "".join(capsys.readouterr())
    assert "close, ?]0;title?)" in shown
    assert f"{tmp_path}/\\x1b]0;title\\x07.csv: expected" in shown
    assert "\x1b]" not in shown
    assert "\x07" not in shown


def test_an_import_and_its_dry_run_say_how_many_sessions_are_missing(
    home: HomePaths, tmp_path: Path, capsys: Captured
) -> None:
    bars = recorded("IBM").head(50)
    bars.drop(bars.index[[10, 20, 21]]).to_csv(file := tmp_path / "ibm.us.txt", index_label="date")
    said = "3 sessions between the first and the last missing"
    assert run(["import", "IBM", str(file), "--dry-run"]) == 0
    assert said in capsys.readouterr().out.splitlines()
    assert run(["import", "IBM", str(file)]) == 0
    assert f"47 sessions from 2000-03-01 to 2000-05-10 imported ({said})" in capsys.readouterr().out
    assert run(["bars", "IBM", "--holes"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
