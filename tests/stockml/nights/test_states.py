"""A run that ended, under whatever name, is no zombie: the automations know every name a flow's state can have."""

import ast
import inspect
from pathlib import Path

import prefect.states
import pytest
from prefect.client.schemas.objects import State, StateType

from deployments.registration.automations import ENDS
from stockml.nights import states

PROJECT = Path(__file__).parents[3]
ROOMS = ("flows", "tasks", "stockml/nights")
MODULES = sorted(path for room in ROOMS for path in (PROJECT / room).glob("*.py"))
KNOWN = {end.removeprefix("prefect.flow-run.") for end in ENDS}
# calls that name a state: by the keyword `name`, or at this position
NAMED = {"Completed": None, "Failed": None, "Crashed": None, "Cancelled": None, "SessionStatus": 2}
PASSED_ON = {"name", "state"}  # named elsewhere


def names_in(path: Path) -> list[tuple[int, ast.expr]]:
    """Each expression that names a state, and its line."""
    found = []
    for call in ast.walk(ast.parse(path.read_text())):
        if isinstance(call, ast.Call) and (made := ast.unparse(call.func)) in NAMED:
            at = NAMED[made]
            found += [keyword.value for keyword in call.keywords if keyword.arg == "name"]
            found += call.args[at : at + 1] if at is not None else []
    return [(each.lineno, each) for each in found]


def unknown(name: ast.expr) -> str | None:
    """None for a name that ends the watch, else how it is written."""
    if isinstance(name, ast.IfExp):
        return unknown(name.body) or unknown(name.orelse)
    shown = ast.unparse(name)
    if shown in PASSED_ON:
        return None
    value = getattr(states, name.attr, None) if isinstance(name, ast.Attribute) else getattr(name, "value", None)
    return None if value in KNOWN else shown


def test_every_state_that_a_flow_names_ends_the_watch_for_its_heartbeat() -> None:
    found = {path: names_in(path) for path in MODULES}
    assert sum(map(len, found.values())) > 12
    assert [
        f"{path}:{line}: {bad}" for path, all_ in found.items() for line, name in all_ if (bad := unknown(name))
    ] == []
    assert states.QUOTA in states.OWN <= KNOWN


@pytest.mark.parametrize(
    "code", ['Completed(name="Bored")', 'SessionStatus(1, "", "Bored")', "Completed(name=whatever())"]
)
def test_an_unknown_state_name_is_found(tmp_path: Path, code: str) -> None:
    (tmp_path / "flow.py").write_text(code)
    [(_, name)] = names_in(tmp_path / "flow.py")
    assert unknown(name)


def test_every_prefect_state_in_which_nothing_runs_ends_the_watch_too() -> None:
    makers = [each for name, each in inspect.getmembers(prefect.states, inspect.isfunction) if name[0].isupper()]
    made = [each() for each in makers]
    assert {"AwaitingRetry", "Suspended", "Crashed"} <= {state.name for state in made if isinstance(state, State)}
    at_work = (StateType.RUNNING, StateType.CANCELLING)
    assert {state.name for state in made if state.type not in at_work} <= KNOWN
