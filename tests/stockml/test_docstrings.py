"""A reader of a public function that takes or returns arrays learns their shapes where it stands."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "stockml"
ARRAY = re.compile(r"\b(Floats|Indices|Days)\b")
SHAPE = re.compile(r"\((?:…|[\w +·−]+,(?: [\w +·−…]+,?)*|…, \w+)\)")  # (n,), (m, horizon), (…, 21)


def functions(body: list[ast.stmt], within: str = "") -> Iterator[tuple[str, ast.FunctionDef, str]]:
    """The public functions of a module or class, each with its name and what is said of its class."""
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from functions(node.body, f"{ast.get_docstring(node) or ''}\n")
        elif isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            yield node.name, node, within


def arrays(function: ast.FunctionDef) -> bool:
    given = function.args.args + function.args.kwonlyargs
    types = [function.returns, *(each.annotation for each in given)]
    return any(kind is not None and ARRAY.search(ast.unparse(kind)) for kind in types)


def test_a_public_function_of_arrays_says_their_shapes() -> None:
    found = []
    for file in sorted(PACKAGE.rglob("*.py")):
        for name, function, of_class in functions(ast.parse(file.read_text(encoding="utf-8")).body):
            said = of_class + (ast.get_docstring(function) or "")
            if arrays(function) and not SHAPE.search(said):
                found.append(f"{file.relative_to(PACKAGE)}: {name}")
    assert not found, found


def test_a_public_function_of_more_than_five_lines_says_what_it_does() -> None:
    found = []
    for file in sorted(PACKAGE.rglob("*.py")):
        for name, function, _ in functions(ast.parse(file.read_text(encoding="utf-8")).body):
            lines = function.body[-1].end_lineno - function.body[0].lineno + 1  # type: ignore[operator]
            if lines > 5 and not ast.get_docstring(function):
                found.append(f"{file.relative_to(PACKAGE)}: {name}")
    assert not found, found
