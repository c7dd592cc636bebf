"""The product uses other packages by their public names alone, and changes nothing in their modules."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("stockml", "flows", "tasks", "deployments")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
STREAMS = {"sys.stdin", "sys.stdout", "sys.stderr"}  # documented as to be replaced
PUBLIC = {"__future__", "__file__", "__name__", "__version__", "__doc__", "__main__", "_exit"}  # os._exit is documented


def is_private(name: str) -> bool:
    return name.startswith("_") and name not in PUBLIC


def is_foreign(module: str) -> bool:
    """Whether it is of another package; the standard library's underscored names are private too."""
    return module.partition(".")[0] not in PACKAGES


def faults(source: str) -> Iterator[str]:
    """Each import of, access to, or assignment into what is another package's."""
    tree = ast.parse(source)
    imported = dict(_imported(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from _private_imports(node)
        elif isinstance(node, ast.Attribute):
            path = _path(node)
            if path is None or path[0] not in imported:
                continue
            written = f"{node.lineno}: {'.'.join(path)}"
            if is_private(node.attr):
                yield f"{written} is private"
            elif isinstance(node.ctx, ast.Store | ast.Del) and ".".join(path) not in STREAMS:
                yield f"{written} is changed"
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("setattr", "delattr"):
            path = _path(node.args[0])
            if path and path[0] in imported:
                yield f"{node.lineno}: {'.'.join(path)} is changed"


def _private_imports(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    module = node.module or "" if isinstance(node, ast.ImportFrom) else ""
    for alias in node.names:
        parts = [*module.split("."), *alias.name.split(".")] if module else alias.name.split(".")
        of_us = (isinstance(node, ast.ImportFrom) and node.level) or not is_foreign(parts[0])
        if not of_us and any(map(is_private, parts)):
            yield f"{node.lineno}: {'.'.join(parts)} is private"


def _imported(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """The names by which another package's modules and their members are known here."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if is_foreign(alias.name):
                    yield alias.asname or alias.name.partition(".")[0], alias.name
        elif isinstance(node, ast.ImportFrom) and not node.level and is_foreign(node.module or ""):
            for alias in node.names:
                yield alias.asname or alias.name, f"{node.module}.{alias.name}"


def _path(node: ast.AST) -> list[str] | None:
    """`a.b.c` as its names; None for anything else, such as the attribute of a call's result."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.insert(0, node.attr)
        node = node.value
    return [node.id, *names] if isinstance(node, ast.Name) else None


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_other_packages_are_used_by_their_public_names(path: Path) -> None:
    assert list(faults(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "source",
    [
        "from prefect._internal import retries",
        "import mlflow.server._app",
        "from prefect import flow_engine\nflow_engine._send_heartbeats()",
        "import prefect\nprefect.flow_engine._send_heartbeats",
        "import prefect.workers.process as process\nprocess.ProcessWorker = None",
        "import gc\nsetattr(gc, 'enable', None)",
        "from alembic.config import Config\nConfig.get_main_option = None",
        "import threading\nthreading._shutdown()",
    ],
)
def test_what_reaches_inside_is_found(source: str) -> None:
    assert len(list(faults(source))) == 1


def test_what_is_public_or_our_own_passes() -> None:
    lines = ("import os", "from stockml.home import _own", "from __future__ import annotations", "self._mine = 1")
    assert list(faults("\n".join((*lines, "os.environ['A'] = ''")))) == []
