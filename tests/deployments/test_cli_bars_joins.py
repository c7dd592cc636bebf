"""`stockml import` says how a history fits the bars that were there: what every night would say of
it."""

import json
from pathlib import Path

from deployments.cli.app import run
from stockml.home import HomePaths
from tests.support.commands import Captured
from tests.support.recordings import recorded


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
