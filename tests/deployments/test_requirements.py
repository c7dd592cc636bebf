"""What `make run` installs holds every package that the program imports; what an extra brings is
named there."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions

import pytest

from tests.support.lock import PROJECT, locked

OURS = ("stockml", "tasks", "flows", "deployments")
# without it, an error names the extra
OF_EXTRAS = {
    "psycopg",
    "psycopg_binary",
    "prefect_dask",
    "distributed",
}


def imported() -> set[str]:
    """The packages that are imported at the top of our modules or in their functions."""
    trees = [
        ast.parse(path.read_bytes()) for name in OURS for path in (PROJECT / name).rglob("*.py")
    ]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    modules = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    modules += [
        node.module
        for node in nodes
        if isinstance(node, ast.ImportFrom) and node.module and not node.level
    ]
    return {module.partition(".")[0] for module in modules} - {*sys.stdlib_module_names, *OURS}


@pytest.mark.slow
def test_the_locked_packages_hold_every_import() -> None:
    pinned = locked("run").keys()
    from_package = packages_distributions()
    brought = {
        name: {re.sub(r"[-_.]+", "-", d).lower() for d in from_package.get(name, ())}
        for name in imported()
    }
    assert len(brought) > 20
    assert {
        name for name, distributions in brought.items() if not distributions & pinned
    } <= OF_EXTRAS


def test_the_architecture_says_what_each_dependency_is_for() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = [
        *project["dependencies"],
        *(each for extra in project["optional-dependencies"].values() for each in extra),
    ]
    names = {re.match(r"[\w-]+", each)[0] for each in asked}  # type: ignore[index]
    said = (PROJECT / "ARCHITECTURE.md").read_text(encoding="utf-8").partition("## Dependencies")[2]
    assert {name for name in names if not re.search(rf"(?<![\w-]){name}(?![\w-])", said)} == set()
