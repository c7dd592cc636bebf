"""`stockml bars` and `stockml import`: what they show, settle, import and refuse."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from deployments.cli.app import run
from stockml.home import HomePaths
from tests.support.commands import Captured, store_of
from tests.support.recordings import recorded


def test_a_dry_run_shows_how_a_file_is_understood_and_imports_nothing(
    home: HomePaths, capsys: Captured, tmp_path: Path
) -> None:
    file = tmp_path / "IBM.csv"
    file.write_text("Date;Open;High;Low;Close\n03/02/2026;12,34;13;12;12,5\n")
    assert run(["import", "IBM", str(file), "--decimal", "comma", "--dry-run"]) == 1
    assert "or 2026-03-02 (--date-format %m/%d/%Y); say which" in capsys.readouterr().err
    said = ["--decimal=comma", "--date-format=%d/%m/%Y", "--columns=open=Open, close=Close"]
    assert run(["import", "IBM", str(file), *said, "--dry-run"]) == 0
    *_, row, unknown = capsys.readouterr().out.splitlines()
    assert row.split()[:5] == ["2026-02-03", "12.34", "13", "12", "12.5"]
    assert "no column volume" in unknown
    assert not home.root.exists()


def test_bars_shows_holes_and_bars_set_aside_and_accepts_or_rejects_them(
    home: HomePaths, capsys: Captured
) -> None:
    store, bars = store_of(home), recorded("IBM").tail(300)
    bars.iloc[100, :4] *= 10
    day, hole = bars.index[100].date(), bars.index[200].date()
    now = datetime(2013, 3, 5, tzinfo=UTC)
    store.append(
        "MSFT",
        bars.drop(bars.index[200]),
        recorded_at=now,
        source="test",
        session=bars.index[-1].date(),
    )
    assert run(["bars", "MSFT", "--holes"]) == 0
    aside, missing = capsys.readouterr().out.splitlines()
    assert aside.startswith(f"{day} set aside: open ")
    assert missing == f"{hole} no bar"
    for option, count in (("--accept", 0), ("--reject", 1)):
        assert run(["bars", "MSFT", option, str(day), "--json"]) == 0
        shown = json.loads(capsys.readouterr().out)
        assert (shown["holes"], len(shown["set_aside"])) == ([str(hole)], count)
    assert run(["bars", "MSFT", "--adjusted"]) == 0
    assert ", adjusted" in capsys.readouterr().out
    assert run(["bars", "MSFT", "--accept", "2013-03-02"]) == 1
    assert "MSFT has no bar of it" in capsys.readouterr().err


def test_bars_are_shown_as_text_csv_and_json(home: HomePaths, capsys: Captured) -> None:
    store_of(home)
    assert run(["bars", "ibm"]) == 0
    assert capsys.readouterr().out.startswith(
        "IBM: 300 sessions, 2011-12-19 to 2013-03-01, raw as traded\n"
    )
    assert run(["bars", "IBM", "--csv"]) == 0
    shown = pd.read_csv(
        pd.io.common.StringIO(capsys.readouterr().out), index_col="session", parse_dates=True
    )
    assert shown.to_numpy().tolist() == recorded("IBM").tail(300).to_numpy().tolist()
    assert run(["bars", "IBM", "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert (found["sessions"], found["bars"][-1]["session"]) == (300, "2013-03-01")


def test_bars_as_of_a_time_before_the_first_recording_are_refused_with_the_earliest_time(
    home: HomePaths, capsys: Captured
) -> None:
    store_of(home)
    assert run(["bars", "IBM", "--as-of", "2013-03-03"]) == 1
    assert "name 2013-03-04 00:00:00+00:00 or a later" in capsys.readouterr().err
    assert run(["bars", "IBM", "--as-of", "2013-03-04", "--adjusted"]) == 0


def test_import_takes_a_folder_and_names_what_it_refuses(
    home: HomePaths, tmp_path: Path, capsys: Captured
) -> None:
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
    for more in (["--dry-run"], []):
        assert run(["import", str(tmp_path), "--json", *more]) == 1
        assert list(json.loads(capsys.readouterr().out)["refused"]) == [
            str(tmp_path / "broken.csv")
        ]


def test_importing_a_csv_again_changes_nothing(
    home: HomePaths, tmp_path: Path, capsys: Captured
) -> None:
    file = tmp_path / "ibm.us.txt"
    bars = recorded("IBM").head(50).rename(columns=str.capitalize).rename_axis("Date")
    bars.to_csv(file, date_format="%Y-%m-%d")
    assert run(["import", "IBM", str(file)]) == 0
    assert "50 sessions from 2000-03-01 to 2000-05-10 imported" in capsys.readouterr().out
    assert run(["import", "IBM", str(file)]) == 0
    assert "nothing changed" in capsys.readouterr().out
    assert run(["import", "IBM", str(file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["recorded"] is False


def test_an_import_names_the_sessions_on_which_two_sources_disagree(
    home: HomePaths, tmp_path: Path, capsys: Captured
) -> None:
    whole, file = recorded("IBM").head(120), tmp_path / "IBM.csv"
    whole.iloc[60:].to_csv(file, index_label="date")
    assert run(["import", "IBM", str(file)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1
    other = whole.iloc[:110].copy()
    other.iloc[[70, 90], :4] *= 1.1
    odd = f"{whole.index[70]:%Y-%m-%d}, {whole.index[90]:%Y-%m-%d}"
    said = f"imported history disagrees with the bars on {odd}; joined by the other sessions' ratio"
    other.to_csv(file, index_label="date")
    assert run(["import", "IBM", str(file)]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == [f"  {said}"]
    assert run(["import", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["imported"][0]["joins"] == [said]
