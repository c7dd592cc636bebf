"""The documentation is true: links lead somewhere, commands and options exist, variables are those
of the code, the snippets run."""

import json
import re
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars
import pytest
from typer.main import get_command

from deployments.cli.app import app
from stockml.forecasts.ledger import SCHEMA
from stockml.plots.tutorial import FIGURES
from stockml.prices.store import BarStore
from stockml.tracking.client import Tracking
from tests import walk_howtos
from tests.support.nights import recorded_night, with_files
from tests.support.notebook import NOTEBOOK, outputs
from tests.support.recordings import recorded
from tests.support.replaying import fill

PROJECT = Path(__file__).parents[1]
PAGES = sorted([*PROJECT.glob("*.md"), *(PROJECT / "docs").rglob("*.md")])
CODE = ("stockml", "flows", "tasks", "deployments", "tests")
VARIABLE = re.compile(r"\b(?:STOCKML|ALPHAVANTAGE)_[A-Z_]*[A-Z]\b")
COMMANDS: Any = get_command(app)


def named(page):
    return str(page.relative_to(PROJECT))


def headings(page):
    """As GitHub names them in an address."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_link_leads_to_a_file_and_a_heading_in_it(page):
    for to, at in re.findall(r"\]\(([^)#:\s]*)(?:#([^)\s]+))?\)", page.read_text()):
        target = page.parent / to if to else page
        assert target.exists(), to
        assert not at or at in headings(target), (to, at)


def test_every_page_can_be_reached_from_readme():
    linked = set(re.findall(r"\]\(([^)#\s]+)", (PROJECT / "README.md").read_text()))
    assert [page for page in map(named, PAGES) if page != "README.md" and page not in linked] == []


def lines_of(page):
    """Every command of this project that the page shows, in a block or in a line."""
    text = page.read_text()
    blocks = [
        line
        for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
        for line in block.splitlines()
    ]
    for line in [*blocks, *re.findall(r"`([^`\n]+)`", text)]:
        if found := re.match(r"\s*(?:\w+=\S+ )*stockml ((?:[a-z-]+).*)", line.partition(" #")[0]):
            yield found[1]


@pytest.mark.parametrize(
    "page", [page for page in PAGES if "CHANGELOG" not in page.name], ids=named
)
def test_every_command_and_option_that_is_named_exists(page):
    for line in lines_of(page):
        words, command = shlex.split(line), COMMANDS
        while words and hasattr(command, "commands") and not words[0].startswith("-"):
            assert words[0] in command.commands, line
            command = command.commands[words.pop(0)]
        known = {
            option
            for parameter in command.params
            for option in (*parameter.opts, *parameter.secondary_opts)
        }
        asked = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert asked <= known | {"--help"}, line


def parts_of(command, path="stockml"):
    yield path, command
    for name, part in getattr(command, "commands", {}).items():
        yield from parts_of(part, f"{path} {name}")


def test_readme_names_every_command():
    rows = re.findall(r"^\| (`.*?) \|", (PROJECT / "README.md").read_text(), re.MULTILINE)
    named_there = {word for row in rows for word in re.findall(r"[a-z-]+", row)}
    assert sorted(set(COMMANDS.commands) - named_there) == []


def test_every_command_in_a_code_block_parses_as_written():
    """With its arguments, as a person would copy it; it is parsed, not run."""
    blocks = [
        block
        for page in PAGES
        for block in re.findall(r"```sh\n(.*?)```", page.read_text(), re.DOTALL)
    ]
    lines = [line.partition(" #")[0].strip() for block in blocks for line in block.splitlines()]
    words = [shlex.split(line)[1:] for line in lines if line.startswith("stockml ")]
    assert len(words) > 20
    for line in words:
        command, rest = COMMANDS, line
        while hasattr(command, "commands"):
            command, rest = command.commands[rest[0]], rest[1:]
        assert command.make_context(line[0], list(rest))


def test_the_walk_covers_every_how_to_and_their_commands_are_valid_shell():
    shown = {line: page for page in walk_howtos.PAGES for line in walk_howtos.commands(page)}
    walked = {f"docs/{page}.md" for page in walk_howtos.PAGES}
    assert {named(page) for page in PAGES if page.parent.name == "how-to"} <= walked
    assert set(walk_howtos.ELSEWHERE) - set(shown) == set()
    for line in shown:
        subprocess.run(["sh", "-n", "-c", line], check=True)


def test_the_variables_of_the_code_are_those_of_the_docs():
    files = [
        path
        for name in CODE
        for path in (PROJECT / name).rglob("*")
        if path.suffix in (".py", ".yaml", ".service")
    ]
    read = {
        each
        for path in files
        for each in VARIABLE.findall(path.read_text())
        if path != Path(__file__)
    }
    told = set(VARIABLE.findall((PROJECT / "docs" / "settings.md").read_text()))
    plain = {each.removesuffix("_FILE") for each in read}
    assert plain - told == set(), "not in docs/settings.md"
    assert told - plain == set(), "in docs/settings.md alone"


def test_every_place_in_a_home_has_its_row():
    code = "".join(
        path.read_text() for room in CODE[:-1] for path in (PROJECT / room).rglob("*.py")
    )
    places = {*re.findall(r'(?:root / |_Within\()"([\w.-]+)"', code)}
    rows = re.findall(
        r"^\| (`.*?) \|", (PROJECT / "docs" / "settings.md").read_text(), re.MULTILINE
    )
    assert (
        sorted(places - {each.rstrip("/") for row in rows for each in re.findall("`(.*?)`", row)})
        == []
    )


def test_every_column_of_the_ledger_has_its_row():
    told = (PROJECT / "docs" / "data.md").read_text().partition("`ledger/TICKER.parquet`")[2]
    rows = "".join(re.findall(r"^\| (`.*?) \|", told, re.MULTILINE))
    columns = [name for name in SCHEMA.names if not name.endswith(("_50", "_95"))]
    assert [name for name in columns if f"`{name}`" not in rows] == []


@pytest.mark.parametrize("at", range(3), ids=["pandas", "DuckDB", "Polars"])
def test_each_snippet_reads_the_newest_value_of_every_session(home, at):
    assert duckdb
    assert polars
    store, bars = BarStore.of(home), recorded("IBM").tail(30)
    for hour, close in (
        (8, bars["close"] * 0.99),
        (9, bars["close"].where(bars.index != bars.index[7])),
    ):
        now = datetime(2013, 3, 4, hour, tzinfo=UTC)
        changed = bars.assign(close=close.clip(bars["low"], bars["high"]))
        store.append("IBM", changed, recorded_at=now, source="test", session=bars.index[-1].date())
    snippet = re.findall(
        r"```python\n(.*?)```", (PROJECT / "docs" / "data.md").read_text(), re.DOTALL
    )[at]
    names: dict[str, Any] = {"STORE": home.store}
    exec(snippet, names)
    found, expected = names["bars"], store.read("IBM")["close"]
    np.testing.assert_array_equal(list(found["close"]), expected)
    assert not hasattr(found, "index") or found["close"].equals(expected), (
        "by session, as in the other frames"
    )


@pytest.mark.slow
def test_the_snippet_forecasts_from_a_file_as_a_night_does(tmp_path):
    recorded("IBM").to_csv(tmp_path / "ko.csv")
    [snippet] = re.findall(
        r"```python\n(from stockml.evaluation.*?)```",
        (PROJECT / "docs" / "data.md").read_text(),
        re.DOTALL,
    )
    names: dict[str, Any] = {"FILE": str(tmp_path / "ko.csv")}
    exec(snippet, names)
    forecast = names["night"].forecast
    assert (str(forecast.origin), forecast.path[-1]) == (
        "2013-03-01",
        pytest.approx(203.8891, abs=1e-4),
    )
    assert names["past"].origins >= 20
    names["figure"].savefig(tmp_path / "forecast.png")


@pytest.mark.slow
def test_the_snippet_loads_a_nights_model_and_forecasts_after_the_newest_bar(with_tables):
    tracking, night = Tracking(with_tables), with_files(recorded_night(), with_tables.root)
    tracking.log_night(night)
    tracking.follow_champion("IBM", night.key)
    fill(with_tables, ["IBM"])
    [snippet] = re.findall(
        r"```python\n(import mlflow\n.*?)```", (PROJECT / "docs" / "data.md").read_text(), re.DOTALL
    )
    snippet = snippet.replace("http://127.0.0.1:5000", with_tables.tracking_uri)
    code = f"{snippet}\nprint(forecast.to_json(orient='records'))"
    shown = subprocess.run(
        [sys.executable, "-c", code],
        cwd=with_tables.root,
        capture_output=True,
        text=True,
        check=True,
    )
    rows = json.loads(shown.stdout)
    assert [row["lead"] for row in rows] == [*range(1, 51)]
    assert all(
        row["low_95"] < row["low_50"] < row["path"] < row["high_50"] < row["high_95"]
        for row in rows
    )


@pytest.mark.slow
def test_the_tutorials_notebook_walks_through_its_page(tmp_path):
    file = tmp_path / "ibm.us.txt"
    recorded("IBM").tail(640).rename(columns=str.capitalize).rename_axis("Date").to_csv(file)
    changed = {"network.units": (4,), "network.look_back": 5}
    cells = json.loads(NOTEBOOK.with_name("tutorial.ipynb").read_text())["cells"]
    [parameters] = (cell for cell in cells if "parameters" in cell["metadata"].get("tags", ()))
    parameters["source"].append(
        f"\nFILE, EPOCHS, CHANGED, CELLS = {str(file)!r}, 1, {changed}, ('gru',)"
    )
    shown = [output for of_cell in outputs(cells) for output in of_cell]
    assert sum("image/png" in output.get("data", {}) for output in shown) == len(FIGURES)
    printed = "".join(line for output in shown for line in output.get("text", ()))
    for said in (
        "MSE error for EMA averaging",
        "[0.45 0.45 0.45 0.45 0.45]",
        "epoch 1 of 1: train",
        "gru     ",
    ):
        assert said in printed
