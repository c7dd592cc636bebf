"""The product uses public names of other packages only, and changes none of their modules and
classes.

A private name may be gone with any release, which would keep users from security fixes.
"""

import ast
from functools import cache
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
OWN = ("stockml", "flows", "tasks", "deployments")
# Python documents these for all programs
DOCUMENTED = {
    "os._exit",
    "sys.argv",
    "sys.stdin",
    "sys.stdout",
    "sys.stderr",
    "sys.dont_write_bytecode",
}


def is_private(name):
    """Whether a dotted name has an underscored part; `__doc__` and the like are public."""
    return any(
        part.startswith("_") and not (part.startswith("__") and part.endswith("__"))
        for part in name.split(".")
    )


def is_foreign(module):
    return module.partition(".")[0] not in OWN


def dotted(node):
    """`a.b.c` of a name or a chain of attributes; empty for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    above = dotted(node.value) if isinstance(node, ast.Attribute) else ""
    return f"{above}.{node.attr}" if above and isinstance(node, ast.Attribute) else ""


def imports(tree):
    """Each name that another package's import binds anywhere in the file, with what it stands
    for."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for each in filter(lambda each: is_foreign(each.name), node.names):
                yield node, each.asname or each.name.partition(".")[0], each.name
        elif isinstance(node, ast.ImportFrom) and not node.level and is_foreign(node.module or ""):
            for each in node.names:
                yield node, each.asname or each.name, f"{node.module}.{each.name}"


def targets(node):
    """The places that a node assigns to or deletes, tuples taken apart."""
    if isinstance(node, ast.Assign | ast.Delete):
        yield from (place for each in node.targets for place in parts(each))
    elif isinstance(node, ast.AugAssign | ast.AnnAssign):
        yield node.target
    elif isinstance(node, ast.Call) and dotted(node.func) in ("setattr", "delattr"):
        yield ast.Attribute(node.args[0], constant(node.args[1]) or "…")


def parts(place):
    if isinstance(place, ast.Tuple | ast.List):
        yield from (part for each in place.elts for part in parts(each))
    else:
        yield place


def constant(node):
    return str(node.value) if isinstance(node, ast.Constant) else ""


def defined(tree):
    """The private names that a file gives to functions, classes, variables and attributes of its
    own."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        for place in targets(node):
            if isinstance(place, ast.Name):
                yield place.id
            elif isinstance(place, ast.Attribute) and dotted(place.value) in ("self", "cls"):
                yield place.attr


def faults(source, own=frozenset()):
    """What a file takes or changes that is not another package's to give, each with its line.

    own: the private names that the product defines; any other belongs to another package, whatever
    object has it.
    """
    tree, found = ast.parse(source), set[tuple[int, str]]()
    taken = list(imports(tree))
    bound, own = {name for _, name, _ in taken}, own | {*defined(tree)}
    found |= {
        (statement.lineno, f"imports {name}") for statement, _, name in taken if is_private(name)
    }

    def is_another_packages(name):
        return name.partition(".")[0] in bound and name not in DOCUMENTED

    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            name = dotted(node) or f"(…).{node.attr}"
            if is_another_packages(name) or (node.attr not in own and name not in DOCUMENTED):
                found.add((node.lineno, f"uses {name}"))
        elif isinstance(node, ast.Call) and dotted(node.func) in ("getattr", "hasattr"):
            name = f"{dotted(node.args[0]) or '(…)'}.{constant(node.args[1])}"
            if is_private(constant(node.args[1])) and (
                is_another_packages(name) or constant(node.args[1]) not in own
            ):
                found.add((node.lineno, f"uses {name}"))
        for place in targets(node):
            if isinstance(place, ast.Attribute) and is_another_packages(dotted(place)):
                found.add(
                    (getattr(node, "lineno", place.value.lineno), f"assigns to {dotted(place)}")
                )
    return [f"{line}: {what}" for line, what in sorted(found)]


@pytest.mark.parametrize("package", OWN)
def test_the_product_takes_public_names_only_and_changes_no_other_package(package):
    found = []
    for path in sorted((PROJECT / package).rglob("*.py")):
        told = faults(path.read_text(encoding="utf-8"), own_names())
        found += [f"{path.relative_to(PROJECT)}:{fault}" for fault in told]
    assert found == []


@cache
def own_names():
    sources = (
        path.read_text(encoding="utf-8")
        for package in OWN
        for path in (PROJECT / package).rglob("*.py")
    )
    return frozenset(name for source in sources for name in defined(ast.parse(source)))


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("from prefect._internal import x", "1: imports prefect._internal.x"),
        ("import prefect\nprefect.flows._run()", "2: uses prefect.flows._run"),
        ("import os\nos._exit(1)", ""),
        ("import os\nos._execvpe()", "2: uses os._execvpe"),
        (
            "def f(run):\n    return run._client._sync",
            "2: uses run._client;2: uses run._client._sync",
        ),
        ("class A:\n    def f(self, other):\n        self._x = other._x", ""),
        ("import os\nos.environ['A'] = 'b'", ""),
        ("from prefect import Flow as F\ngetattr(F, '_run')", "2: uses F._run"),
        (
            "from prefect import Flow\nFlow.run = Flow.name = None",
            "2: assigns to Flow.name;2: assigns to Flow.run",
        ),
        ("from prefect import Flow\nsetattr(Flow, 'run', None)", "2: assigns to Flow.run"),
        ("import sys\nsys.excepthook, x = y", "2: assigns to sys.excepthook"),
        ("from stockml.plots import _draw\nfrom . import _x", ""),
        ("import prefect\nflow = prefect.flow()\nflow.name = 'x'", ""),
    ],
)
def test_a_private_name_and_a_change_to_another_package_are_found(source, found):
    assert ";".join(faults(source)) == found
