"""`stockml bars` and `stockml import`: what they show, settle, import and refuse."""

import json
from datetime import date
from io import StringIO
from typing import Any

import pandas as pd

from deployments.cli.app import run
from tests.bench.material import write_csv
from tests.support.commands import shown, store_of
from tests.support.publishing import record
from tests.support.recordings import recorded


def test_a_dry_run_shows_how_a_file_is_understood_and_imports_nothing(home, capsys, tmp_path):
    (file := tmp_path / "IBM.csv").write_text(
        "Date;Open;High;Low;Close\n03/02/2026;12,34;13;12;12,5\n"
    )
    asked = ("import", "IBM", str(file), "--dry-run", "--decimal=comma")
    assert run(asked) == 1
    assert "or 2026-03-02 (--date-format %m/%d/%Y); say which" in capsys.readouterr().err
    said = ("--date-format=%d/%m/%Y", "--columns=open=Open, close=Close")
    *_, row, unknown = shown(capsys, *asked, *said).splitlines()
    assert row.split()[:5] == ["2026-02-03", "12.34", "13", "12", "12.5"]
    assert "no column volume" in unknown
    assert not home.root.exists()


def test_bars_shows_holes_and_bars_set_aside_and_accepts_or_rejects_them(home, capsys):
    bars = recorded("IBM").tail(300)
    bars.iloc[100, :4] *= 10
    day, hole = bars.index[100].date(), bars.index[200].date()
    record(home, bars.drop(bars.index[200]), date(2013, 3, 5), "MSFT")
    aside, missing = shown(capsys, "bars", "MSFT", "--holes").splitlines()
    assert aside.startswith(f"{day} set aside: open ")
    assert missing == f"{hole} no bar"
    for option, count in (("--accept", 0), ("--reject", 1)):
        found = json.loads(shown(capsys, "bars", "MSFT", option, str(day), "--json"))
        assert (found["holes"], len(found["set_aside"])) == ([str(hole)], count)
    assert ", adjusted" in shown(capsys, "bars", "MSFT", "--adjusted")
    assert run(["bars", "MSFT", "--accept", "2013-03-02"]) == 1
    assert "MSFT has no bar of it" in capsys.readouterr().err


def test_bars_are_shown_as_text_csv_and_json(home, capsys):
    store_of(home)
    said = "IBM: 300 sessions, 2011-12-19 to 2013-03-01, raw as traded\n"
    assert shown(capsys, "bars", "ibm").startswith(said)
    table = pd.read_csv(StringIO(shown(capsys, "bars", "IBM", "--csv")), index_col="session")
    assert table.to_numpy().tolist() == recorded("IBM").tail(300).to_numpy().tolist()
    found: dict[str, Any] = json.loads(shown(capsys, "bars", "IBM", "--json"))
    assert (found["sessions"], found["bars"][-1]["session"]) == (300, "2013-03-01")
    assert run(["bars", "IBM", "--as-of", "2013-03-03"]) == 1
    assert "name 2013-03-04 00:00:00+00:00 or a later" in capsys.readouterr().err
    assert run(["bars", "IBM", "--as-of", "2013-03-04", "--adjusted"]) == 0


def test_import_takes_a_folder_and_names_what_it_refuses(home, tmp_path, capsys):
    (tmp_path / "more").mkdir()
    for symbol, name in {"IBM": "ibm.us.txt", "MSFT": "more/msft.us.txt"}.items():
        write_csv(recorded(symbol).head(50), tmp_path / name)
    (tmp_path / "README.md").write_text("not prices")
    (broken := tmp_path / "broken.csv").write_text("Date,Close\n2000-01-03,nonsense\n")
    for more in (["--dry-run"], []):
        assert run(["import", str(tmp_path), *more]) == 1
        captured = capsys.readouterr()
        assert all(f"{ticker}: 50 sessions" in captured.out for ticker in ("IBM", "MSFT"))
        assert captured.err.count("broken.csv") == 1
        assert run(["import", str(tmp_path), "--json", *more]) == 1
        assert list(json.loads(capsys.readouterr().out)["refused"]) == [str(broken)]


def test_an_import_names_the_sessions_on_which_two_sources_disagree(home, tmp_path, capsys):
    whole, file = recorded("IBM").head(120), tmp_path / "IBM.csv"
    write_csv(whole.iloc[60:], file)
    assert len(shown(capsys, "import", "IBM", str(file)).splitlines()) == 1
    other = whole.iloc[:110].copy()
    other.iloc[[70, 90], :4] *= 1.1
    odd = f"{whole.index[70]:%Y-%m-%d}, {whole.index[90]:%Y-%m-%d}"
    said = f"imported history disagrees with the bars on {odd}; joined by the other sessions' ratio"
    write_csv(other, file)
    assert shown(capsys, "import", "IBM", str(file)).splitlines()[1:] == [f"  {said}"]
    found = json.loads(shown(capsys, "import", str(tmp_path), "--json"))
    assert found["imported"][0]["joins"] == [said]
