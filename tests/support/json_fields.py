"""The fields of `--json` as docs/json.md tells them."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[2] / "docs" / "json.md"


def told() -> dict[str, set[str]]:
    """By command, as the first column names it: the names in the second; of several commands, each
    has them all."""
    fields, commands = dict[str, set[str]](), [""]
    for first, second in re.findall(r"^\| *(.*?) *\| (`.*?) \|", PAGE.read_text(), re.MULTILINE):
        commands = first.split(", ") if first else commands
        for command in commands:
            fields.setdefault(command.replace("`", ""), set()).update(
                re.findall(r"`([^`]+?)(?:\[\])?`", second)
            )
    return fields


def check_fields(command: str, shown: Mapping[str, Any]) -> None:
    """The object's fields, and those of the lists that have rows of their own, are the ones that
    are told."""
    table = told()
    assert {*shown} - {"home"} == table[command], command
    for name, rows in shown.items():
        row_of = next(
            (each for each in (f"{command} {name}[]", f"{name}[]") if each in table), None
        )
        if row_of and rows:
            check_rows(row_of, rows)


def check_rows(row_of: str, rows: Sequence[Mapping[str, Any]]) -> None:
    assert set().union(*rows) == told()[row_of], row_of
